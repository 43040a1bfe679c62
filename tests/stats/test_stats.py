"""Statements about systems: paired by song, never by luck, never across different songs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as sps

from benchsep import stats
from benchsep.errors import UsageError
from benchsep.metrics.metric import ValueTraits
from benchsep.stats.bootstrap import bootstrap
from benchsep.stats.significance import holm

TRAITS = {
    "visqol": ValueTraits("", +1, "MOS", 1, 5, tie_margin=0.1, failure=2.0),
    "leak": ValueTraits("", -1, "dB", None, None),
    "bsseval.sdr": ValueTraits(
        "sdr", +1, "dB", None, None, aggregate="median", tie_margin=0.25, failure=0.0
    ),
}
FAMILY = {"mixture": "mixture", "oracle-irm": "oracle", "gen": "generative"}


def rows(system: str, values, *, metric="visqol", stem="vocals", draw=0, status="ok"):
    """One row per song: song 0 gets the first value; NaN becomes ``failed``."""
    return [
        {
            "system": system,
            "family": FAMILY.get(system, "discriminative"),
            "track": f"song {i:02d}",
            "stem": stem,
            "metric": metric,
            "draw": draw,
            "value": value,
            "status": status if np.isfinite(value) else "failed: oops",
            "edition": "hq",
            "frames": None,
        }
        for i, value in enumerate(values)
    ]


def table(*parts) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part])


def values(frame: pd.DataFrame, column: str = "value") -> dict[str, float]:
    return dict(zip(frame["system"], frame[column], strict=True))


def facts(summaries, name: str = "value") -> dict[str, object]:
    return {s.system: getattr(s, name) for s in summaries}


class TestAggregate:
    def test_a_missing_song_cannot_raise_a_mean(self):
        frame = table(rows("a", [1, 4, 4]), rows("b", [np.nan, 4, 4]))
        found = stats.aggregate(frame, TRAITS)
        assert facts(found) == {"a": 4, "b": 4}
        assert facts(found, "n") == {"a": 2, "b": 2}
        assert facts(found, "own") == {"a": 3, "b": 2}
        assert {s.total for s in found} == {3}
        assert facts(found, "rank") == {"a": 1, "b": 1}

    def test_own_coverage_is_not_ranked_across_different_songs(self):
        frame = table(rows("a", [1, 4, 4]), rows("b", [np.nan, 4, 4]), rows("c", [2, 2, 2]))
        found = stats.aggregate(frame, TRAITS, coverage="own")
        assert facts(found)["b"] == 4
        assert facts(found, "rank")["a"] == 1
        assert facts(found, "rank")["b"] is None
        assert facts(found, "unranked")["b"] == "2 songs, others 3"

    def test_a_system_without_the_stem_takes_no_songs_from_the_others(self):
        frame = table(rows("a", [1, 2, 3]), rows("b", [np.nan] * 3))
        found = stats.aggregate(frame, TRAITS)
        assert facts(found, "n") == {"a": 3, "b": 0}
        assert facts(found, "unranked")["b"] == "no value"

    def test_yardsticks_neither_rank_nor_shrink_the_common_songs(self):
        frame = table(
            rows("a", [3, 3, 3]), rows("mixture", [1, 1, np.nan]), rows("oracle-irm", [4] * 3)
        )
        found = stats.aggregate(frame, TRAITS)
        assert facts(found, "n") == {"a": 3, "mixture": 2, "oracle-irm": 3}
        assert [s.system for s in found if s.ranked] == ["a"]
        assert found[0].system == "a"

    def test_ill_conditioned_values_are_shown_and_never_ranked(self):
        frame = table(rows("a", [3, 3]), rows("b", [9, 9], status="ill_conditioned"))
        found = stats.aggregate(frame, TRAITS)
        assert facts(found) == {"a": 3, "b": 9}
        assert facts(found, "rank")["a"] == 1
        assert facts(found, "unranked") == {"a": "", "b": "ill_conditioned"}

    def test_lower_is_better_ranks_the_other_way_and_ties_share(self):
        frame = table(*(rows(s, [v, v], metric="leak") for s, v in [("a", 3), ("b", 1), ("c", 1)]))
        assert facts(stats.aggregate(frame, TRAITS), "rank") == {"a": 3, "b": 1, "c": 1}

    def test_the_metric_says_mean_or_median_and_the_caption_repeats_it(self):
        frame = table(rows("a", [1, 2, 9], metric="bsseval.sdr"), rows("a", [1, 2, 9]))
        frame["frames"] = [[1.0]] * 3 + [None] * 3
        found = {s.metric: s for s in stats.aggregate(frame, TRAITS)}
        assert {m: s.value for m, s in found.items()} == {"bsseval.sdr": 2, "visqol": 4}
        assert {m: s.statistic for m, s in found.items()} == {
            "bsseval.sdr": "median",
            "visqol": "mean",
        }
        other = {s.metric: s for s in stats.aggregate(frame, TRAITS, statistic="mean")}
        assert other["bsseval.sdr"].value == 4 and other["bsseval.sdr"].statistic == "mean"

    def test_the_total_is_the_songs_of_the_run_whatever_the_metric_was_scored_on(self):
        frame = table(rows("a", [1, 2, 3]), rows("b", [1, 2, 3]), rows("a", [5], metric="leak"))
        assert {(s.metric, s.n, s.total) for s in stats.aggregate(frame, TRAITS)} == {
            ("visqol", 3, 3),
            ("leak", 1, 3),
        }
        both = table(rows("a", [1, 2, 3]), *(rows(s, [5], metric="leak") for s in "ab"))
        assert stats.compare(both, TRAITS)[["metric", "n", "total"]].values.tolist() == [
            ["leak", 1, 3]
        ]
        found = stats.tails(both, TRAITS).set_index(["system", "metric"])["unscored"]
        assert found.to_dict() == {("a", "leak"): 2, ("a", "visqol"): 0, ("b", "leak"): 2}

    def test_a_missing_value_gives_its_most_frequent_reason(self):
        frame = table(rows("a", [np.nan] * 3), rows("a", [1, 2, 3], stem="drums"))
        frame.loc[0, "status"] = "ref_silent"
        found = {s.stem: s for s in stats.aggregate(stats.with_average(frame), TRAITS)}
        assert {stem: s.note for stem, s in found.items()} == {
            "vocals": "failed", "drums": "", "average": "failed",
        }  # fmt: skip

    def test_intervals_are_those_of_the_bootstrap_over_the_common_songs(self):
        rng = np.random.default_rng(2)
        x = rng.normal(3, 1, 12)
        frame = table(rows("a", x), rows("b", [np.nan, *x[1:]]))
        assert all(s.low is None for s in stats.aggregate(frame, TRAITS))
        for summary in stats.aggregate(frame, TRAITS, intervals=True):
            expected = bootstrap(x[1:])
            assert (summary.low, summary.high) == (expected.low, expected.high)

    def test_a_lucky_draw_never_enters(self):
        frame = table(rows("gen", [1, 5]), rows("gen", [3, np.nan], draw=1))
        found = stats.aggregate(frame, TRAITS)
        assert facts(found) == {"gen": 2}
        assert facts(found, "own") == {"gen": 1}

    def test_row_order_changes_nothing(self):
        rng = np.random.default_rng(0)
        frame = table(*(rows(s, rng.normal(3, 1, 20)) for s in "abc"))
        shuffled = frame.sample(frac=1, random_state=3)
        assert stats.aggregate(frame, TRAITS, intervals=True) == stats.aggregate(
            shuffled, TRAITS, intervals=True
        )
        pd.testing.assert_frame_equal(stats.compare(frame, TRAITS), stats.compare(shuffled, TRAITS))

    def test_editions_never_share_a_number(self):
        frame = pd.concat([table(rows("a", [1])), table(rows("a", [1])).assign(edition="aac")])
        with pytest.raises(UsageError, match="aac, hq; one table has one edition"):
            stats.aggregate(frame, TRAITS)


def test_the_average_needs_every_stem():
    frame = table(
        rows("a", [1, 2]), rows("a", [3, 4], stem="drums"),
        rows("b", [1, 2]), rows("b", [3, np.nan], stem="drums"),
        rows("c", [5, 5]),
    )  # fmt: skip
    found = stats.aggregate(stats.with_average(frame), TRAITS)
    average = [s for s in found if s.stem == stats.AVERAGE]
    assert facts(average, "own") == {"a": 2, "b": 1, "c": 0}
    assert facts(average)["a"] == 2  # over song 0 alone: (1 + 3) / 2


def test_the_average_of_ill_conditioned_values_is_shown_and_never_ranked():
    frame = table(
        rows("a", [1, 2]), rows("a", [3, 4], stem="drums"),
        rows("b", [5, 5], status="ill_conditioned"), rows("b", [7, 7], stem="drums"),
    )  # fmt: skip
    found = stats.aggregate(stats.with_average(frame), TRAITS)
    average = [s for s in found if s.stem == stats.AVERAGE]
    assert facts(average) == {"a": 2.5, "b": 6}
    assert facts(average, "rank") == {"a": 1, "b": None}
    assert facts(average, "unranked")["b"] == "ill_conditioned"


def test_frames_give_another_aggregation_without_a_new_run():
    frame = table(rows("a", [2, 7], metric="bsseval.sdr"))
    frame["frames"] = [[1.0, 2.0, None, 9.0], None]
    assert list(stats.from_frames(frame, "mean")["value"]) == [4, 7]
    assert list(stats.from_frames(frame, "median")["value"]) == [2, 7]


def test_gains_are_paired_with_the_mixture_and_positive_when_better():
    frame = table(
        rows("mixture", [2, np.nan]), rows("a", [3, 3]),
        rows("mixture", [5, 5], metric="leak"), rows("a", [1, np.nan], metric="leak"),
    )  # fmt: skip
    found = stats.improvement(frame, TRAITS)
    assert found["value"].tolist()[0] == 1 and found["value"].tolist()[2] == 4
    assert found["status"].tolist() == ["ok", "no_yardstick", "ok", "failed: oops"]
    with pytest.raises(UsageError, match="no rows of 'x'"):
        stats.improvement(frame, TRAITS, over="x")


class TestCompare:
    @pytest.fixture
    def frame(self):
        rng = np.random.default_rng(5)
        hard = rng.normal(0, 2, 40)  # song difficulty, shared by all systems
        return table(
            rows("a", hard + rng.normal(0.3, 0.3, 40)),
            rows("b", hard + rng.normal(0.0, 0.3, 40)),
            rows("c", hard + rng.normal(0.01, 0.05, 40)),
            rows("mixture", hard - 3),
        )

    def test_pairing_sees_what_unpaired_bars_hide(self, frame):
        found = stats.compare(frame, TRAITS).set_index(["a", "b"])
        row = found.loc[("a", "b")]
        x, y = (frame.loc[frame["system"] == s, "value"].to_numpy() for s in "ab")
        assert sps.ttest_ind(x, y).pvalue > 0.3
        assert row["verdict"] == "a" and row["low"] > 0
        assert row["difference"] == pytest.approx((x - y).mean())
        assert row["p"] == pytest.approx(sps.ttest_rel(x, y).pvalue, abs=2e-3)

    def test_holm_runs_over_the_whole_result(self, frame):
        found = stats.compare(frame, TRAITS)
        assert found["p_holm"].tolist() == holm(found["p"].tolist())

    def test_yardsticks_compete_only_when_asked(self, frame):
        assert len(stats.compare(frame, TRAITS)) == 3
        assert len(stats.compare(frame, TRAITS, yardsticks=True)) == 6
        against = stats.compare(frame, TRAITS, against="mixture")
        assert set(against["a"]) == {"a", "b", "c"} and set(against["b"]) == {"mixture"}
        with pytest.raises(UsageError, match="no system 'z'"):
            stats.compare(frame, TRAITS, against="z")

    def test_tied_is_a_result_and_depends_on_the_margin(self, frame):
        near = table(rows("a", np.linspace(1, 3, 30)), rows("b", np.linspace(1, 3, 30) + 0.02))
        assert stats.compare(near, TRAITS)["verdict"].tolist() == ["tied"]
        strict = stats.compare(near, TRAITS, margins={"visqol": 0.01})
        assert strict["verdict"].tolist() == ["b"]

    def test_lower_is_better_turns_the_verdict(self):
        x = np.linspace(0, 1, 20)
        frame = table(rows("a", x, metric="leak"), rows("b", x - 1, metric="leak"))
        assert stats.compare(frame, TRAITS)["verdict"].tolist() == ["b"]

    def test_a_gap_against_the_paired_median_is_flagged(self):
        # b is a little better on four songs of five and far worse on the fifth.
        difference = np.tile([-0.1, -0.1, -0.1, -0.1, 2.0], 6)
        base = np.linspace(0, 1, 30)
        frame = table(rows("a", base + difference), rows("b", base))
        row = stats.compare(frame, TRAITS).iloc[0]
        assert row["gap"] > 0 > row["median"] and row["sign_conflict"]

    def test_few_songs_give_a_difference_and_nothing_more(self):
        row = stats.compare(table(rows("a", [2, 3]), rows("b", [1, 1])), TRAITS).iloc[0]
        assert row["difference"] == 1.5 and row["verdict"] == "open"
        assert np.isnan(row["low"]) and np.isnan(row["p_holm"])

    def test_a_pair_uses_the_songs_that_both_have(self):
        frame = table(rows("a", [np.nan, *range(9)]), rows("b", [*range(9), np.nan]))
        assert stats.compare(frame, TRAITS)["n"].tolist() == [8]

    def test_letters_follow_the_verdicts(self, frame):
        compared, found = stats.compare(frame, TRAITS), stats.aggregate(frame, TRAITS)
        assert values(stats.groups(compared, found), "letters") == {"a": "a", "b": "b", "c": "b"}


class TestDraws:
    def test_mean_is_the_headline_and_luck_has_its_own_name(self):
        frame = table(rows("gen", [1, 2, 3]), rows("gen", [3, 2, 1], draw=1), rows("a", [1, 1, 1]))
        row = stats.draws(frame, TRAITS).iloc[0]
        assert (row["system"], row["mean"]) == ("gen", 2)
        assert row["best_of_k"] == pytest.approx(8 / 3)
        assert row["worst_of_k"] == pytest.approx(4 / 3)
        assert row["share_residual"] == 1

    def test_best_is_lowest_where_lower_is_better(self):
        frame = table(*(rows("gen", [1, 2, 3 + d], metric="leak", draw=d) for d in range(2)))
        row = stats.draws(frame, TRAITS).iloc[0]
        assert row["best_of_k"] < row["mean"] < row["worst_of_k"]

    def test_one_draw_has_no_row(self):
        assert stats.draws(table(rows("a", [1, 2])), TRAITS).empty


class TestTails:
    def test_the_worst_songs_are_named(self):
        found = stats.tails(table(rows("a", [4] * 38 + [1.0, 1.5, np.nan])), TRAITS).iloc[0]
        assert found["worst_songs"] == ["song 38", "song 39"]
        assert found["worst"] == pytest.approx(1.25)
        assert (found["failures"], found["unscored"]) == (2, 1)
        assert found["failure_rate"] == pytest.approx(2 / 40)
        assert found["rate_low"] < 0.05 < found["rate_high"]

    def test_thresholds_can_be_given_and_may_be_absent(self):
        frame = table(rows("a", [1, 5], metric="leak"))
        assert np.isnan(stats.tails(frame, TRAITS).iloc[0]["failure_rate"])
        found = stats.tails(frame, TRAITS, thresholds={"leak": 4}).iloc[0]
        assert found["failed_songs"] == ["song 01"]


class TestPower:
    def test_equals_statsmodels_on_the_measured_spread(self):
        solver = pytest.importorskip("statsmodels.stats.power").TTestPower()
        rng = np.random.default_rng(1)
        x, y = rng.normal(size=(2, 25))
        found = stats.power(table(rows("a", x), rows("b", y)), "visqol", 0.2)
        sd = np.std(x - y, ddof=1)
        needed = np.ceil(solver.solve_power(0.2 / sd, power=0.8, alpha=0.05))
        assert found["needed"].tolist() == [needed, needed]
        assert list(found["a"]) == ["a", "median pair"]
        assert found["detectable"][0] == pytest.approx(
            sd * solver.solve_power(nobs=25, power=0.8, alpha=0.05), rel=1e-3
        )

    def test_nothing_to_plan_from_is_said(self):
        with pytest.raises(UsageError, match="no metric 'x'"):
            stats.power(table(rows("a", [1, 2])), "x", 0.2)
        with pytest.raises(UsageError, match="no two systems"):
            stats.power(table(rows("a", [1, 2])), "visqol", 0.2)


def test_another_target_neither_enters_the_average_nor_takes_it_away():
    plain = table(rows("a", [1.0, 2.0]), rows("a", [3.0, 4.0], stem="drums"))
    imported = table(
        plain.to_dict("records"),
        rows("b", [1.0, 2.0]), rows("b", [3.0, 4.0], stem="drums"),
        rows("b", [90.0, 90.0], stem="accompaniment"),
        rows("c", [90.0, 90.0], stem="accompaniment"),
    )  # fmt: skip
    values = stats.song_values(stats.with_average(imported))
    assert values["a", "average", "visqol"] == {"song 00": 2.0, "song 01": 3.0}
    assert values["b", "average", "visqol"] == {"song 00": 2.0, "song 01": 3.0}
    assert ("c", "average", "visqol") not in values
    two = stats.with_average(table(rows("a", [1.0]), rows("a", [2.0], stem="accompaniment")))
    assert "average" not in set(two["stem"]), "one of the four stems alone has no average"


def test_systems_that_share_no_song_have_no_values_and_no_mark():
    frame = table(rows("a", [1.0, 2.0]), rows("b", [3.0, 4.0]), rows("mixture", [0.0] * 4))
    frame.loc[frame["system"] == "b", "track"] = ["song 02", "song 03"]
    found = {s.system: s for s in stats.aggregate(frame, TRAITS)}
    for system, songs in (("a", {"song 00", "song 01"}), ("b", {"song 02", "song 03"})):
        summary = found[system]
        assert summary.value is None and summary.rank is None
        assert summary.note == summary.unranked == "no shared song"
        assert summary.songs == songs and not summary.ill_conditioned
    assert found["mixture"].value is None and not found["mixture"].ill_conditioned


def test_a_reference_without_a_common_song_is_not_ill_conditioned():
    frame = table(rows("a", [1.0]), rows("oracle-irm", [9.0, 9.0]))
    frame.loc[frame["system"] == "oracle-irm", "track"] = ["song 01", "song 02"]
    found = {s.system: s for s in stats.aggregate(frame, TRAITS)}
    assert found["a"].rank == 1
    assert found["oracle-irm"].value is None and not found["oracle-irm"].ill_conditioned
