"""Correlations of two long signals at some lags, in double precision, in one pass over both.

Conventions
-----------
lag      ``m`` of ``c(m) = sum_t x(t) y(t + m)``; signals count as zero outside
block    ``points - (high - low)`` samples of ``x``; each of eight lanes holds another one
room     float64 ``[2 * points, 8]``: complex rows, see :mod:`benchsep.metrics.passes`. Real parts
         are a block of ``x`` and zeros, imaginary parts the samples of ``y`` within the lags of it
mixed    of the mean of two channels, which is rounded to single precision as in
         :meth:`benchsep.audio.Audio.mono`, but never written to memory. Kernels always take two
         channels; twice the same is that channel, exactly

Blocks are transformed as one complex signal ``x + i y``, both of about the same level. Its values
at a frequency and at minus that frequency give the cross-spectrum, which is summed over all blocks
in the order that the transform leaves; one inverse transform at the end gives all lags. Memory does
not grow with the length of the signals.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.crosslanes import transposed
from benchsep.metrics.jit import inner_kernel, kernel
from benchsep.metrics.passes import bin_places, even_passes
from benchsep.metrics.vectors import (
    CONTRACT,
    DOUBLES,
    add,
    constant,
    inner_pass,
    product,
    read,
    row_at,
    sub,
)
from benchsep.metrics.words import data, number, splat, vector_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Single = NDArray[np.float32]
    Real = NDArray[np.float64]
    Whole = NDArray[np.int64]

LANES = DOUBLES.count


@dataclass(frozen=True)
class Plan:
    """Tables for blocks of ``points`` samples, a power of two from 16 on."""

    twiddles: Real
    """``[points, 2]``: ``exp(-2 pi i k / points)``."""
    places: Whole
    """``[points / 2 + 1, 2]``: rows of frequencies ``k`` and ``-k`` in the room."""


@lru_cache(maxsize=8)
def plan(points: int) -> Plan:
    """The tables of one block length."""
    angle = -2 * np.pi * np.arange(points) / points
    bins = np.arange(points // 2 + 1)
    places = 2 * bin_places(points)
    return Plan(
        np.stack([np.cos(angle), np.sin(angle)], axis=1),
        np.stack([places[bins], places[-bins % points]], axis=1),
    )


def correlations(
    first: Single, second: Single, low: int, high: int, points: int, *, mixed: bool = False
) -> Real:
    """Correlations at lags ``low`` to ``high``, summed over channels.

    Parameters
    ----------
    first, second
        ``[channels, frames]`` float32, equal shapes.
    points
        Length of the transforms, a power of two that exceeds ``high - low``, best by far.
    mixed
        Of the mean over channels, of which there are one or two.

    Returns
    -------
    float64 ``[high - low + 1]``
    """
    return correlations_and_own(first, second, low, high, 0, points, mixed=mixed)[0]


def correlations_and_own(
    first: Single,
    second: Single,
    low: int,
    high: int,
    own: int,
    points: int,
    *,
    mixed: bool = False,
    equalised: bool = True,
) -> tuple[Real, Real]:
    """:func:`correlations`, and the autocorrelation of ``first`` at lags 0 to ``own - 1``.

    ``equalised``: the signals are read once more and brought to about the same level, without which
    the quieter one has the rounding errors of the louder one (1e-16 of its level).

    The latter needs no transforms of its own: products within blocks come from their spectra, and
    the few across the edges of two blocks are added. ``own`` is at most ``high - low + 1``.
    """
    reach = high - low
    step = points - reach
    if step < 1 or points < 16 or points & (points - 1) or own > reach + 1:
        raise ValueError(f"{points} points for lags {low} to {high}: expected a larger power of 2")
    tables, room = plan(points), _aligned(2 * points)
    bins, across = len(tables.places), np.zeros(own)
    sums, powers = _aligned(2 * bins), _aligned(bins if own else 0)
    factor = _equal_level(first, second) if equalised else 1.0
    for ours, theirs in zip(_pairs(first, mixed), _pairs(second, mixed), strict=True):
        _add_blocks(
            *ours, *theirs, low, step, factor, tables.twiddles, tables.places, room, sums, powers
        )
        _add_across(*ours, step, across)
    # The kernel leaves out factors 4.
    total = 0.25 / factor * sums.reshape(-1, 2, LANES).sum(2)
    found: Real = np.fft.irfft(total[:, 0] + 1j * total[:, 1], points)[: reach + 1]
    within = np.fft.irfft(0.25 * powers.sum(1), points)[:own] if own else 0.0
    return found, within + across


def _pairs(signal: Single, mixed: bool) -> list[tuple[Single, Single]]:
    """The two channels of each signal that a kernel reads."""
    rows = [np.ascontiguousarray(channel, np.float32) for channel in signal]
    if not mixed:
        return [(row, row) for row in rows]
    if len(rows) > 2:
        raise ValueError(f"{len(rows)} channels to mix: expected one or two")
    return [(rows[0], rows[-1])]


def _equal_level(first: Single, second: Single) -> float:
    """A power of two that gives ``second`` about the level of ``first``.

    The real and imaginary parts of a transform have rounding errors of the louder one.
    """
    if first is second:
        return 1.0
    ours, theirs = (sum(float(np.dot(x, x)) for x in signal) for signal in (first, second))
    ratio = ours / theirs if theirs > 0 else 0.0
    return float(2.0 ** round(0.5 * np.log2(ratio))) if 0 < ratio < np.inf else 1.0


def _aligned(rows: int) -> Real:
    """Zeros ``[rows, 8]``, each row in a cache line of its own."""
    room = np.zeros(rows * LANES + LANES - 1)
    start = -room.ctypes.data // room.itemsize % LANES
    return room[start : start + rows * LANES].reshape(rows, LANES)


# --- kernels --------------------------------------------------------------------------------------


@kernel
def _add_blocks(
    x: Single,
    x_right: Single,
    y: Single,
    y_right: Single,
    low: int,
    step: int,
    factor: float,
    twiddles: Real,
    places: Whole,
    room: Real,
    sums: Real,
    powers: Real,
) -> None:
    """Add the cross-spectra of all blocks of ``step`` samples, times 4, to ``sums``; and the power
    spectra of those of ``x`` to ``powers`` unless it is empty.
    """
    frames, points = x.shape[0], twiddles.shape[0]
    for start in range(0, frames, LANES * step):
        _lay(x, x_right, start, step, step, 1.0, room, 0)
        _lay(y, y_right, start + low, step, points, factor, room, 1)
        _transform(room, twiddles, points)
        for k in range(places.shape[0]):
            add_cross(room, places[k, 0], places[k, 1], sums, 2 * k)
        for k in range(powers.shape[0]):
            add_power(room, places[k, 0], places[k, 1], powers, k)


@kernel
def _add_across(left: Single, right: Single, step: int, sums: Real) -> None:
    """Add products of samples of different blocks to the autocorrelation; blocks are longer than
    its lags.
    """
    frames = left.shape[0]
    for edge in range(step, frames, step):
        for lag in range(1, sums.shape[0]):
            total = 0.0
            for n in range(edge - min(lag, step), min(edge, frames - lag)):
                total += _mean(left, right, n) * _mean(left, right, n + lag)
            sums[lag] += total


@inner_kernel
def _mean(left: Single, right: Single, n: int) -> float:
    return np.float64(np.float32(0.5) * (left[n] + right[n]))


@inner_kernel
def _lay(
    left: Single,
    right: Single,
    start: int,
    step: int,
    count: int,
    factor: float,
    room: Real,
    part: int,
) -> None:
    """``room[2 n + part, j] = factor * mean[start + j * step + n]`` for ``n < count``, then
    zeros.
    """
    frames, rows = left.shape[0], room.shape[0] // 2
    whole = 0
    if start >= 0:
        inside = frames - start - (LANES - 1) * step
        whole = max(0, min(count, inside)) // LANES * LANES
    for n in range(0, whole, LANES):
        lay_eight(left, right, start + n, step, factor, room, 2 * n + part)
    for n in range(whole, rows):
        for lane in range(LANES):
            at = start + lane * step + n
            inner = n < count and at >= 0 and at < frames
            room[2 * n + part, lane] = factor * _mean(left, right, at) if inner else 0.0


@inner_kernel
def _transform(room: Real, twiddles: Real, points: int) -> None:
    """After the first pass each eighth is transformed on its own, in the cache."""
    block = points // 8
    for k in range(block):
        inner_pass(twiddles, k, room, 2 * k, 2 * block)
    for start in range(0, points, block):
        even_passes(room, twiddles, points, block, start, start + block)


# --- instructions ---------------------------------------------------------------------------------


def _type_lay(
    _: Any, left: Any, right: Any, first: Any, step: Any, factor: Any, room: Any, row: Any
) -> Any:
    """Means of eight samples of eight blocks, ``step`` samples apart, times ``factor``: every
    second row from ``row`` on.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, right, first, step, factor, room, row = data(context, builder, signature, arguments)
        factor = splat(builder, factor, DOUBLES)
        kind, rows = ir.VectorType(ir.FloatType(), LANES), []
        half = constant(0.5, kind)
        for _ in range(LANES):
            places = (vector_at(builder, builder.gep(x, [first]), kind) for x in (left, right))
            a, b = (builder.load(place, align=4) for place in places)
            rows.append(builder.fmul(builder.fadd(a, b), half))
            first = builder.add(first, step)
        for k, value in enumerate(transposed(builder, rows)):
            wide = builder.fmul(factor, builder.fpext(value, DOUBLES))
            builder.store(wide, row_at(builder, room, row, number(2 * k)), align=8)
        return context.get_dummy_value()

    return types.void(left, right, first, step, factor, room, row), generate


def _type_cross(_: Any, room: Any, near: Any, far: Any, sums: Any, row: Any) -> Any:
    """Add four times ``conj(X) Y`` at a frequency to ``sums``, from ``Z = X + i Y`` there and at
    minus that frequency: ``2 X = Z + conj Z'`` and ``2 i Y = Z - conj Z'``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room, near, far, sums, row = data(context, builder, signature, arguments)
        z, (c, d) = (read(builder, room, k, k, 1)[0] for k in (near, far))
        mirrored = c, builder.fneg(d)
        twice, (re, im) = add(builder, z, mirrored), sub(builder, z, mirrored)
        theirs = im, builder.fneg(re)
        conjugate = twice[0], builder.fneg(twice[1])
        for value, k in zip(product(builder, conjugate, theirs), (0, 1), strict=True):
            place = row_at(builder, sums, row, number(k))
            total = builder.load(place, align=8)
            builder.store(builder.fadd(total, value, flags=CONTRACT), place, align=8)
        return context.get_dummy_value()

    return types.void(room, near, far, sums, row), generate


def _type_power(_: Any, room: Any, near: Any, far: Any, powers: Any, row: Any) -> Any:
    """Add four times ``|X|^2`` at a frequency to ``powers``; see :func:`_type_cross`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room, near, far, powers, row = data(context, builder, signature, arguments)
        z, (c, d) = (read(builder, room, k, k, 1)[0] for k in (near, far))
        place = row_at(builder, powers, row)
        total = builder.load(place, align=8)
        for part in add(builder, z, (c, builder.fneg(d))):
            square = builder.fmul(part, part, flags=CONTRACT)
            total = builder.fadd(total, square, flags=CONTRACT)
        builder.store(total, place, align=8)
        return context.get_dummy_value()

    return types.void(room, near, far, powers, row), generate


lay_eight: Any = intrinsic(_type_lay)
add_cross: Any = intrinsic(_type_cross)
add_power: Any = intrinsic(_type_power)
