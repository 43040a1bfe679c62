"""NSIM of one reference patch with the patches at every offset of the search.

Conventions
-----------
levels      float64 ``[bands, frames]`` of the estimate, above the common floor
lanes       neighbouring offsets; for one point of the patch, they read neighbouring frames
quotients   two points share a division, ``a/b + c/d = (a d + c b) / (b d)``, because a division
            takes as long as all other operations of a point
reads       memory reads would take longer than the arithmetic, so products ``r d`` of a column are
            kept for the next two columns, and values of the reference are used for two vectors
frames      a loop with two frames per iteration, because fully unrolled code (30 frames) needs too
            many registers
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.jit import kernel
from benchsep.metrics.visqol.lanes import (
    LANES,
    constant,
    everywhere,
    load,
    multiply_add,
    store,
)
from benchsep.metrics.visqol.nsim import C1, C3, CENTRE, CORNER, SIDE, WIDTH
from benchsep.metrics.words import counted, data, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

Quotient = tuple[Any, Any]
"""Vectors of a numerator and a denominator."""
Column = tuple[Any, Any]
"""For one frame: a product of levels, and the sum of the products in the bands above and below."""

TAPS = 5
"""Values per point of the reference, see :func:`benchsep.metrics.visqol.nsim.reference_taps`."""
TOGETHER = 2 if LANES == 8 else 1
"""Neighbouring vectors per iteration; more would need too many registers."""
MARGIN = 1 + TOGETHER * LANES
"""Frames that are read after the patch at the last offset: one neighbour, and the rest of the
vectors."""
AHEAD = tuple(range(0, TOGETHER * LANES, LANES))
BLOCK = 512
"""Offsets per block: their sums fit into the first-level cache."""


@kernel
def similarity_profile(
    taps: NDArray[np.float64],
    levels: NDArray[np.float64],
    moments: NDArray[np.float64],
    low: int,
    profile: NDArray[np.float64],
) -> None:
    """NSIM of one reference patch with the patches that begin at ``low``, ``low + 1``, ...

    ``taps`` is ``[bands, 30, 5]``; ``levels`` reaches one patch and some frames beyond the
    last offset (:data:`MARGIN`); ``moments`` is ``[3, 2, bands, frames]``;
    ``profile`` receives the similarities.
    """
    bands, frames = levels.shape
    sums = np.empty(BLOCK)
    for first in range(0, profile.shape[0], BLOCK):
        count = min(BLOCK, profile.shape[0] - first)
        groups = (count + TOGETHER * LANES - 1) // (TOGETHER * LANES)
        sums[:] = 0.0
        for band in range(bands):
            _band(taps, levels, moments, band, low + first, groups, sums, bands, frames)
        for offset in range(count):
            profile[first + offset] = sums[offset] / (bands * WIDTH)


def _type_band(
    _: Any, taps: Any, levels: Any, moments: Any, band: Any, at: Any, count: Any, sums: Any,
    bands: Any, frames: Any,
) -> Any:  # fmt: skip
    """``sums[n]`` grows by the similarities of one band with the patch at ``at + n``.

    ``count`` groups of vectors of offsets. Written as vector instructions, see
    :mod:`benchsep.metrics.visqol.lanes`.
    """
    signature = types.void(taps, levels, moments, band, at, count, sums, bands, frames)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _emit_band(builder, *data(context, builder, signature, arguments))
        return context.get_dummy_value()

    return signature, generate


_band: Any = intrinsic(_type_band)


def _emit_band(
    builder: Any, taps: Any, levels: Any, moments: Any, band: Any, at: Any, count: Any, sums: Any,
    bands: Any, frames: Any,
) -> None:  # fmt: skip
    """The loop over groups of vectors of offsets."""
    zero, one = number(0), number(1)
    last = builder.sub(bands, one)
    above = builder.select(builder.icmp_signed(">", band, zero), builder.sub(band, one), zero)
    below = builder.select(builder.icmp_signed("<", band, last), builder.add(band, one), last)
    points = [
        builder.gep(taps, [builder.mul(row, number(WIDTH * TAPS))]) for row in (above, band, below)
    ]
    rows = [builder.mul(row, frames) for row in (above, band, below)]
    plane = builder.mul(bands, frames)
    # moments[place, kind, band]: row 2 * place + kind of planes
    places = [builder.add(builder.mul(plane, number(k)), rows[1]) for k in range(6)]

    def offsets(index: Any, _: list[Any]) -> list[Any]:
        offset = builder.mul(index, number(TOGETHER * LANES))
        column = builder.add(at, offset)
        near = [builder.gep(levels, [builder.add(row, column)]) for row in rows]
        local = [builder.gep(moments, [builder.add(row, column)]) for row in places]
        targets = [builder.gep(sums, [builder.add(offset, number(k))]) for k in AHEAD]
        totals = _patch(builder, points, near, local, [load(builder, t) for t in targets])
        for total, target in zip(totals, targets, strict=True):
            store(builder, total, target)
        return []

    counted(builder, count, [], offsets)


def _patch(
    builder: Any, points: list[Any], near: list[Any], local: list[Any], totals: list[Any]
) -> list[Any]:
    """``totals`` and the similarities of all frames of a band, for a group of vectors.

    ``points``, ``near``: values of the reference and levels of the estimate in the band above, the
    band itself and the band below. ``local``: the estimate's moments in the band, mean and
    deviation for each position in a patch.
    """

    def vector(pointer: Any, frame: Any, ahead: int) -> Any:
        return load(builder, builder.gep(pointer, [builder.add(frame, number(ahead))]))

    def shared(pointer: Any, frame: Any, kind: int) -> Any:
        place = builder.add(builder.mul(frame, number(TAPS)), number(kind))
        return everywhere(builder, builder.load(builder.gep(pointer, [place])))

    def column(frame: Any) -> list[Column]:
        """``r d`` of the band, and of its neighbours together; of each vector."""
        values, found = [shared(pointer, frame, 0) for pointer in points], []
        for ahead in AHEAD:
            over, here, under = (
                builder.fmul(value, vector(row, frame, ahead), flags=["contract"])
                for value, row in zip(values, near, strict=True)
            )
            found.append((here, builder.fadd(over, under)))
        return found

    def point(frame: Any, place: list[Any], columns: list[list[Column]]) -> list[Quotient]:
        """Of each vector; ``columns`` are those before, at and after the frame."""
        numbers, found = [shared(points[1], frame, kind) for kind in range(1, TAPS)], []
        for k, ahead in enumerate(AHEAD):
            mean, deviation = (vector(row, frame, ahead) for row in place)
            around = [values[k] for values in columns]
            found.append(_similarity(builder, numbers, around, mean, deviation))
        return found

    def grown(totals: list[Any], one: list[Quotient], other: list[Quotient]) -> list[Any]:
        return [
            builder.fadd(total, builder.fdiv(*_sum(builder, *pair)))
            for total, pair in zip(totals, zip(one, other, strict=True), strict=True)
        ]

    def two(index: Any, states: list[Any]) -> list[Any]:
        """Frames ``2 index`` and the next; states are the columns before and at it, and totals."""
        frame = builder.mul(index, number(2))
        (before, here), totals = _columns(states)
        first = builder.icmp_signed("==", index, number(0))
        edge = [builder.select(first, *pair) for pair in zip(local[:2], local[2:4], strict=True)]
        next_one, next_two = (builder.add(frame, number(k)) for k in (1, 2))
        after = column(next_one)
        one = point(frame, edge, [before, here, after])
        beyond = column(next_two)
        other = point(next_one, local[2:4], [here, after, beyond])
        return _flat(after, beyond, grown(totals, one, other))

    start = column(number(0))
    states = counted(builder, number(WIDTH // 2 - 1), _flat(start, start, totals), two)
    (before, here), totals = _columns(states)
    last = column(number(WIDTH - 1))
    return grown(
        totals,
        point(number(WIDTH - 2), local[2:4], [before, here, last]),
        point(number(WIDTH - 1), local[4:], [here, last, last]),
    )


def _flat(before: list[Column], here: list[Column], totals: list[Any]) -> list[Any]:
    return [value for pair in (*before, *here) for value in pair] + totals


def _columns(states: list[Any]) -> tuple[list[list[Column]], list[Any]]:
    """The reverse."""
    pairs: list[Column] = list(zip(states[0::2], states[1::2], strict=False))
    return [pairs[:TOGETHER], pairs[TOGETHER : 2 * TOGETHER]], states[4 * TOGETHER :]


def _sum(builder: Any, one: Quotient, other: Quotient) -> Quotient:
    """``a/b + c/d``."""
    (a, b), (c, d) = one, other
    return multiply_add(builder, a, d, builder.fmul(c, b)), builder.fmul(b, d)


def _similarity(
    builder: Any, numbers: list[Any], columns: list[Column], mean: Any, deviation: Any
) -> Quotient:
    """Numerator and denominator of NSIM at one point.

    ``columns`` are those before, at and after the point: nine products ``r d``, whose weighted sum
    is ``rd``, and ``rd - mu_r mu_d`` is ``sigma_rd``.
    """
    mu, sigma, twice, square = numbers
    c1, c3 = constant(C1), constant(C3)
    (left, corners_left), (centre, sides), (right, corners_right) = columns
    sides = builder.fadd(builder.fadd(left, right), sides)
    corners = builder.fadd(corners_left, corners_right)
    # sigma_rd + C3
    structure = builder.fsub(c3, builder.fmul(mu, mean, flags=["contract"]), flags=["contract"])
    for weight, value in ((CORNER, corners), (SIDE, sides), (CENTRE, centre)):
        structure = multiply_add(builder, constant(weight), value, structure)
    upper = builder.fmul(multiply_add(builder, twice, mean, c1), structure)
    squares = multiply_add(builder, mean, mean, square)
    return upper, builder.fmul(squares, multiply_add(builder, sigma, deviation, c3))
