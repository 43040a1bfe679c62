"""The log-spectral distance of one channel, with segments of the song side by side in lanes.

Conventions
-----------
signals    float32 ``[frames]``; the edges of a signal are reflected by half a window
spectra    powers of Hann windows of ``size`` samples, one every ``hop``
floor      the lowest power that counts, relative to the largest power of the reference

Source: Gray and Markel, "Distance measures for speech processing", IEEE TASSP 24 (1976).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from benchsep.errors import AudioError
from benchsep.metrics.framing import interleave, reflected
from benchsep.metrics.jit import kernel
from benchsep.metrics.spectra import aligned, lanes_with, plan, transform
from benchsep.metrics.vectors import (
    CONTRACT,
    DOUBLES,
    INTEGERS,
    LANES,
    VECTOR,
    constant,
    halves_of,
    larger,
    pair_powers,
    row_at,
    whole,
    widened,
)
from benchsep.metrics.words import counted, data, number, splat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Single = NDArray[np.float32]
    Real = NDArray[np.float64]
    Whole = NDArray[np.int64]

STEPS = 16
"""Windows of each lane per block: the samples of a block fit into the cache."""
HALF = LANES // 2
"""Segments of a song: reference and estimate have half of the lanes each."""


def floor_of(reference: Single, size: int, hop: int, span: float) -> np.float32:
    """The lowest power that counts: ``span`` dB below the peak of a reference.

    Raises
    ------
    AudioError
        if it is not longer than half a window, or silent.
    """
    if len(reference) <= size // 2:
        raise AudioError(f"{len(reference)} samples, expected over {size // 2}")
    tables, room, largest = plan(size), aligned(size), np.float32(0)
    for lanes, valid in _blocks(reflected(size // 2, reference), size, hop):
        here = _largest(
            lanes, hop, valid, tables.window, tables.twiddles, tables.halves, tables.places, room
        )
        largest = max(largest, here)
    floor = np.float32(largest * 10 ** (-span / 10))
    if floor < np.finfo(np.float32).tiny:
        raise AudioError("the reference is silent: there is no peak to measure down from")
    return floor


def distance(reference: Single, estimate: Single, floor: np.float32, size: int, hop: int) -> float:
    """Root mean square over bins of the difference in dB, mean over windows.

    ``reference`` and ``estimate`` are equally long; ``floor`` is :func:`floor_of` the reference.
    """
    tables, room, bins = plan(size), aligned(size), size // 2 + 1
    found, total, count = np.empty((STEPS, HALF)), 0.0, 0
    for lanes, valid in _blocks(reflected(size // 2, reference, estimate), size, hop):
        now = len(valid)
        _sum_squares(
            lanes, hop, floor, tables.window, tables.twiddles, tables.halves, tables.places,
            room, found[:now],
        )  # fmt: skip
        counts = np.arange(HALF) < valid[:, None]  # [windows, segments]
        total += float(np.sqrt(found[:now][counts] / bins).sum())
        count += int(valid.sum())
    return 10 / float(np.log(10)) * total / count


def _blocks(signals: Single, size: int, hop: int) -> Iterator[tuple[Single, Whole]]:
    """Samples of all lanes, and how many segments have each window of the block.

    ``signals`` is ``[1 or 2, samples]``; each is cut into 16 or 8 segments with the same number of
    windows, the last ones with fewer. The next block overwrites a yielded one.
    """
    segments = LANES // len(signals)
    windows = 1 + (signals.shape[1] - size) // hop
    own = -(-windows // segments)
    lanes, valid = aligned((STEPS - 1) * hop + size), lanes_with(windows, own, segments)
    for first in range(0, own, STEPS):
        interleave(signals, first * hop, own * hop, lanes)
        yield lanes, valid[first : first + STEPS]


@kernel
def _largest(
    lanes: Single,
    hop: int,
    valid: Whole,
    window: Single,
    twiddles: Single,
    halves: Single,
    places: Whole,
    room: Single,
) -> np.float32:
    """Largest power of the windows."""
    largest, found = np.float32(0), np.empty((1, LANES), np.float32)
    for step in range(valid.shape[0]):
        transform(lanes, step * hop, window, twiddles, room.shape[0], room)
        largest_powers(room, places, halves, places.shape[0], found)
        for lane in range(valid[step]):
            largest = max(largest, found[0, lane])
    return largest


@kernel
def _sum_squares(
    lanes: Single,
    hop: int,
    floor: np.float32,
    window: Single,
    twiddles: Single,
    halves: Single,
    places: Whole,
    room: Single,
    found: Real,
) -> None:
    """Sums over bins of ``ln(estimate / reference)^2``, ``[windows, segments]``."""
    middle, sums = places.shape[0] - 1, np.empty((2, HALF))
    for step in range(found.shape[0]):
        transform(lanes, step * hop, window, twiddles, room.shape[0], room)
        log_squares(room, places, halves, 0, middle, floor, sums)
        found[step] = sums[0] + sums[1]
        log_squares(room, places, halves, middle, 1, floor, sums)  # it is its own mirror
        found[step] += sums[0]


# --- instructions ---------------------------------------------------------------------------------

TERMS = 8
"""Of the series of ``atanh``: the first one left out is below 1e-9."""


def _type_log_squares(
    _: Any, room: Any, places: Any, halves: Any, first: Any, count: Any, floor: Any, sums: Any
) -> Any:
    """Sums of ``ln(y / x)^2`` over ``count`` >= 1 pairs of bins from ``first`` on, ``[2, 8]``.

    ``x`` and ``y`` are powers of lanes 0 to 7 and 8 to 15, at least ``floor``. The first row of
    ``sums`` is for the low bins of the pairs, the second for the high ones.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *tables, first, count, floor, sums = data(context, builder, signature, arguments)
        least = splat(builder, floor, VECTOR)

        def turn(index: Any, totals: list[Any]) -> list[Any]:
            powers = _powers_of(builder, tables, builder.add(first, index))
            rows = [larger(builder, power, least) for power in powers]
            value = _log_ratio(builder, *(halves_of(builder, rows, k) for k in (HALF, 0)))
            return [
                builder.fadd(builder.fmul(x, x, flags=CONTRACT), total, flags=CONTRACT)
                for x, total in zip(widened(builder, value), totals, strict=True)
            ]

        for k, total in enumerate(counted(builder, count, [constant(0.0, DOUBLES)] * 2, turn)):
            builder.store(total, row_at(builder, sums, number(k)), align=8)
        return context.get_dummy_value()

    return types.void(room, places, halves, first, count, floor, sums), generate


def _type_largest_powers(
    _: Any, room: Any, places: Any, halves: Any, count: Any, found: Any
) -> Any:
    """The largest power of each lane in ``count`` >= 1 pairs of bins, ``[1, 16]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *tables, count, found = data(context, builder, signature, arguments)

        def turn(index: Any, largest: list[Any]) -> list[Any]:
            for power in _powers_of(builder, tables, index):
                largest = [larger(builder, power, largest[0])]
            return largest

        (largest,) = counted(builder, count, [constant(0.0)], turn)
        builder.store(largest, row_at(builder, found, number(0)), align=4)
        return context.get_dummy_value()

    return types.void(room, places, halves, count, found), generate


def _powers_of(builder: Any, tables: list[Any], pair: Any) -> tuple[Any, Any]:
    """Powers of both bins of a pair; ``tables``: the room with a transform, places, halves."""
    (room, places, halves), two = tables, number(2)
    twice = builder.mul(pair, two)
    near, far = (
        builder.mul(builder.load(builder.gep(places, [builder.add(twice, number(k))])), two)
        for k in (0, 1)
    )
    return pair_powers(builder, room, near, far, halves, twice)


def _log_ratio(builder: Any, above: Any, below: Any) -> Any:
    """``ln(a / b)`` of positive normal numbers ``2^p m`` and ``2^q n``, with ``m`` and ``n`` from 1
    to 2: ``(p - q) ln 2 + 2 atanh s``, ``s = (m - n) / (m + n)``.

    ``|s|`` is below 1/3, so the series ``s + s^3 / 3 + s^5 / 5 + ...`` converges fast. An infinite
    ``a`` gives infinity.
    """
    (p, m), (q, n) = (_exponent_and_fraction(builder, x) for x in (above, below))
    s = builder.fdiv(builder.fsub(m, n), builder.fadd(m, n))
    square = builder.fmul(s, s)
    series = constant(1 / (2 * TERMS - 1))
    for k in range(TERMS - 2, -1, -1):
        scaled = builder.fmul(series, square, flags=CONTRACT)
        series = builder.fadd(scaled, constant(1 / (2 * k + 1)), flags=CONTRACT)
    small = builder.fmul(builder.fadd(s, s), series, flags=CONTRACT)
    whole_part = builder.sitofp(builder.sub(p, q), VECTOR)
    scaled = builder.fmul(whole_part, constant(float(np.log(2))), flags=CONTRACT)
    infinity = constant(float("inf"))
    found = builder.fadd(scaled, small, flags=CONTRACT)
    return builder.select(builder.fcmp_ordered("==", above, infinity), infinity, found)


def _exponent_and_fraction(builder: Any, value: Any) -> tuple[Any, Any]:
    bits = builder.bitcast(value, INTEGERS)
    fraction = builder.or_(builder.and_(bits, whole(0x7FFFFF)), whole(0x3F800000))
    return builder.lshr(bits, whole(23)), builder.bitcast(fraction, VECTOR)


log_squares: Any = intrinsic(_type_log_squares)
largest_powers: Any = intrinsic(_type_largest_powers)
