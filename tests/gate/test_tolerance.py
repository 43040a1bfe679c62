"""Limits by hand and by scipy: which tolerance holds, how wide it is, what can be detected."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats as sps

from benchsep.errors import DriftError, UsageError
from benchsep.gate.cells import CellKey, Group
from benchsep.gate.tolerance import (
    EXACT,
    ROUNDING,
    Limit,
    Limits,
    Noise,
    noise,
    parse_tolerance,
    with_known_names,
)
from benchsep.metrics.metric import Tolerance

GROUP, STILL = Group("one", "vocals", "visqol"), Group("one", "bass", "visqol")
DECLARED = {"visqol": Tolerance(0.02, 0.01, "declared")}


def keys(group: Group, songs: int) -> list[CellKey]:
    return [CellKey(group.system, f"song {n}", group.stem, 0, group.metric) for n in range(songs)]


def content(*spreads: tuple[Group, Noise], tolerances: dict[str, Any] | None = None):
    return {
        "noise": [
            {"system": g[0], "stem": g[1], "metric": g[2], **vars(spread)} for g, spread in spreads
        ],
        "tolerances": tolerances or {},
        "directions": {"visqol": 1},
    }


def test_a_measured_limit_is_students_quantile_of_a_difference_of_two_runs():
    songs, alpha = 6, 0.05
    moving = (GROUP, Noise(sd=0.1, df=12, runs=3, worst=0.15))
    both = keys(GROUP, songs) + keys(STILL, songs)
    limits = Limits.of(
        content(moving, (STILL, Noise(0.0, 12, 3, 0.0))), DECLARED, both, both, alpha
    )
    # One test for each cell of the group that moves, and one for its mean.
    assert limits.level == alpha / (songs + 1)
    width = sps.t.ppf(1 - limits.level / 2, 12) * math.sqrt(2) * 0.1
    limit = limits.of_group(GROUP, songs)
    assert limit.cell == pytest.approx(width) and limit.cell > 0.15
    assert limit.mean == pytest.approx(width / math.sqrt(songs))
    assert limit.source == "measured"
    assert limits.of_group(STILL, songs) == Limit(0.02, 0.01, "declared")


def test_only_cells_of_both_sides_are_tests_and_each_group_adds_one():
    other = Group("two", "vocals", "visqol")
    spreads = [(g, Noise(0.1, 12, 3, 0.1)) for g in (GROUP, other)]
    old = keys(GROUP, 5) + keys(other, 3)
    new = keys(GROUP, 4) + keys(other, 3)
    limits = Limits.of(content(*spreads), DECLARED, old, new, 0.01)
    assert limits.level == 0.01 / (4 + 3 + 2)
    assert Limits.of(content(), DECLARED, old, new, 0.01).level == 0.01


def test_no_cell_is_held_to_less_than_what_was_seen_or_declared():
    limits = Limits({}, DECLARED, {GROUP: Noise(1e-3, 30, 4, 0.5)}, {"visqol": 1}, 0.01)
    width = sps.t.ppf(1 - 0.01 / 2, 30) * math.sqrt(2) * 1e-3
    assert limits.of_group(GROUP, 1) == Limit(0.5, 0.01, "declared")
    assert width < 0.01
    limits = Limits({}, {}, {GROUP: Noise(1e-9, 30, 4, 0.0)}, {"visqol": 1}, 0.01)
    assert limits.of_group(GROUP, 1) == Limit(ROUNDING, ROUNDING, "measured")
    assert Limits({}, {}, {}, {}, 0.01).of_group(GROUP, 1) == EXACT == Limit(2e-6, 2e-6, "none")


def test_a_shift_of_the_printed_size_is_found_in_four_of_five():
    sd, songs = 0.1, 9
    limits = Limits({}, {}, {GROUP: Noise(sd, 30, 4, 0.1)}, {"visqol": 1}, 0.01)
    limit = limits.of_group(GROUP, songs)
    shift = limits.detectable(GROUP, songs, limit)
    law = sps.norm(shift, math.sqrt(2 / songs) * sd)  # of the measured mean difference
    assert law.sf(limit.mean) == pytest.approx(0.8, abs=1e-4)
    assert limits.detectable(STILL, songs, limit) == limit.mean


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("visqol",), "visqol"),
        (("bsseval", "bsseval.sdr"), "bsseval.sdr"),
        (("bsseval",), "bsseval"),
        (("one bsseval", "bsseval.sdr"), "one bsseval"),
        (("one bsseval", "one bsseval.sdr"), "one bsseval.sdr"),
        (("two bsseval",), ""),
    ],
)
def test_the_nearest_given_tolerance_holds(given, expected):
    """Column before metric, a system's own before that of all systems."""
    metric = "visqol" if "visqol" in given else "bsseval.sdr"
    tolerances = {name: Tolerance(0.5 + n, 0.25, "why") for n, name in enumerate(given)}
    limits = Limits(tolerances, {}, {}, {}, 0.01)
    found = limits.of_group(Group("one", "vocals", metric), 3)
    wanted = tolerances.get(expected)
    assert found == (Limit(wanted.cell, 0.25, "given") if wanted else EXACT)


def test_names_of_tolerances_are_canonical_and_may_follow_a_label_with_spaces():
    columns = ("visqol", "bsseval.sdr", "usdr")
    systems = ("my", "my model", "two")
    limit = Tolerance(1, 1, "")
    given = {"my model ViSQOL": limit, "two  bsseval": limit, "usdr": limit}
    assert set(with_known_names(given, systems, columns)) == {
        "my model visqol", "two bsseval", "usdr",
    }  # fmt: skip
    with pytest.raises(UsageError, match="three usdr"):
        with_known_names({"three usdr": limit}, systems, columns)


def frame(values: dict[str, float], status: str = "ok") -> pd.DataFrame:
    rows = [
        {"system": "one", "track": track, "stem": "vocals", "draw": 0, "metric": "visqol",
         "value": value, "status": status}
        for track, value in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_noise_is_pooled_over_the_songs_by_hand():
    runs = [frame({"a": a, "b": b}) for a, b in ((1.0, 4.0), (2.0, 4.0), (3.0, 7.0))]
    found = noise(runs)[GROUP]
    # songs: sum of squares 2 and 6, two degrees of freedom each
    assert found == Noise(math.sqrt(8 / 4), 4, 3, 3.0)


def test_a_song_without_a_value_in_one_run_is_no_repeat():
    runs = [frame({"a": 1.0, "b": 2.0}), frame({"a": 2.0, "b": np.nan}, "ok")]
    runs[1].loc[1, "status"] = "ref_silent"
    assert noise(runs)[GROUP] == Noise(math.sqrt(0.5), 1, 2, 1.0)


def test_the_run_that_differs_is_named_by_its_number():
    same, other = frame({"a": 1.0}), frame({"a": 1.0, "b": 1.0})
    with pytest.raises(DriftError, match=r"^run 3 and run 1 differ in 1 cell, e\.g\. one / b / "):
        noise([same, same, other])
    with pytest.raises(DriftError, match="at least two runs of the same suite, found 1"):
        noise([same])


@pytest.mark.parametrize("text", ["visqol=0/0", "visqol=999999999/0", "  usdr =0.5"])
def test_limits_of_what_may_be_given(text):
    name, found = parse_tolerance(text)
    assert name in ("visqol", "usdr") and found.mean <= found.cell
    assert found.reason == "given on the command line"


@pytest.mark.parametrize("text", ["visqol=1000000000", "visqol=-0.1/-0.2", " =1", "usdr"])
def test_what_lies_beyond_them_is_refused(text):
    with pytest.raises(DriftError, match="expected METRIC=CELL/MEAN"):
        parse_tolerance(text)
