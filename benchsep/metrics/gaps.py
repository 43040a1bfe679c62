"""Mean differences between two arrays of levels, where one is above and where it is below."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.jit import kernel
from benchsep.metrics.vectors import LANES, gap_sums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Single = NDArray[np.float32]

PIECE = 1 << 20
"""Vectors that are counted in 32 bits before they are added to the counts."""


class Gaps:
    """Sums of differences between levels, array after array.

    Levels are the arrays' numbers times ``factor``; lower ones count as ``our_floor`` and
    ``their_floor``. There is a partial sum per lane, because additions to a single sum depend on
    each other.
    """

    def __init__(self, factor: np.float32, our_floor: np.float32, their_floor: np.float32) -> None:
        self._scale = factor, our_floor, their_floor
        self._counts, self._totals = np.zeros((2, LANES), np.int64), np.zeros((2, LANES))

    def add(self, ours: Single, theirs: Single) -> None:
        """Add two arrays ``[frames, bands]`` of equal shape, with a multiple of 16 bands."""
        _add(ours, theirs, *self._scale, self._totals, self._counts, PIECE)

    def means(self) -> tuple[float, float]:
        """Mean difference where theirs is above ours, and mean of ours minus theirs where it is
        below; 0 if there is none.
        """
        # The last of the cumulative sums: lane after lane, where numpy's sum takes them in pairs.
        totals = np.cumsum(self._totals, axis=1)[:, -1]
        above, below = (
            float(total / count) if count else 0.0
            for count, total in zip(self._counts.sum(1), totals, strict=True)
        )
        return above, below


@kernel
def _add(
    ours: Single,
    theirs: Single,
    factor: np.float32,
    our_floor: np.float32,
    their_floor: np.float32,
    totals: NDArray[np.float64],
    counts: NDArray[np.int64],
    piece: int,
) -> None:
    part = np.empty((2, LANES), np.int32)
    rows = ours.size // LANES
    for first in range(0, rows, piece):
        count = min(piece, rows - first)
        gap_sums(ours, theirs, first, count, factor, our_floor, their_floor, totals, part)
        counts += part
