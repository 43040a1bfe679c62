"""Mean differences of levels against numpy, which takes the same sums in the same order."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.metrics import gaps
from benchsep.metrics.gaps import Gaps

FACTOR = np.float32(8.7)


def in_order(values: np.ndarray) -> float:
    """Sum from the first to the last."""
    return float(np.cumsum(values)[-1])


def expected(pairs, our_floor, their_floor) -> list[float]:
    steps = []
    for ours, theirs in pairs:
        a, b = np.maximum(ours * FACTOR, our_floor), np.maximum(theirs * FACTOR, their_floor)
        steps.append((b - a).reshape(-1, 16))
    found = []
    for part in (np.concatenate(steps), -np.concatenate(steps)):
        lanes = np.cumsum(np.maximum(part, 0), axis=0, dtype=np.float64)[-1]
        found.append(in_order(lanes) / max(1, (part > 0).sum()))
    return found


@pytest.mark.parametrize("piece", [7, 1 << 20])
@pytest.mark.parametrize("shape", [(1, 16), (3, 48), (200, 512)])
def test_means_are_those_of_numpy_to_the_bit(shape, piece, monkeypatch):
    monkeypatch.setattr(gaps, "PIECE", piece)
    rng = np.random.default_rng(shape[0])
    # Levels about 0 have so many digits that double precision rounds their sums.
    pairs = [rng.standard_normal((2, *shape)).astype(np.float32) * 5 for _ in range(2)]
    pairs[0][1] *= np.float32(1e-7)
    floors = np.float32(-12.3), np.float32(-20.1)
    found = Gaps(FACTOR, *floors)
    for pair in pairs:
        found.add(*pair)
    assert list(found.means()) == expected(pairs, *floors)


def test_equal_levels_have_no_difference():
    levels = np.random.default_rng(0).standard_normal((2, 32)).astype(np.float32)
    found = Gaps(*np.float32([1, -9, -9]))
    found.add(levels, levels)
    assert found.means() == (0.0, 0.0)


def test_a_number_that_is_none_stays_one():
    levels = np.zeros((1, 16), np.float32)
    other = levels + 1
    other[0, 3] = np.nan
    found = Gaps(*np.float32([1, -9, -9]))
    found.add(levels, other)
    assert np.isnan(found.means()[0])
