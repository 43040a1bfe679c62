"""Agreement with listeners: counted by hand, and the published figures from the public ratings."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchsep.errors import UsageError
from benchsep.listeners.agreement import agreement, rating_differences, render
from benchsep.listeners.badges import (
    all_badges,
    badge,
    badges_of,
    disagreement,
    fails_across,
    shown,
    warning,
    write_badges,
)
from benchsep.listeners.combine import with_combined
from benchsep.listeners.ratings import attach_metrics
from benchsep.listeners.scopes import SCOPES
from benchsep.listeners.study import read_study
from benchsep.listeners.verdicts import verdict
from benchsep.metrics.catalog import columns_by_alias, traits_of


def read_ratings(path, **options) -> pd.DataFrame:
    """The clips of a bare CSV."""
    return read_study(path, **options).clips("quality")


FAMILY = {"d1": "discriminative", "d2": "discriminative", "g1": "generative", "g2": "generative"}


def ratings(tmp_path, songs, **columns) -> pd.DataFrame:
    """``songs``: per song the ratings of d1, d2, g1, g2; ``columns``: metrics, the same shape."""
    rows = [
        {"song": f"s{i}", "system": system, "family": FAMILY[system], "rating": scores[j]}
        | {name: values[i][j] for name, values in columns.items()}
        for i, scores in enumerate(songs)
        for j, system in enumerate(FAMILY)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "r.csv", index=False)
    return read_ratings(tmp_path / "r.csv")


@pytest.fixture
def public(shared) -> pd.DataFrame:
    return read_ratings(shared / "data" / "listening" / "gensvs_eval_data.csv")


@pytest.mark.shared
class TestPublicRatings:
    def test_published_shares(self, public):
        found = agreement(public).set_index("metric")
        for metric, shares in {
            "sdr": (0.87, 0.45, 0.35),
            "visqol": (0.84, 0.65, 0.71),
            "emb_mse_clap_music_df": (0.85, 0.59, 0.73),
            "meta_audiobox_aes_PQ": (0.77, 0.57, 0.72),
        }.items():
            assert tuple(found.loc[metric, list(SCOPES)].astype(float).round(2)) == shares
        limits = found.loc["sdr", ["across_low", "across_high"]].astype(float).round(2)
        assert tuple(limits) == (0.29, 0.41)
        assert found.attrs["skipped"] == [f"rating_{i}" for i in range(12)]

    def test_the_tie_of_the_two_best(self, public):
        found = rating_differences(public).set_index(["a", "b"])
        row = found.loc[("melroformer_bigvgan", "melroformer_large")]
        assert tuple(round(row[k], 2) for k in ("difference", "low", "high")) == (0.01, -0.19, 0.21)
        assert row["p_holm"] > 0.9

    def test_built_in_badges_are_these_figures(self, public):
        pair = "visqol+emb_mse_clap_music_df"
        clips = with_combined(public, [pair], {"visqol": 1, "emb_mse_clap_music_df": -1})
        clips = clips.rename(columns={pair: "quality2"})
        fresh = agreement(clips, directions={"quality2": 1}).set_index("metric")
        names = {column: alias for alias, column in columns_by_alias().items()}
        headlines = {c: b for c in all_badges() if (b := badge(c))}
        assert {c for c, b in headlines.items() if b.study == "gensvs2025"} == headlines.keys()
        assert len(headlines) >= 11
        for column, found in headlines.items():
            row = fresh.loc[names.get(column, column)]
            for scope in SCOPES:
                figures = [row[f"{scope}{end}"] for end in ("", "_low", "_high")]
                share = getattr(found, scope)
                assert [share.share, share.low, share.high] == pytest.approx(figures, abs=0.002)


class TestCounting:
    def test_by_hand(self, tmp_path):
        # d1 > d2 for listeners, g1 = g2; across: d1 > both, both > d2
        found = agreement(
            ratings(tmp_path, [[4, 1, 2, 2]], sdr=[[4, 1, 9, 8]], multi_res_loss=[[1, 2, 1, 3]])
        ).set_index("metric")
        sdr = found.loc["sdr"]
        assert sdr["discriminative"] == 1 and sdr["discriminative_pairs"] == 1
        assert math.isnan(sdr["generative"]) and sdr["generative_pairs"] == 0
        assert sdr["across"] == 0.5 and sdr["across_pairs"] == 4
        # lower is better; a tie of the metric (d1, g1) is a miss
        loss = found.loc["multi_res_loss"]
        assert loss["across"] == 0.5 and loss["direction"] == -1

    def test_the_song_is_the_unit(self, tmp_path):
        # one right of one pair, none right of six pairs: the mean over songs is a half
        table = pd.concat(
            [
                ratings(tmp_path, [[1, 2, 3, 4]], sdr=[[4, 3, 2, 1]]),
                ratings(tmp_path, [[1, 2, 3, 4]], sdr=[[1, 2, 3, 4]]).iloc[[0, 2]].assign(song="t"),
            ]
        )
        assert agreement(table).loc[0, "across"] == 0.5

    def test_listener_noise_in_the_last_bit_is_a_tie(self, tmp_path):
        table = ratings(tmp_path, [[0.1 + 0.2, 0.3, 1, 2]], sdr=[[1, 2, 3, 4]])
        assert agreement(table).loc[0, "discriminative_pairs"] == 0

    def test_a_missing_value_makes_no_pair(self, tmp_path):
        table = ratings(tmp_path, [[1, 2, 3, 4]], sdr=[[1, np.nan, 3, 4]])
        assert agreement(table).loc[0, "discriminative_pairs"] == 0

    def test_row_order_changes_nothing(self, tmp_path):
        rng = np.random.default_rng(0)
        table = ratings(tmp_path, rng.normal(size=(12, 4)), sdr=rng.normal(size=(12, 4)))
        other = table.sample(frac=1, random_state=1)
        pd.testing.assert_frame_equal(agreement(table), agreement(other))


class TestReading:
    def test_a_row_per_rating_is_averaged_and_anchors_make_no_pairs(self, tmp_path):
        path = tmp_path / "page.csv"
        path.write_text(
            "rater,track,stem,system,family,rating\n"
            + "".join(
                f"{rater},{song},vocals,{system},{family},{score}\n"
                for rater in "xy"
                for song in "ab"
                for system, family, score in [
                    ("g1", "generative", 60 + (rater == "x")),
                    ("d1", "discriminative", 80),
                    ("reference", "reference", 100),
                    ("anchor35", "anchor", 10),
                ]
            )
        )
        table = read_ratings(path).assign(sdr=[1, 2, 3, 4, 1, 2, 3, 4])
        assert table.query("system == 'g1'")["rating"].tolist() == [60.5, 60.5]
        found = agreement(table).iloc[0]
        assert [found[f"{s}_pairs"] for s in SCOPES] == [0, 0, 2]

    def test_scores_of_a_run_can_stand_beside_the_ratings(self, tmp_path):
        table = ratings(tmp_path, [[4, 1, 3, 2]])
        frame = pd.DataFrame(
            {
                "system": list(FAMILY), "track": "s0", "stem": "vocals", "metric": "visqol",
                "draw": 0, "value": [4.0, 1.0, 3.0, 2.0], "status": "ok", "edition": "hq",
            }
        )  # fmt: skip
        joined = attach_metrics(table, frame)
        assert agreement(joined, directions={"visqol": 1}).loc[0, "across"] == 1
        with pytest.raises(UsageError, match="none of the rated clips"):
            attach_metrics(table, frame.assign(track="other"))

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("a,b\n1,2\n", "no column for the song"),
            ("song,system,family,rating\ns,a,generative,good\n", "not a number"),
            ("song,system,family,rating\ns,a,generative,1\nt,a,oracle,1\n", "two families"),
            ("", "cannot be read"),
        ],
    )
    def test_a_file_that_cannot_be_used_says_why(self, tmp_path, text, words):
        (tmp_path / "r.csv").write_text(text)
        with pytest.raises(UsageError, match=words):
            read_ratings(tmp_path / "r.csv")

    def test_families_can_be_given(self, tmp_path):
        (tmp_path / "r.csv").write_text("song,system,rating\ns,d1,1\ns,g1,2\n")
        table = read_ratings(tmp_path / "r.csv", families=FAMILY)
        assert table["family"].tolist() == ["discriminative", "generative"]

    def test_an_unknown_direction_is_asked_for(self, tmp_path):
        table = ratings(tmp_path, [[1, 2, 3, 4]], mystery=[[1, 2, 3, 4]])
        with pytest.raises(UsageError, match="'mystery' has no known direction"):
            agreement(table, metrics=["mystery"])
        found = agreement(table, metrics=["mystery"], directions={"mystery": -1})
        assert found.loc[0, "across"] == 0

    def test_ratings_without_a_pair_are_refused(self, tmp_path):
        with pytest.raises(UsageError, match="no usable pair"):
            agreement(ratings(tmp_path, [[1, 1, 1, 1]], sdr=[[1, 2, 3, 4]]))


class TestBadges:
    def test_sdr_fails_across_and_visqol_holds(self):
        assert badge("bsseval.sdr").verdict == "fails"
        assert badge("visqol").verdict == "holds"
        assert badge("usdr") is None
        assert str(badge("visqol")).endswith("across (gensvs2025)")

    def test_both_questions_have_badges_and_oppose_each_other(self):
        for column, question in {
            "sisdr.sir": "interference",
            "bleedless.bleedless": "interference",
            "bleedless.fullness": "quality",
        }.items():
            found = {b.question: b for b in badges_of(column)}
            other = "quality" if question == "interference" else "interference"
            assert found[question].verdict == "holds" and found[other].verdict == "fails"
            assert shown(column).question == question and shown(column).scope == "discriminative"
        assert badge("sisdr.sir") is None  # no study compares families by it

    def test_every_metric_that_ships_and_can_be_scored_has_a_badge(self):
        metrics = {column.split(".")[0] for column in all_badges()}
        assert metrics >= {
            "visqol", "dnsmos", "nisqa", "bsseval", "usdr", "sisdr", "mrstft", "lsd", "logwmse",
            "leakage", "bleedless", "alignment", "onsets", "zimtohrli",
        }  # fmt: skip

    def test_studies_that_disagree_are_named(self):
        text = disagreement("visqol")
        assert "disagree on quality within discriminative" in text
        assert "gensvs2025" in text and "ward2018" in text
        assert disagreement("mrstft") == "" and disagreement("unknown") == ""

    def test_the_table_of_the_docs_is_this_one(self):
        from benchmarks.badges import table

        docs = Path(__file__).parents[2] / "docs" / "listeners.md"
        assert table() in docs.read_text(encoding="utf-8")

    def test_written_badges_are_strict_json_and_come_back(self, tmp_path):
        rng = np.random.default_rng(0)
        clips = ratings(tmp_path, rng.normal(size=(9, 4)), visqol=rng.normal(size=(9, 4)))
        rows = clips.assign(rater="x", stem="vocals")
        judged = verdict("t", rows, clips)
        write_badges([("s", "quality", "a study", judged)], tmp_path / "b.json")
        content = json.loads((tmp_path / "b.json").read_text(), parse_constant=pytest.fail)
        assert content["studies"] == {"s": "a study"}
        (entry,) = content["columns"]["visqol"]
        assert entry["across"][0] == pytest.approx(judged.table.loc[0, "across"], abs=6e-4)
        assert entry["listeners"] == [None, None, None]  # one rating a clip tells of no listeners

    def test_only_a_mixed_table_is_warned_of(self):
        mixed = ["generative", "discriminative", "oracle"]
        sdr, visqol = traits_of(("bsseval",)), traits_of(("visqol",))
        assert "agree on .35 of" in warning(["bsseval.sdr"], sdr, mixed)
        assert "agree on .35 to .39 of" in warning(["bsseval.sdr", "bsseval.isr"], sdr, mixed)
        assert warning(["bsseval.sdr"], sdr, ["generative", "oracle"]) == ""
        assert warning(["visqol"], visqol, mixed) == ""

    def test_a_metric_that_nobody_judged_is_trusted_as_it_is_built(self):
        usdr = traits_of(("usdr",))
        assert badge("usdr") is None and fails_across("usdr", usdr["usdr"])
        assert "coin" not in warning(["usdr"], usdr, ["generative", "discriminative"])
        lsd = traits_of(("lsd",))["lsd"]
        assert badge("lsd") is None and not fails_across("lsd", lsd)


def test_the_terminal_table(tmp_path):
    rng = np.random.default_rng(0)
    table = ratings(tmp_path, rng.normal(size=(9, 4)), sdr=rng.normal(size=(9, 4)))
    text = render(agreement(table))
    assert text.splitlines()[0].split() == ["metric", *SCOPES, "pairs"]
    assert "9/9/36" in text
