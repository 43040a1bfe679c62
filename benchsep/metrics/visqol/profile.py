"""NSIM of one reference patch with the patches at every offset of the search.

Conventions
-----------
levels      float64 ``[bands, frames]`` of the estimate, above the common floor
lanes       neighbouring offsets: for a point of the patch they read neighbouring frames
quotients   two points share a division, ``a/b + c/d = (a d + c b) / (b d)``: a division takes as
            long as all other operations on a point
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
from benchsep.metrics.visqol.nsim import C1, C3, WIDTH
from benchsep.metrics.words import counted, data, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAPS = 11
"""Numbers of a point of the reference, see :func:`benchsep.metrics.visqol.nsim.reference_taps`."""
MARGIN = 9
"""Frames that are read beyond the patch at the last offset: a neighbour, and a vector's rest."""
BLOCK = 512
"""Offsets that are compared at once: their sums stay in the first-level cache."""


@kernel
def similarity_profile(
    taps: NDArray[np.float64],
    levels: NDArray[np.float64],
    moments: NDArray[np.float64],
    low: int,
    profile: NDArray[np.float64],
) -> None:
    """NSIM of one reference patch with the patches that begin at ``low``, ``low + 1``, ...

    ``taps`` is ``[bands, 30, 11]``; ``levels`` reaches one patch and some frames beyond the
    last offset (:data:`MARGIN`); ``moments`` is ``[3, 2, bands, frames]``;
    ``profile`` receives the similarities.
    """
    bands, frames = levels.shape
    sums = np.empty(BLOCK)
    for first in range(0, profile.shape[0], BLOCK):
        count = min(BLOCK, profile.shape[0] - first)
        vectors = (count + LANES - 1) // LANES
        sums[:] = 0.0
        for band in range(bands):
            _band(taps, levels, moments, band, low + first, vectors, sums, bands, frames)
        for offset in range(count):
            profile[first + offset] = sums[offset] / (bands * WIDTH)


def _type_band(
    _: Any, taps: Any, levels: Any, moments: Any, band: Any, at: Any, count: Any, sums: Any,
    bands: Any, frames: Any,
) -> Any:  # fmt: skip
    """``sums[n]`` grows by the similarities of one band with the patch at ``at + n``.

    ``count`` vectors of offsets. Written as vector instructions, see
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
    """The loop over vectors of offsets, with the patch's 30 frames unrolled in it."""
    zero, one = number(0), number(1)
    last = builder.sub(bands, one)
    above = builder.select(builder.icmp_signed(">", band, zero), builder.sub(band, one), zero)
    below = builder.select(builder.icmp_signed("<", band, last), builder.add(band, one), last)
    point = builder.gep(taps, [builder.mul(band, number(WIDTH * TAPS))])
    rows = [builder.mul(row, frames) for row in (above, band, below)]
    plane = builder.mul(bands, frames)
    # moments[place, kind, band]: row 2 * place + kind of planes
    places = [builder.add(builder.mul(plane, number(k)), rows[1]) for k in range(6)]

    def offsets(index: Any, _: list[Any]) -> list[Any]:
        offset = builder.mul(index, number(LANES))
        column = builder.add(at, offset)
        near = [builder.gep(levels, [builder.add(row, column)]) for row in rows]
        local = [builder.gep(moments, [builder.add(row, column)]) for row in places]
        target = builder.gep(sums, [offset])
        store(builder, _patch(builder, point, near, local, load(builder, target)), target)
        return []

    counted(builder, count, [], offsets)


def _patch(builder: Any, taps: Any, near: list[Any], local: list[Any], total: Any) -> Any:
    """``total`` and the similarities of all frames of a band, for a vector of offsets."""

    def at(pointer: Any, place: int) -> Any:
        return builder.gep(pointer, [number(place)])

    def quotient(frame: int) -> tuple[Any, Any]:
        numbers = [
            everywhere(builder, builder.load(at(taps, TAPS * frame + k))) for k in range(TAPS)
        ]
        neighbours = [load(builder, at(row, frame + k)) for row in near for k in (-1, 0, 1)]
        place = 0 if frame == 0 else (2 if frame == WIDTH - 1 else 1)
        mean, deviation = (load(builder, at(local[2 * place + k], frame)) for k in (0, 1))
        return _similarity(builder, numbers, neighbours, mean, deviation)

    for frame in range(0, WIDTH, 2):
        (a, b), (c, d) = quotient(frame), quotient(frame + 1)
        upper = multiply_add(builder, a, d, builder.fmul(c, b))
        total = builder.fadd(total, builder.fdiv(upper, builder.fmul(b, d)))
    return total


def _similarity(
    builder: Any, taps: list[Any], neighbours: list[Any], mean: Any, deviation: Any
) -> tuple[Any, Any]:
    """Numerator and denominator of NSIM at one point.

    Taps 0 to 8 are ``w * r``, so that their products with the nine neighbours of ``d`` add up to
    ``rd = sum w r d``, and ``rd - mu_r mu_d`` is ``sigma_rd``.
    """
    mu, sigma = taps[9], taps[10]
    c1, c3 = constant(C1), constant(C3)
    cross = c3
    for tap, neighbour in zip(taps, neighbours, strict=False):
        cross = multiply_add(builder, tap, neighbour, cross)
    product = builder.fmul(mu, mean)
    intensity = multiply_add(builder, constant(2.0), product, c1)
    upper = builder.fmul(intensity, builder.fsub(cross, product))
    squares = multiply_add(builder, mean, mean, multiply_add(builder, mu, mu, c1))
    lower = builder.fmul(squares, multiply_add(builder, sigma, deviation, c3))
    return upper, lower
