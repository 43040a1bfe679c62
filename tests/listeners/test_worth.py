"""The number of listeners that a metric is worth: synthetic listeners of known quality."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from benchsep.errors import UsageError
from benchsep.listeners.worth import crossing, curves, worth

SYSTEMS = {"d1": "discriminative", "d2": "discriminative", "g1": "generative", "g2": "generative"}


def ratings(songs: int, raters: int, metrics: dict[str, float], seed: int = 0) -> pd.DataFrame:
    """Listeners hear the true quality with noise of variance 1; metrics with a given variance."""
    rng = np.random.default_rng(seed)
    rows = []
    for song in range(songs):
        for system, family in SYSTEMS.items():
            quality = rng.normal()
            values = {n: quality + rng.normal() * math.sqrt(v) for n, v in metrics.items()}
            rows += [
                {
                    "song": f"s{song:03d}",
                    "stem": "vocals",
                    "system": system,
                    "family": family,
                    "rater": f"r{rater}",
                    "rating": quality + rng.normal(),
                    **values,
                }
                for rater in range(raters)
            ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("listeners", [1, 2, 4])
def test_a_metric_as_noisy_as_the_mean_of_n_listeners_is_worth_n(listeners):
    table = ratings(300, 16, {"m": 1 / listeners})
    found = worth(curves(table, {"m": 1}, splits=40), "m", resamples=300)
    assert found.low < listeners < found.high
    assert found.listeners == pytest.approx(listeners, rel=0.35)


def test_a_metric_without_information_is_worth_nothing_and_a_perfect_one_more_than_can_be_told():
    table = ratings(200, 12, {"noise": 1e6, "truth": 0.0})
    found = curves(table, {"noise": 1, "truth": 1}, splits=40)
    assert worth(found, "noise", resamples=200).listeners < 0.2
    best = worth(found, "truth", resamples=200)
    assert math.isinf(best.listeners) and str(best) == ">6 [>6, >6]"


def test_the_direction_of_a_metric_counts():
    table = ratings(60, 8, {"m": 0.5})
    table["loss"] = -table["m"]
    found = curves(table, {"m": 1, "loss": -1}, splits=20)
    np.testing.assert_allclose(found.metrics["m"], found.metrics["loss"])


def test_more_listeners_agree_better_and_a_scope_has_its_own_pairs():
    table = ratings(80, 12, {})
    everything = curves(table, {}, splits=40)
    shares = [everything.agreement(n) for n in everything.counts]
    assert shares == sorted(shares) and shares[0] > 0.6
    # two systems of a family make one pair a song; across there are four
    one = curves(table[table["system"] != "d2"], {}, scope="generative", splits=20)
    assert set(np.unique(np.round(one.listeners[:, 0] * 40) % 1)) == {0.0}
    with pytest.raises(UsageError, match="no song"):
        curves(table[table["system"] == "d1"], {})


def test_listeners_who_did_not_rate_every_clip_are_split_clip_by_clip():
    """Every clip has raters of its own: the shares are those of independent raters."""
    table = ratings(200, 12, {})
    apart = table.assign(rater=table["rater"] + table["system"])
    together, separate = (curves(t, {}, splits=40) for t in (table, apart))
    assert separate.counts == together.counts
    for n in (1, 3, 6):
        assert separate.agreement(n) == pytest.approx(together.agreement(n), abs=0.01)


def test_a_song_without_the_metric_is_left_out():
    table = ratings(160, 8, {"m": 0.5})
    table.loc[table["song"] < "s080", "m"] = np.nan
    found = curves(table, {"m": 1}, splits=100)
    half = curves(table[table["song"] >= "s080"], {"m": 1}, splits=100)
    assert worth(found, "m").listeners == pytest.approx(worth(half, "m").listeners, abs=0.2)
    table["m"] = np.nan
    assert math.isnan(worth(curves(table, {"m": 1}, splits=5), "m").listeners)


@pytest.mark.parametrize(
    ("listeners", "metric", "expected"),
    [
        ([0.6, 0.7, 0.8], [0.6, 0.6, 0.6], 1.0),
        ([0.6, 0.7, 0.8], [0.65, 0.65, 0.65], 1.5),
        ([0.6, 0.7, 0.8], [0.55, 0.55, 0.55], 0.5),
        ([0.6, 0.7, 0.8], [0.5, 0.5, 0.5], 0.0),
        ([0.6, 0.7, 0.8], [0.9, 0.9, 0.9], math.inf),
    ],
)
def test_crossing_by_hand(listeners, metric, expected):
    assert crossing(listeners, metric) == pytest.approx(expected)


@pytest.mark.shared
def test_public_ratings_give_the_published_curve(shared):
    from benchsep.listeners.study import read_study

    study = read_study("gensvs2025", data=shared / "data" / "listening")
    found = curves(study.ratings("quality"), {"visqol": 1}, scope="across")
    shares = [round(found.agreement(n), 2) for n in (1, 2, 3)]
    assert shares == pytest.approx([0.70, 0.75, 0.78], abs=0.011)
    assert 0.9 < worth(found, "visqol", resamples=300).listeners < 2
