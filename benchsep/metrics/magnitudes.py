"""Sums over the STFT magnitudes of two signals: transforms in single, sums in double precision.

Conventions
-----------
frames     centred, with zeros beyond both ends: ``1 + samples // hop`` frames
lanes      each lane holds a sixteenth of a signal, see :mod:`benchsep.metrics.spectra`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.framing import interleave
from benchsep.metrics.jit import kernel
from benchsep.metrics.spectra import aligned, lanes_with, magnitudes, plan, transform
from benchsep.metrics.vectors import CONTRACT, DOUBLES, LANES, constant, row_at, widened
from benchsep.metrics.words import counted, data, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Single = NDArray[np.float32]
    Real = NDArray[np.float64]
    Whole = NDArray[np.int64]

STEP = 8
"""Frames per block: the samples of all lanes stay in the second-level cache."""


def magnitude_products(first: Single, second: Single, size: int, hop: int) -> Real:
    """``sum |X|^2``, ``sum |Y|^2`` and ``sum |X| |Y|`` over all frames and bins, ``[3]``.

    Parameters
    ----------
    first, second
        ``[samples]`` float32, of equal length; ``X`` and ``Y`` are their spectra.
    size, hop
        of the frames, in samples; ``size`` as in :mod:`benchsep.metrics.spectra`, the window is a
        periodic Hann window.
    """
    count = 1 + len(first) // hop
    own = -(-count // LANES)  # frames of a lane
    tables, kept = plan(size), size - hop
    signals = [np.ascontiguousarray(x, np.float32)[None] for x in (first, second)]
    lanes = [aligned(kept + STEP * hop) for _ in signals]
    room, near, far = aligned(size), aligned(size // 2 + 1), aligned(size // 2 + 1)
    sums, valid = np.zeros((3, LANES)), lanes_with(count, own, LANES)
    for signal, rows in zip(signals, lanes, strict=True):
        interleave(signal, -(size // 2), own * hop, rows[:kept])
    for start in range(0, own, STEP):
        now = min(STEP, own - start)
        for signal, rows in zip(signals, lanes, strict=True):
            ahead = start * hop + kept - size // 2
            interleave(signal, ahead, own * hop, rows[kept : kept + now * hop])
        _add_frames(
            lanes[0], lanes[1], hop, valid[start : start + now], tables.window, tables.twiddles,
            tables.halves, tables.places, room, near, far, sums,
        )  # fmt: skip
        for rows in lanes:
            rows[:kept] = rows[now * hop : now * hop + kept].copy()
    return np.asarray(sums.sum(1))


@kernel
def _add_frames(
    ours: Single,
    theirs: Single,
    hop: int,
    valid: Whole,
    window: Single,
    twiddles: Single,
    halves: Single,
    places: Whole,
    room: Single,
    near: Single,
    far: Single,
    sums: Real,
) -> None:
    size, found = room.shape[0], np.empty((6, LANES // 2))
    for frame in range(valid.shape[0]):
        transform(ours, frame * hop, window, twiddles, size, room)
        magnitudes(room, places, halves, near)
        transform(theirs, frame * hop, window, twiddles, size, room)
        magnitudes(room, places, halves, far)
        row_products(near, far, near.shape[0], found)
        for lane in range(valid[frame]):
            half, place = lane // (LANES // 2), lane % (LANES // 2)
            for k in range(3):
                sums[k, lane] += found[2 * k + half, place]


def _type_products(_: Any, near: Any, far: Any, count: Any, found: Any) -> Any:
    """Sums of squares of ``near``, of ``far``, and of products over ``count`` >= 1 rows: float64
    ``[6, 8]``, two rows of each, for the first and the last eight lanes.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        near, far, count, found = data(context, builder, signature, arguments)

        def turn(index: Any, totals: list[Any]) -> list[Any]:
            loaded = (builder.load(row_at(builder, rows, index), align=4) for rows in (near, far))
            a, b = (widened(builder, row) for row in loaded)
            pairs = [*zip(a, a, strict=True), *zip(b, b, strict=True), *zip(a, b, strict=True)]
            return [
                builder.fadd(builder.fmul(x, y, flags=CONTRACT), total, flags=CONTRACT)
                for (x, y), total in zip(pairs, totals, strict=True)
            ]

        for k, total in enumerate(counted(builder, count, [constant(0.0, DOUBLES)] * 6, turn)):
            builder.store(total, row_at(builder, found, number(k)), align=8)
        return context.get_dummy_value()

    return types.void(near, far, count, found), generate


row_products: Any = intrinsic(_type_products)
