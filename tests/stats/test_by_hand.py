"""Statistics of small tables, worked out by hand or by scipy: each column of each result."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats as sps

from benchsep import stats
from benchsep.errors import UsageError
from benchsep.stats import arrays, bootstrap, keys, letters, signflip, songs, spread
from benchsep.stats.compare import (
    COLUMNS,
    _songs_for_a_difference,
    too_few_songs,
    with_comparisons,
)
from benchsep.stats.power import detectable_effect, paired_t_power, songs_needed
from benchsep.stats.significance import tost
from tests.stats.test_stats import TRAITS, facts, rows, table


def pair(x, y, **options) -> pd.Series:
    return stats.compare(table(rows("a", x), rows("b", y)), TRAITS, **options).iloc[0]


class TestCompare:
    X = (3.0, 3.5, 2.0, 4.0, 4.5, 3.0, 5.0, 2.5)
    Y = (2.0, 3.0, 2.5, 3.0, 3.0, 2.0, 4.0, 2.0)

    def test_every_column_by_hand(self):
        row = pair(self.X, self.Y)
        d = np.subtract(self.X, self.Y)
        assert list(stats.compare(table(rows("a", [1])), TRAITS)) == COLUMNS
        assert (row["a"], row["b"], row["stem"], row["metric"]) == ("a", "b", "vocals", "visqol")
        assert (row["n"], row["total"], row["margin"]) == (8, 8, 0.1)
        assert row["gap"] == row["difference"] == d.mean() and row["median"] == np.median(d)
        assert row["p"] == row["p_holm"] == pytest.approx(
            sps.permutation_test((d,), np.mean, permutation_type="samples",
                                 n_resamples=np.inf).pvalue)  # fmt: skip
        assert row["p_tied"] == pytest.approx(tost(d, 0.1))
        interval = bootstrap.bootstrap(d)
        assert (row["low"], row["high"]) == (interval.low, interval.high)
        assert not row["sign_conflict"]

    def test_a_median_is_compared_as_a_median(self):
        x, y = [5, 1, 2, 3, 9.0], [0, 4, 2.5, 2, 1.0]
        frame = table(rows("a", x, metric="bsseval.sdr"), rows("b", y, metric="bsseval.sdr"))
        row = stats.compare(frame, TRAITS).iloc[0]
        assert row["gap"] == 3 - 2 and row["difference"] == row["median"] == 1
        assert row["p"] == signflip.sign_flip(np.subtract(x, y), statistic="median")

    def test_the_seed_moves_the_interval_alone(self):
        one, other = pair(self.X, self.Y, seed=1), pair(self.X, self.Y, seed=2)
        assert one["low"] != other["low"]
        assert one.drop(["low", "high"]).equals(other.drop(["low", "high"]))

    def test_the_level_decides_between_a_verdict_and_none(self):
        p = pair(self.X, self.Y)["p"]
        assert pair(self.X, self.Y, alpha=p * 1.01)["verdict"] == "a"
        assert pair(self.X, self.Y, alpha=p)["verdict"] == "open"
        swapped = stats.compare(table(rows("a", self.Y), rows("b", self.X)), TRAITS, alpha=p * 1.01)
        assert swapped["verdict"].tolist() == ["b"]

    def test_holm_is_over_one_stem_and_metric(self):
        systems = {"a": self.X, "b": self.Y, "c": self.Y[::-1]}
        drums = [rows(s, systems[s], stem="drums") for s in "ab"]
        frame = table(*(rows(s, v) for s, v in systems.items()), *drums)
        found = stats.compare(frame, TRAITS).set_index(["stem", "a", "b"])
        assert found.loc[("drums", "a", "b"), "p_holm"] == found.loc[("drums", "a", "b"), "p"]
        one = found.loc[("vocals", "a", "b")]
        assert one["p_holm"] == pytest.approx(min(1, one["p"] * 3)) and one["p_holm"] > one["p"]

    def test_a_margin_of_the_metric_holds_for_its_columns(self):
        frame = table(rows("a", self.X, metric="bsseval.sdr"),
                      rows("b", self.Y, metric="bsseval.sdr"))  # fmt: skip
        for margins, expected in (
            (None, 0.25), ({"bsseval": 1.5}, 1.5), ({"bsseval": 1.5, "bsseval.sdr": 2.5}, 2.5),
            ({"visqol": 9.0}, 0.25),
        ):  # fmt: skip
            assert stats.compare(frame, TRAITS, margins=margins)["margin"].tolist() == [expected]
        leak = table(rows("a", self.X, metric="leak"), rows("b", self.Y, metric="leak"))
        row = stats.compare(leak, TRAITS).iloc[0]
        assert math.isnan(row["margin"]) and math.isnan(row["p_tied"])

    def test_systems_without_a_song_in_common_have_a_row_and_no_number(self):
        frame = table(rows("a", [1, 2]), rows("b", [np.nan, np.nan, 3]))
        row = stats.compare(frame, TRAITS).iloc[0]
        assert row["n"] == 0 and row["verdict"] == "open" and not row["sign_conflict"]
        assert row[["gap", "difference", "low", "p", "p_holm", "margin"]].isna().all()

    def test_from_five_songs_on_there_is_a_p(self):
        five, four = pair(self.X[:5], self.Y[:5]), pair(self.X[:4], self.Y[:4])
        assert five[["p", "p_tied", "low"]].notna().all()
        assert four[["p", "p_tied", "low"]].isna().all() and four["margin"] == 0.1
        assert bootstrap.FEWEST == 5

    def test_against_a_reference_is_b_and_an_unscored_one_gives_no_row(self):
        frame = table(rows("a", self.X), rows("b", self.Y), rows("mixture", self.Y),
                      rows("a", self.X, stem="drums"))  # fmt: skip
        found = stats.compare(frame, TRAITS, against="mixture")
        assert found[["a", "b", "stem"]].values.tolist() == [
            ["a", "mixture", "vocals"], ["b", "mixture", "vocals"],
        ]  # fmt: skip
        with pytest.raises(UsageError, match="there are: a, b, mixture"):
            stats.compare(frame, TRAITS, against="x")


class TestTooFewSongs:
    @pytest.mark.parametrize(
        ("count", "systems", "says"),
        [
            (5, "ab", ""),
            (4, "ab", "4 songs: too few for any verdict. A tie needs at least 5 songs, and a "
             "difference 6."),
            (1, "ab", "1 song: too few for any verdict. A tie needs at least 5 songs, and a "
             "difference 6."),
            (4, "abc", "4 songs: too few for any verdict. A tie needs at least 5 songs, and a "
             "difference 7 (with one pair 6, see --against)."),
            (4, "a", ""),
        ],
    )  # fmt: skip
    def test_what_is_said(self, count, systems, says):
        frame = table(*(rows(s, np.arange(count) + n) for n, s in enumerate(systems)))
        assert too_few_songs(stats.compare(frame, TRAITS)) == says

    def test_the_number_of_songs_is_the_first_with_a_small_enough_p(self):
        for pairs in (1, 3, 10):
            needed = _songs_for_a_difference(pairs, 0.05)
            assert pairs * 2 / 2**needed < 0.05 <= pairs * 2 / 2 ** (needed - 1)

    def test_a_larger_level_needs_fewer_songs(self):
        frame = table(rows("a", np.arange(4.0)), rows("b", np.arange(4.0) + 1))
        assert too_few_songs(stats.compare(frame, TRAITS), alpha=0.2) == ""


class TestLetters:
    def compared(self):
        rng = np.random.default_rng(3)
        base = rng.normal(0, 1, 20)
        frame = table(
            rows("a", base + 3 + rng.normal(0, 0.2, 20)), rows("b", base + rng.normal(0, 0.2, 20)),
            rows("c", base + rng.normal(0, 0.2, 20)), rows("mixture", base),
            *(rows(s, base + rng.normal(0, 0.2, 20), stem="drums") for s in "ab"),
        )  # fmt: skip
        return stats.compare(frame, TRAITS), stats.aggregate(frame, TRAITS)

    def test_letters_where_systems_differ_and_none_where_they_do_not(self):
        compared, summaries = self.compared()
        found = {s.key[:2]: s.letters for s in with_comparisons(summaries, compared, TRAITS)}
        assert found["a", "vocals"] == "a" and found["b", "vocals"] == found["c", "vocals"] == "b"
        assert found["mixture", "vocals"] == ""
        assert found["a", "drums"] == found["b", "drums"] == ""
        listed = stats.groups(compared, summaries)
        assert list(listed) == ["system", "stem", "metric", "letters"]
        assert listed["stem"].tolist() == ["drums", "drums", "vocals", "vocals", "vocals"]
        assert set(listed["metric"]) == {"visqol"} and listed["system"].tolist()[2] == "a"
        strict = stats.groups(compared, summaries, alpha=1e-9)
        assert set(strict["letters"]) == {"a"}

    def test_a_lead_against_the_median_names_whom_it_leads(self):
        difference = np.tile([-0.1, -0.1, -0.1, -0.1, 2.0], 6)
        base = np.linspace(0, 1, 30)
        for metric, leader, other in (("visqol", "a", "b"), ("leak", "b", "a")):
            frame = table(rows("a", base + difference, metric=metric),
                          rows("b", base, metric=metric))  # fmt: skip
            compared = stats.compare(frame, TRAITS)
            found = with_comparisons(stats.aggregate(frame, TRAITS), compared, TRAITS)
            assert facts(found, "conflicts") == {leader: (other,), other: ()}

    def test_after_z_come_numbers(self):
        assert [letters._letter(i) for i in (0, 25, 26, 51, 52)] == ["a", "z", "a1", "z1", "a2"]

    def test_a_chain_of_neighbours(self):
        names = ["p", "q", "r", "s"]
        differ = [("p", "r"), ("s", "p"), ("q", "s")]
        found = letters.compact_letters(names, differ)
        assert found == {"p": "a", "q": "ab", "r": "bc", "s": "c"}
        assert letters.compact_letters([], []) == {}
        assert letters.compact_letters(["x", "y"], []) == {"x": "a", "y": "a"}


class TestAggregate:
    def test_every_field_by_hand(self):
        frame = table(rows("a", [1, 2, 6]), rows("b", [4, 4, np.nan]), rows("mixture", [0, 0, 0]))
        found = {s.system: s for s in stats.aggregate(frame, TRAITS, intervals=False)}
        a, b, mixture = found["a"], found["b"], found["mixture"]
        assert (a.value, a.n, a.own, a.total, a.rank) == (1.5, 2, 3, 3, 2)
        assert (b.value, b.n, b.own, b.rank, b.unranked, b.note) == (4, 2, 2, 1, "", "")
        assert a.songs == b.songs == {"song 00", "song 01"}
        assert (mixture.rank, mixture.unranked) == (None, "reference system")
        assert (a.family, mixture.family) == ("discriminative", "mixture")
        assert a.key == ("a", "vocals", "visqol") and a.ranked and not mixture.ranked
        assert (a.statistic, a.low, a.high, a.letters, a.conflicts) == ("mean", None, None, "", ())

    def test_blocks_are_sorted_by_stem_metric_rank_and_name(self):
        frame = table(
            rows("b", [3.0]), rows("a", [3.0]), rows("c", [9.0]), rows("mixture", [99.0]),
            rows("z", [np.nan]), rows("c", [1.0], metric="leak"), rows("c", [1.0], stem="bass"),
        )  # fmt: skip
        found = stats.aggregate(frame, TRAITS)
        assert [s.key for s in found] == [
            ("c", "bass", "visqol"), ("c", "vocals", "leak"), ("c", "vocals", "visqol"),
            ("a", "vocals", "visqol"), ("b", "vocals", "visqol"), ("mixture", "vocals", "visqol"),
            ("z", "vocals", "visqol"),
        ]  # fmt: skip
        assert [s.rank for s in found[2:]] == [1, 2, 2, None, None]

    def test_a_metric_without_a_better_side_ranks_nobody(self):
        traits = {**TRAITS, "leak": replace(TRAITS["leak"], direction=0)}
        frame = table(rows("a", [1.0], metric="leak"), rows("b", [2.0], metric="leak"))
        found = stats.aggregate(frame, traits)
        assert facts(found, "unranked") == dict.fromkeys("ab", "no direction")

    def test_the_commonest_reason_and_of_equals_the_first_by_name(self):
        frame = table(rows("a", [np.nan] * 4), rows("b", [1.0] * 4))
        frame.loc[frame.index[:4], "status"] = ["too_short", "failed: x", "failed: y", "too_short"]
        assert facts(stats.aggregate(frame, TRAITS), "note") == {"a": "failed", "b": ""}
        frame.loc[1, "status"] = "too_short: 3 s"
        assert facts(stats.aggregate(frame, TRAITS), "note")["a"] == "too short"

    def test_an_interval_needs_songs_and_follows_its_seed_and_statistic(self):
        x = np.random.default_rng(1).normal(3, 1, 9)
        frame = table(rows("a", x), rows("b", [np.nan] * 9))
        for seed, how in ((0, "mean"), (5, "median")):
            found = {s.system: s for s in stats.aggregate(
                frame, TRAITS, intervals=True, seed=seed, statistic=how)}  # fmt: skip
            expected = bootstrap.bootstrap(x, statistic=how, seed=seed)
            assert (found["a"].low, found["a"].high) == (expected.low, expected.high)
            assert found["a"].value == {"mean": math.fsum(x) / 9, "median": np.median(x)}[how]
            assert found["b"].low is None and found["b"].value is None

    def test_without_a_compared_system_the_references_share_their_songs(self):
        frame = table(rows("mixture", [1, 2]), rows("oracle-irm", [np.nan, 4]))
        found = {s.system: s for s in stats.aggregate(frame, TRAITS)}
        assert found["mixture"].value == 2 and found["oracle-irm"].value == 4


class TestSpread:
    def test_components_by_hand(self):
        x = np.array([[1.0, 3.0], [2.0, 8.0], [6.0, 4.0]])
        found = spread.variance_components(x)
        # means of songs 2, 5, 5; of draws 3, 5; of all 4
        ms_song, ms_seed, ms_rest = 2 * 6 / 2, 3 * 2 / 1, 16 / 2
        assert found == spread.Components((ms_song - ms_rest) / 2, (ms_seed - ms_rest) / 3,
                                          ms_rest, 3, 2)  # fmt: skip
        assert found.shares() == {"song": 0.0, "seed": 0.0, "residual": 1.0}
        assert spread.Components(0, 0, 0, 2, 2).shares() == {"song": 0, "seed": 0, "residual": 0}
        assert spread.Components(3, -1, 1, 2, 2).shares() == {
            "song": 0.75, "seed": 0.0, "residual": 0.25,
        }  # fmt: skip
        for bad in (np.ones((1, 5)), np.ones(4), np.ones((2, 2, 2))):
            with pytest.raises(UsageError, match="at least 2 songs and 2 draws"):
                spread.variance_components(bad)

    def test_a_row_of_draws_by_hand(self):
        frame = table(rows("gen", [1, 5, 2]), rows("gen", [3, 4, np.nan], draw=1))
        found = stats.draws(frame, TRAITS)
        row = found.iloc[0]
        assert (row["songs"], row["draws"], row["mean"]) == (2, 2, 3.25)
        assert (row["best_of_k"], row["worst_of_k"]) == (4.0, 2.5)
        parts = spread.variance_components(np.array([[1.0, 3.0], [5.0, 4.0]]))
        for name in ("song", "seed", "residual"):
            assert row[f"var_{name}"] == getattr(parts, name)
            assert row[f"share_{name}"] == parts.shares()[name]
        assert list(found)[:8] == ["system", "stem", "metric", "songs", "draws", "mean",
                                   "best_of_k", "worst_of_k"]  # fmt: skip
        assert (row["system"], row["stem"], row["metric"]) == ("gen", "vocals", "visqol")
        one_song = table(rows("gen", [1]), rows("gen", [3], draw=1))
        assert stats.draws(one_song, TRAITS).empty

    def test_a_tail_by_hand(self):
        values = np.arange(1.0, 42.0)  # 41 songs: 5 % are 2.05, so three
        row = stats.tails(table(rows("a", values)), TRAITS, thresholds={"visqol": 2.0}).iloc[0]
        assert row["worst_songs"] == ["song 00", "song 01", "song 02"] and row["worst"] == 2.0
        assert row["failures"] == 1 and row["failed_songs"] == ["song 00"], "2.0 is no failure"
        assert row["threshold"] == 2.0 and row["failure_rate"] == 1 / 41
        assert (row["rate_low"], row["rate_high"]) == spread.wilson_interval(1, 41)
        assert (row["n"], row["unscored"]) == (41, 0)
        assert (row["system"], row["stem"], row["metric"]) == ("a", "vocals", "visqol")
        half = stats.tails(table(rows("a", values[:4])), TRAITS, fraction=0.5).iloc[0]
        assert half["worst_songs"] == ["song 00", "song 01"] and half["threshold"] == 2.0
        least = stats.tails(table(rows("a", values[:4])), TRAITS, fraction=0.0).iloc[0]
        assert least["worst_songs"] == ["song 00"]

    def test_a_threshold_of_the_metric_and_of_the_column(self):
        frame = table(rows("a", [1.0, 5.0], metric="bsseval.sdr"))
        for given, expected in (
            (None, 0.0), ({"bsseval": 3.0}, 3.0), ({"bsseval": 3.0, "bsseval.sdr": 0.5}, 0.5),
            ({"bsseval.sdr": 0.0}, 0.0),
        ):  # fmt: skip
            assert stats.tails(frame, TRAITS, thresholds=given)["threshold"].tolist() == [expected]

    def test_equal_values_are_in_the_order_of_names_and_low_may_be_better(self):
        frame = table(rows("a", [2, 1, 2, 1], metric="leak"))
        row = stats.tails(frame, TRAITS, fraction=0.5, thresholds={"leak": 1.5}).iloc[0]
        assert row["worst_songs"] == ["song 00", "song 02"]
        assert row["failed_songs"] == ["song 00", "song 02"]
        flat = {**TRAITS, "leak": replace(TRAITS["leak"], direction=0)}
        assert stats.tails(frame, flat).empty

    @pytest.mark.parametrize("level", [0.8, 0.95])
    def test_wilson_at_another_level_is_scipys(self, level):
        for hits, n in ((0, 9), (4, 9), (9, 9)):
            theirs = sps.binomtest(hits, n).proportion_ci(level, method="wilson")
            found = spread.wilson_interval(hits, n, level=level)
            assert found == pytest.approx((theirs.low, theirs.high), abs=1e-12)
            assert 0 <= found[0] <= found[1] <= 1


class TestPower:
    def test_a_table_by_hand(self):
        x, y, z = [1.0, 2, 4, 4], [1.0, 1, 2, 5], [0.0, 5, 1, np.nan]
        frame = table(rows("a", x), rows("b", y), rows("c", z), rows("mixture", y),
                      rows("a", x, stem="bass"))  # fmt: skip
        found = stats.power(frame, "visqol", 0.5)
        assert found[["a", "b"]].values.tolist() == [
            ["a", "b"], ["a", "c"], ["b", "c"], ["median pair", ""],
        ]  # fmt: skip
        assert set(found["stem"]) == {"vocals"} and found["songs"].tolist() == [4, 3, 3, 3]
        both = ((x, y, 4), (x, z, 3), (y, z, 3))
        sds = [np.std(np.subtract(p, q)[:n], ddof=1) for p, q, n in both]
        assert found["sd"].tolist() == pytest.approx([*sds, np.median(sds)])
        for row in found.to_dict("records"):
            needed = row["needed"]
            assert paired_t_power(0.5, row["sd"], needed) >= 0.8
            assert paired_t_power(0.5, row["sd"], needed - 1) < 0.8
            shown = paired_t_power(row["detectable"], row["sd"], row["songs"])
            assert shown == pytest.approx(0.8, abs=1e-4)

    def test_target_and_level_are_used(self):
        frame = table(rows("a", [1.0, 2, 4, 4]), rows("b", [1.0, 1, 2, 5]))
        row = stats.power(frame, "visqol", 0.5, target=0.95, alpha=0.01).iloc[0]
        at = paired_t_power(0.5, row["sd"], row["needed"], alpha=0.01)
        before = paired_t_power(0.5, row["sd"], row["needed"] - 1, alpha=0.01)
        assert before < 0.95 <= at
        shown = paired_t_power(row["detectable"], row["sd"], 4, alpha=0.01)
        assert shown == pytest.approx(0.95, abs=1e-4)

    def test_edges(self):
        assert paired_t_power(1, 1, 1) == 0.0 and paired_t_power(0, 0, 5) == 0.05
        assert paired_t_power(0, 0, 5, alpha=0.2) == 0.2
        assert paired_t_power(1, 0, 2) == paired_t_power(50, 1, 100) == 1.0
        assert paired_t_power(-0.5, 1, 9) == paired_t_power(0.5, 1, 9)
        assert paired_t_power(0, 1, 9) == pytest.approx(0.05)
        assert detectable_effect(0, 5) == 0.0 and detectable_effect(1, 2) > 0
        assert songs_needed(1, 0) == 2 and songs_needed(-0.4, 0.5) > 2
        for effect in (0, math.nan, math.inf):
            with pytest.raises(
                UsageError, match=r"found the effect .*, expected a number other than 0"
            ):
                songs_needed(effect, 1)
        with pytest.raises(UsageError, match=r"an effect of 0\.1 at sd 1 needs over 100 songs"):
            songs_needed(0.1, 1, most=100)

    def test_what_there_is_is_listed(self):
        frame = table(rows("a", [1.0]), rows("a", [1.0], metric="leak"))
        with pytest.raises(UsageError, match="the run has no metric 'x'; there are: leak, visqol"):
            stats.power(frame, "x", 1)


class TestBootstrap:
    X = np.random.default_rng(3).gamma(1.5, 1.0, 15)

    @pytest.mark.parametrize(("level", "expand"), [(0.95, True), (0.8, True), (0.9, False)])
    def test_percentiles_are_those_of_drawn_songs(self, level, expand):
        n, resamples = len(self.X), 500
        rng = np.random.default_rng(7)
        drawn = self.X[rng.integers(0, n, (resamples, n), dtype=np.int32)].mean(axis=1)
        z = sps.norm.ppf((1 + level) / 2)
        if expand:
            z = math.sqrt(n / (n - 1)) * sps.t.ppf((1 + level) / 2, n - 1)
        found = bootstrap.bootstrap(self.X, method="percentile", level=level, expand=expand,
                                    resamples=resamples, seed=7)  # fmt: skip
        expected = np.quantile(drawn, [sps.norm.cdf(-z), sps.norm.cdf(z)])
        assert [found.low, found.high] == pytest.approx(expected.tolist())
        assert found.estimate == pytest.approx(self.X.mean()) and found.method == "percentile"

    def test_blocks_of_draws_are_one_sequence(self):
        x = np.random.default_rng(0).normal(size=600)
        made = bootstrap._replicates(x, arrays.STATISTICS["mean"], 4000, 3)
        rng = np.random.default_rng(3)
        index = np.concatenate([
            rng.integers(0, 600, (n, 600), dtype=np.int32) for n in (3333, 667)
        ])  # fmt: skip
        assert made.shape == (4000,) and np.array_equal(made, x[index].mean(axis=1))

    def test_an_interval_excludes_what_lies_outside(self):
        found = bootstrap.bootstrap(self.X)
        assert found.limits == (found.low, found.high) and found.n == 15
        assert found.excludes(found.low - 1) and found.excludes(found.high + 1)
        assert not found.excludes(found.estimate)
        few = bootstrap.bootstrap(self.X[:4])
        assert all(map(math.isnan, few.limits)) and few.estimate == self.X[:4].mean()


class TestSongs:
    def test_which_stem_stands_for_a_metric(self):
        assert songs.stem_or_average(["vocals"]) == "vocals"
        assert songs.stem_or_average(["vocals", "bass", "average"]) == "average"
        assert songs.stem_or_average(["accompaniment", "vocals"]) == "vocals"
        assert songs.stem_or_average(["accompaniment"]) == "accompaniment"
        assert songs.stem_or_average([]) == songs.stem_or_average(["average"]) == "average"

    def test_gains_by_hand(self):
        frame = table(
            rows("mixture", [1, 2, np.nan]), rows("a", [3, np.nan, 5]),
            rows("mixture", [4, 4, 4], metric="leak"), rows("a", [1, 6, 4], metric="leak"),
        )  # fmt: skip
        found = songs.improvement(frame, TRAITS)
        assert set(found["system"]) == {"a"}
        values = found["value"].tolist()
        assert values[0] == 2 and np.isnan(values[1:3]).all() and values[3:] == [3, -2, 0]
        assert found["status"].tolist() == ["ok", "failed: oops", "no_yardstick", *["ok"] * 3]
        assert frame["value"].tolist()[3] == 3, "the frame itself stays"
        noisy = frame.assign(status=["ill_conditioned" if s == "a" else "ok"
                                     for s in frame["system"]])  # fmt: skip
        found = songs.improvement(noisy, TRAITS)
        assert found["value"].isna().all() and set(found["status"]) == {"ill_conditioned"}
        other = songs.improvement(frame, TRAITS, over="a")
        assert set(other["system"]) == {"mixture"}

    def test_editions_and_totals(self):
        frame = pd.concat([table(rows("a", [1, 2])), table(rows("a", [3])).assign(edition="aac")])
        assert songs.of_edition(frame, "aac")["value"].tolist() == [3]
        assert songs.of_edition(songs.of_edition(frame, "hq"), "hq")["value"].tolist() == [1, 2]
        assert songs.songs_of_run(frame) == 2
        with pytest.raises(
            UsageError, match="editions aac, hq; one table has one edition, so filter the"
        ):
            songs.song_values(frame)

    def test_ill_conditioned_values_count_only_where_asked_for(self):
        frame = table(rows("a", [1.0, 2.0]), rows("a", [3.0, np.inf], draw=1))
        frame.loc[0, "status"] = "ill_conditioned"
        frame.loc[3, "status"] = "ok"
        key = ("a", "vocals", "visqol")
        assert songs.song_values(frame) == {key: {}}
        assert songs.song_values(frame, ill_conditioned=True) == {key: {"song 00": 2.0}}

    def test_another_aggregation_changes_frame_and_traits(self):
        frame = table(rows("a", [2, 7], metric="bsseval.sdr"))
        frame["frames"] = [[1.0, 2.0, math.inf, 9.0], ()]
        found, traits = songs.reaggregated(frame, TRAITS, "mean")
        # A value without windows beside one with windows stays the old statistic: left out.
        assert found["value"].tolist() == [4, pytest.approx(math.nan, nan_ok=True)]
        assert {t.aggregate for t in traits.values()} == {"mean"}
        assert songs.reaggregated(frame, TRAITS, None)[1] == TRAITS
        assert songs.reaggregated(frame, TRAITS, None)[0] is frame
        with pytest.raises(UsageError, match="unknown aggregation 'mode', expected mean or median"):
            songs.reaggregated(frame, TRAITS, "mode")


class TestArrays:
    def test_one_value_per_song(self):
        assert arrays.one_value_per_song([1, 2]).dtype == np.float64
        with pytest.raises(UsageError, match=r"got shape \(0,\)"):
            arrays.one_value_per_song([])
        with pytest.raises(UsageError, match=r"got shape \(2, 1\)"):
            arrays.one_value_per_song(np.ones((2, 1)))
        with pytest.raises(
            UsageError, match="2 of 3 values are not finite; first leave out the songs"
        ):
            arrays.one_value_per_song([math.nan, 1, math.inf])

    def test_groups_are_in_the_order_of_their_entries(self):
        frame = pd.DataFrame({"a": ["y", "x", "y", "x"], "b": [2, 2, 1, 2]})
        found = keys.Groups.by(frame, ["a", "b"])
        assert found.of_row.tolist() == [2, 0, 1, 0]
        assert found.entries == [["x", "y", "y"], [2, 1, 2]]
        codes, names = keys.coded(frame["a"])
        assert codes.tolist() == [1, 0, 1, 0] and names == ["x", "y"]
        assert keys.Groups.by(frame.iloc[:0], ["a"]).entries == [[]]


class TestSignificance:
    def test_equivalence_is_judged_on_both_sides(self):
        x = np.array([0.1, 0.3, -0.2, 0.25, 0.0])
        error = sps.sem(x)
        for margin in (0.1, 0.5):
            lower = sps.t.sf((x.mean() + margin) / error, 4)
            upper = sps.t.cdf((x.mean() - margin) / error, 4)
            assert tost(x, margin) == pytest.approx(max(lower, upper))
            assert tost(-x, margin) == pytest.approx(max(lower, upper))
        assert tost([0.2, 0.2], 0.2) == 1.0 and tost([1.0, 1.1], 0.5) > 0.5
        with pytest.raises(UsageError, match="margin is -1, expected more than 0"):
            tost([1.0, 2.0], -1)

    @pytest.mark.parametrize("n", [29, 30])
    def test_the_bound_on_a_grid_is_used_from_29_songs_on(self, n):
        d = np.random.default_rng(n).normal(0.2, 1, n)
        assert signflip.sign_flip(d) == signflip._mean_on_a_grid(d)
        assert signflip.sign_flip(d[:28]) == signflip._mean_by_halves(d[:28])
        exact = signflip._mean_by_halves(d)
        assert exact <= signflip.sign_flip(d) <= 1.08 * exact
        assert signflip._mean_on_a_grid(np.tile([1.0, -1.0], 20)) == 1.0
