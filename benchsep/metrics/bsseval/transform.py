"""Transforms of eight real signals side by side, in double precision.

Conventions
-----------
room     float64 ``[length, 8]``: a sample of eight signals in each row, transformed in place as in
         :mod:`benchsep.metrics.passes`
pieces   a spectrum as :mod:`benchsep.metrics.bsseval.products` has it

A real signal is read as ``half`` as many complex numbers, even samples real and odd ones imaginary,
and taken apart after their transform ``Z``: with ``W = exp(-2 pi i k / length)`` the signal's is
``E + W O`` at ``k`` and the conjugate of ``E - W O`` at its mirror ``half - k``, where
``2 E = Z(k) + conj Z(half - k)`` and ``2 i O = Z(k) - conj Z(half - k)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.bsseval.products import PIECE
from benchsep.metrics.crosslanes import transposed
from benchsep.metrics.jit import inner_kernel, kernel
from benchsep.metrics.passes import bin_places, even_passes, odd_pass
from benchsep.metrics.sums import alike
from benchsep.metrics.vectors import (
    DOUBLES,
    Complex,
    add,
    constant,
    product,
    read,
    row_at,
    splat_at,
    sub,
)
from benchsep.metrics.words import data, number, vector_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Signals = tuple[NDArray[np.floating[Any]], ...]

LANES = DOUBLES.count


class Transform:
    """Real transforms of one even length, eight signals at a time, with their own work memory."""

    def __init__(self, length: int) -> None:
        self.length, points = length, length // 2
        if length % 2 or length < 2:
            raise ValueError(f"{length} samples: expected an even number")
        self._radices = _odd_radices(points)
        bins = np.arange(points // 2 + LANES)  # padding, never read
        places = 2 * bin_places(points, *self._radices)
        self._rows = np.stack([places[bins % points], places[-bins % points]], axis=1)
        self._twiddles = _turns(points, points)
        self._halves = _turns(length, points // 2 + LANES)
        self._room = _aligned(length)

    @property
    def pieces(self) -> int:
        """Pieces of a spectrum."""
        return -(-(self.length // 2 + 1) // PIECE)

    def room(self, *shape: int) -> Real:
        """Zeros for spectra: ``[..., pieces, 2 * PIECE]``."""
        return np.zeros((*shape, self.pieces, 2 * PIECE))

    def write(self, parts: list[Any], places: list[int], out: Real, edge: float = 1.0) -> None:
        """Spectra of vectors, each at its position in a zero signal.

        ``out`` is ``[parts, pieces, 2 * PIECE]`` or longer. The bins of frequency zero and of
        Nyquist are multiplied by ``edge``. Parts of different signals and blocks can be combined:
        eight cost as much as one.
        """
        half = self.length // 2
        for first in range(0, len(parts), LANES):
            now = slice(first, first + LANES)
            _lay_out(_alike(parts[now]), places[now], self._room)
            _transform(self._room, self._twiddles, np.array(self._radices, np.int64))
            spectra = out[first : min(first + LANES, len(parts))]
            _take_apart(self._room, self._rows, self._halves, spectra)
            if edge != 1.0:
                spectra[:, 0, ::PIECE] *= edge
                spectra[:, half // PIECE, half % PIECE :: PIECE] *= edge


def _alike(signals: list[Any]) -> Signals:
    """Eight vectors of one type; missing ones repeat the first, and their spectra are not read."""
    found = alike(signals)
    eight: Signals = found + found[:1] * (LANES - len(found))
    return eight


def _lay_out(signals: Signals, places: list[int], room: Real) -> None:
    """Half of each sample of each signal, in its lane, among zeros."""
    if len({len(x) for x in signals}) == len({*places}) == 1:
        _lay(signals, places[0], room)
        return
    lacking = [places[0]] * (LANES - len(places))
    for lane, (signal, at) in enumerate(zip(signals, [*places, *lacking], strict=True)):
        _lay_one(signal, at, room, lane)


def _odd_radices(points: int) -> tuple[int, ...]:
    """The odd factors of a number of points, largest first."""
    found, left = [], points // (points & -points)
    for radix in (7, 5, 3):
        while left % radix == 0:
            found.append(radix)
            left //= radix
    if left > 1:
        raise ValueError(f"{2 * points} samples: expected factors up to 7")
    return tuple(found)


def _turns(order: int, count: int) -> Real:
    angle = -2 * np.pi * np.arange(count) / order
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _aligned(rows: int) -> Real:
    """Zeros ``[rows, 8]``, each row in a cache line of its own."""
    room = np.zeros(rows * LANES + LANES - 1)
    start = -room.ctypes.data // room.itemsize % LANES
    return room[start : start + rows * LANES].reshape(rows, LANES)


# --- kernels --------------------------------------------------------------------------------------


@kernel
def _lay(signals: Signals, at: int, room: Real) -> None:
    """Half of each sample, from row ``at`` on, among zeros."""
    frames = signals[0].shape[0]
    room[:at] = 0.0
    room[at + frames :] = 0.0
    whole = frames // LANES * LANES
    for first in range(0, whole, LANES):
        _lay_eight(signals, first, room, at + first)
    for n in range(whole, frames):
        for lane in range(LANES):
            room[at + n, lane] = 0.5 * np.float64(signals[lane][n])


@kernel
def _lay_one(signal: NDArray[np.floating[Any]], at: int, room: Real, lane: int) -> None:
    room[:, lane] = 0.0
    for n in range(signal.shape[0]):
        room[at + n, lane] = 0.5 * np.float64(signal[n])


@kernel
def _transform(room: Real, twiddles: Real, radices: Whole) -> None:
    """After the first odd pass, each block is transformed separately, in the cache."""
    points = room.shape[0] // 2
    outer = points
    if radices.shape[0] > 0:
        odd_pass(room, twiddles, points, points, radices[0], 0, points)
        outer = points // radices[0]
    for start in range(0, points, outer):
        block = outer
        for k in range(1, radices.shape[0]):
            odd_pass(room, twiddles, points, block, radices[k], start, start + outer)
            block //= radices[k]
        even_passes(room, twiddles, points, block, start, start + outer)


@kernel
def _take_apart(room: Real, rows: Whole, halves: Real, out: Real) -> None:
    """Spectra ``[signals, pieces, 2 * PIECE]`` from the output of the transform in ``room``."""
    half, stride = room.shape[0] // 2, out.shape[1] * 2 * PIECE
    found = np.empty((2 * LANES, 2 * LANES))  # [signal, real and imaginary parts] twice
    for first in range(0, half // 2 + 1, LANES):
        count, mirror = min(LANES, half // 2 + 1 - first), half - first - LANES + 1
        low, high = first + first // PIECE * PIECE, mirror + mirror // PIECE * PIECE
        if out.shape[0] == count == LANES and mirror % PIECE <= PIECE - LANES:
            _apart_eight(room, rows, halves, first, out, low, out, high, stride, PIECE)
            continue
        _apart_eight(room, rows, halves, first, found, 0, found, 2 * LANES**2, 2 * LANES, LANES)
        for signal in range(out.shape[0]):
            _put(found[signal], first, 0, count, out[signal])
            _put(found[signal + LANES], mirror, LANES - count, LANES, out[signal])


@inner_kernel
def _put(found: Real, base: int, first: int, stop: int, out: Real) -> None:
    """Write bins ``base + first`` to ``base + stop`` of a spectrum into its pieces."""
    for k in range(first, stop):
        number, place = (base + k) // PIECE, (base + k) % PIECE
        out[number, place], out[number, PIECE + place] = found[k], found[k + LANES]


# --- instructions ---------------------------------------------------------------------------------


def _type_lay(_: Any, signals: Any, first: Any, room: Any, row: Any) -> Any:
    """Half of eight samples of each of eight signals, as eight rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given, first, room, row = arguments
        kind = signature.args[0]
        arrays = [builder.extract_value(given, k) for k in range(kind.count)]
        pointers = [context.make_array(kind.dtype)(context, builder, x).data for x in arrays]
        (room,) = data(context, builder, types.void(signature.args[2]), [room])
        rows = transposed(builder, [_samples(builder, x, first) for x in pointers])
        for k, value in enumerate(rows):
            scaled = builder.fmul(constant(0.5, DOUBLES), value)
            builder.store(scaled, row_at(builder, room, row, number(k)), align=8)
        return context.get_dummy_value()

    return types.void(signals, first, room, row), generate


def _samples(builder: Any, signal: Any, first: Any) -> Any:
    kind = signal.type.pointee
    place = vector_at(builder, builder.gep(signal, [first]), ir.VectorType(kind, LANES))
    samples = builder.load(place, align=4)
    return samples if kind == ir.DoubleType() else builder.fpext(samples, DOUBLES)


def _type_apart(
    _: Any, room: Any, rows: Any, halves: Any, first: Any, lows: Any, low: Any, highs: Any,
    high: Any, stride: Any, gap: Any,
) -> Any:  # fmt: skip
    """Spectra of eight signals at eight bins from ``first`` on, and at their mirrors.

    The real parts of a signal's bins go to ``lows`` from number ``low`` on, the imaginary ones a
    ``gap`` behind them, the next signal's a ``stride`` behind; so do those of the mirrors, in
    rising order.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        room, rows, halves, first, lows, low, highs, high, stride, gap = data(
            context, builder, signature, arguments
        )
        pairs = [_pair_apart(builder, room, rows, halves, first, k) for k in range(LANES)]
        near, far = ([pair[k] for pair in pairs] for k in (0, 1))
        for bins, target, at in ((near, lows, low), (far[::-1], highs, high)):
            for part, place in ((0, at), (1, builder.add(at, gap))):
                for value in transposed(builder, [x[part] for x in bins]):
                    goal = vector_at(builder, builder.gep(target, [place]), DOUBLES)
                    builder.store(value, goal, align=8)
                    place = builder.add(place, stride)
        return context.get_dummy_value()

    signature = types.void(room, rows, halves, first, lows, low, highs, high, stride, gap)
    return signature, generate


def _pair_apart(
    builder: Any, room: Any, rows: Any, halves: Any, first: Any, ahead: int
) -> tuple[Complex, Complex]:
    """All signals at the bin ``first + ahead``, and at its mirror."""
    turn = builder.mul(builder.add(first, number(ahead)), number(2))
    one = builder.add(turn, number(1))
    near, far = (builder.load(builder.gep(rows, [k])) for k in (turn, one))
    factor = splat_at(builder, halves, turn), splat_at(builder, halves, one)
    (a, b), (c, d) = (read(builder, room, row, row, 1)[0] for row in (near, far))
    even = builder.fadd(a, c), builder.fsub(b, d)
    turned = product(builder, (builder.fadd(b, d), builder.fsub(c, a)), factor)
    re, im = sub(builder, even, turned)
    return add(builder, even, turned), (re, builder.fneg(im))


_lay_eight: Any = intrinsic(_type_lay)
_apart_eight: Any = intrinsic(_type_apart)
