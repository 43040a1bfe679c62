"""Means over stems, against the definition written row by row."""

import math
import random

import pandas as pd
import pytest

from benchsep.stats import song_values, with_average, without_bass
from benchsep.stats.keys import last_of_each

STATUSES = ("ok",) * 8 + ("ill_conditioned", "ref_silent", "failed: x")
STEMS = {"m": ("vocals", "drums", "bass", "other"), "v": ("vocals",), "b": ("bass", "vocals")}


def cells(seed: int) -> pd.DataFrame:
    """Cells in any order, some of them missing, some without a value."""
    rng = random.Random(seed)
    rows = []
    for system in ("b", "a", "é"):
        for track in ("song 2", "Song 10", "song 1"):
            for metric, stems in STEMS.items():
                for stem in (*stems, "accompaniment"):
                    for draw in range(1 + seed % 3):
                        status = rng.choice(STATUSES)
                        known = status in ("ok", "ill_conditioned")
                        value = rng.gauss(0, 3) if known else math.nan
                        rows.append((system, track, stem, metric, value, status, draw))
    rows = [row for row in rows if rng.random() < 0.95]
    rng.shuffle(rows)
    names = ["system", "track", "stem", "metric", "value", "status", "draw"]
    return pd.DataFrame(rows, columns=names).assign(family="generative", edition="clip")


def expected(frame: pd.DataFrame, group: tuple, stems: list[str]) -> tuple[float, str]:
    """The mean over ``stems`` of a song where all four have a value, and the status."""
    system, metric, track, draw = group
    part = frame[(frame["system"] == system) & (frame["metric"] == metric)]
    part = part[(part["track"] == track) & (part["draw"] == draw)]
    found = dict(zip(part["stem"], zip(part["value"], part["status"], strict=True), strict=True))
    statuses = [found.get(s, (math.nan, "no_stem"))[1] for s in sorted(STEMS[metric])]
    bad = [s for s in statuses if s not in ("ok", "ill_conditioned")]
    if bad:
        return math.nan, bad[0]
    mean = math.fsum(found[s][0] for s in stems) / len(stems)
    return mean, "ok" if set(statuses) == {"ok"} else "ill_conditioned"


@pytest.mark.parametrize("seed", range(6))
def test_averages_are_exact_means_or_the_first_reason(seed):
    frame = cells(seed)
    averaged = with_average(frame)
    added = averaged[averaged["stem"] == "average"]
    pd.testing.assert_frame_equal(averaged.iloc[: len(frame)][list(frame)], frame)
    keys = ["system", "metric", "track", "draw"]
    assert added[keys].apply(tuple, axis=1).is_monotonic_increasing
    for row in added.to_dict("records"):
        value, status = expected(frame, tuple(row[k] for k in keys), list(STEMS[row["metric"]]))
        assert row["status"] == status
        assert row["value"] == value or (math.isnan(row["value"]) and math.isnan(value))
    several = frame[frame["metric"].isin(["m", "b"]) & (frame["stem"] != "accompaniment")]
    assert len(added) == len(several[keys].drop_duplicates())


def test_the_mean_without_bass_is_of_the_same_songs():
    frame = cells(0)
    rows = without_bass(frame)
    assert set(rows["metric"]) == {"m"}, "b has one other stem, v has no bass"
    for row in rows.to_dict("records"):
        group = tuple(row[k] for k in ("system", "metric", "track", "draw"))
        value, status = expected(frame, group, ["vocals", "drums", "other"])
        assert row["status"] == status
        assert row["value"] == value or (math.isnan(row["value"]) and math.isnan(value))


@pytest.mark.parametrize("seed", range(6))
def test_a_song_has_its_mean_over_draws_or_none(seed):
    frame = cells(seed)
    found = song_values(frame)
    wanted: dict = {}
    for row in frame.sort_values(["system", "stem", "metric", "track"]).to_dict("records"):
        songs = wanted.setdefault((row["system"], row["stem"], row["metric"]), {})
        value = row["value"] if row["status"] == "ok" else math.nan
        songs.setdefault(row["track"], []).append(value)
    means = {
        key: {t: math.fsum(v) / len(v) for t, v in songs.items() if not any(map(math.isnan, v))}
        for key, songs in wanted.items()
    }
    assert found == means
    assert list(found) == sorted(found) and all(list(s) == sorted(s) for s in found.values())


def test_the_last_entry_of_each_key_stands_in_the_order_of_the_keys():
    frame = pd.DataFrame({"k": ["b", "a", "b", "a"], "v": ["1", "2", "3", "4"]})
    assert list(last_of_each(frame, "k", "v").items()) == [("b", "3"), ("a", "4")]
