"""FFT passes for transforms with one signal per lane.

Conventions
-----------
room       ``[2 * points, lanes]``: complex rows, see :mod:`benchsep.metrics.vectors`
twiddles   ``[points, 2]``: ``exp(-2 pi i k / points)``
block      rows that later passes combine only with each other: ``points`` rows at first; a pass of
           radix ``r`` splits a block into ``r`` blocks
order      see :func:`bin_places`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.jit import inner_kernel
from benchsep.metrics.vectors import (
    inner_pass,
    inner_pass_3,
    inner_pass_5,
    inner_pass_7,
    last_pass_2,
    last_pass_4,
    last_pass_8,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.floating[Any]]
    Whole = NDArray[np.int64]


def bin_places(points: int, *first: int) -> Whole:
    """The row of each bin after passes of the radices ``first``, then 8, then 4 or 2 for the rest.

    The digits of the bin's number are reversed.
    """
    bins, found, block = np.arange(points), np.zeros(points, np.int64), points
    radices = list(first)
    while block > 1:
        radix = radices.pop(0) if radices else min(8, block)
        block //= radix
        found += bins % radix * block
        bins = bins // radix
    return found


@inner_kernel
def odd_pass(
    room: Rows, twiddles: Rows, points: int, block: int, radix: int, first: int, stop: int
) -> None:
    """A pass of radix 3, 5 or 7 over rows ``first`` to ``stop``, in blocks of ``block`` before."""
    step, turn = block // radix, points // block
    for start in range(first, stop, block):
        for k in range(step):
            row = 2 * (start + k)
            if radix == 3:
                inner_pass_3(twiddles, k * turn, room, row, 2 * step)
            elif radix == 5:
                inner_pass_5(twiddles, k * turn, room, row, 2 * step)
            else:
                inner_pass_7(twiddles, k * turn, room, row, 2 * step)


@inner_kernel
def even_passes(room: Rows, twiddles: Rows, points: int, block: int, first: int, stop: int) -> None:
    """All remaining passes for blocks that are powers of two, on rows ``first`` to ``stop``."""
    while block > 8:
        step, turn = block // 8, points // block
        for start in range(first, stop, block):
            for k in range(step):
                inner_pass(twiddles, k * turn, room, 2 * (start + k), 2 * step)
        block = step
    for start in range(first, stop, block):
        if block == 8:
            last_pass_8(room, 2 * start)
        elif block == 4:
            last_pass_4(room, 2 * start)
        elif block == 2:
            last_pass_2(room, 2 * start)
