"""Vector instructions (64 bytes) for kernels that the compiler does not vectorise well.

Conventions
-----------
row        an array ``[rows, 16]`` of float32, or ``[rows, 8]`` of float64 where stated, is a
           sequence of vectors; a complex number is two rows
function   kernels call each function with whole arrays and the rows to process

LLVM prefers 256-bit registers on processors with 512-bit registers, and keeps sums of a loop in
memory unless told otherwise. If registers are shorter, a vector uses several of them. Lanes never
mix.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.words import counted, data, number, splat, vector_at

LANES = 16
VECTOR = ir.VectorType(ir.FloatType(), LANES)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES // 2)
INTEGERS = ir.VectorType(ir.IntType(32), LANES)
CONTRACT = ["contract"]

Complex = tuple[Any, Any]
"""Vectors of real and imaginary parts."""


# --- words of the language ---------------------------------------------------------------------


def constant(value: float, kind: Any = VECTOR) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def vector_of(pointer: Any) -> Any:
    """The vector type of an array's rows, for a pointer to the array."""
    return DOUBLES if pointer.type.pointee == ir.DoubleType() else VECTOR


def row_at(builder: Any, pointer: Any, row: Any, ahead: Any = None) -> Any:
    """Pointer to the vector at a row."""
    if ahead is not None:
        row = builder.add(row, ahead)
    kind = vector_of(pointer)
    return vector_at(builder, builder.gep(pointer, [builder.mul(row, number(kind.count))]), kind)


def splat_at(builder: Any, pointer: Any, index: Any) -> Any:
    """A number of an array in all lanes."""
    return splat(builder, builder.load(builder.gep(pointer, [index])), vector_of(pointer))


def add(builder: Any, a: Complex, b: Complex) -> Complex:
    return builder.fadd(a[0], b[0], flags=CONTRACT), builder.fadd(a[1], b[1], flags=CONTRACT)


def sub(builder: Any, a: Complex, b: Complex) -> Complex:
    return builder.fsub(a[0], b[0], flags=CONTRACT), builder.fsub(a[1], b[1], flags=CONTRACT)


def product(builder: Any, a: Complex, b: Complex) -> Complex:
    def mul(x: Any, y: Any) -> Any:
        return builder.fmul(x, y, flags=CONTRACT)

    (re, im), (c, s) = a, b
    real = builder.fsub(mul(re, c), mul(im, s), flags=CONTRACT)
    return real, builder.fadd(mul(re, s), mul(im, c), flags=CONTRACT)


def _dft2(builder: Any, x: list[Complex]) -> list[Complex]:
    return [add(builder, *x), sub(builder, *x)]


def dft4(builder: Any, x: list[Complex]) -> list[Complex]:
    a, b = add(builder, x[0], x[2]), sub(builder, x[0], x[2])
    c, (re, im) = add(builder, x[1], x[3]), sub(builder, x[1], x[3])
    # -i (re + i im) = im - i re
    right = builder.fadd(b[0], im, flags=CONTRACT), builder.fsub(b[1], re, flags=CONTRACT)
    left = builder.fsub(b[0], im, flags=CONTRACT), builder.fadd(b[1], re, flags=CONTRACT)
    return [add(builder, a, c), right, sub(builder, a, c), left]


def _dft8(builder: Any, x: list[Complex]) -> list[Complex]:
    even = dft4(builder, [add(builder, x[k], x[k + 4]) for k in range(4)])
    gaps = [sub(builder, x[k], x[k + 4]) for k in range(4)]
    root = constant(float(np.sqrt(0.5)), x[0][0].type)

    def scaled(value: Any) -> Any:
        return builder.fmul(root, value, flags=CONTRACT)

    # times exp(-i pi k / 4)
    re, im = gaps[1]
    gaps[1] = scaled(builder.fadd(re, im)), scaled(builder.fsub(im, re))
    re, im = gaps[2]
    gaps[2] = im, builder.fneg(re)
    re, im = gaps[3]
    gaps[3] = scaled(builder.fsub(im, re)), builder.fneg(scaled(builder.fadd(re, im)))
    odd = dft4(builder, gaps)
    return [value for pair in zip(even, odd, strict=True) for value in pair]


def _dft_odd(builder: Any, x: list[Complex]) -> list[Complex]:
    """DFT of an odd number of values; values from both ends share cosines and sines."""
    radix = len(x)
    pairs = [(x[k], x[radix - k]) for k in range(1, (radix + 1) // 2)]
    sums = [add(builder, a, b) for a, b in pairs]
    gaps = [sub(builder, a, b) for a, b in pairs]
    out = [functools.reduce(functools.partial(add, builder), [x[0], *sums])] * radix
    for k in range(1, (radix + 1) // 2):
        angles = [2 * np.pi * k * (n + 1) / radix for n in range(len(pairs))]
        even = _weighted(builder, x[0], sums, np.cos(angles))
        re, im = _weighted(builder, None, gaps, np.sin(angles))
        odd = im, builder.fneg(re)  # times -i
        out[k], out[radix - k] = add(builder, even, odd), sub(builder, even, odd)
    return out


def _weighted(builder: Any, total: Complex | None, values: list[Complex], weights: Any) -> Complex:
    """``total`` and the weighted sum of the values."""
    for value, weight in zip(values, weights, strict=True):
        factor = constant(float(weight), value[0].type)
        re, im = (builder.fmul(x, factor, flags=CONTRACT) for x in value)
        total = add(builder, total, (re, im)) if total else (re, im)
    assert total is not None
    return total


def _dft(builder: Any, x: list[Complex]) -> list[Complex]:
    found: list[Complex] = {2: _dft2, 4: dft4, 8: _dft8}.get(len(x), _dft_odd)(builder, x)
    return found


def square_root(builder: Any, value: Any) -> Any:
    name = f"llvm.sqrt.v{LANES}f32"
    called = builder.module.globals.get(name)
    kind = ir.FunctionType(VECTOR, [VECTOR])
    return builder.call(called or ir.Function(builder.module, kind, name), [value])


def read(builder: Any, pointer: Any, row: Any, step: Any, radix: int) -> list[Complex]:
    """Complex numbers at ``row``, ``row + step``, ..."""
    found, one = [], number(1)
    for _ in range(radix):
        pair = (row_at(builder, pointer, row), row_at(builder, pointer, row, one))
        found.append(tuple(builder.load(p, align=4) for p in pair))
        row = builder.add(row, step)
    return found


def _write(builder: Any, values: list[Complex], pointer: Any, row: Any, step: Any) -> None:
    one = number(1)
    for re, im in values:
        builder.store(re, row_at(builder, pointer, row), align=4)
        builder.store(im, row_at(builder, pointer, row, one), align=4)
        row = builder.add(row, step)


def _turned(builder: Any, values: list[Complex], twiddles: Any, turn: Any) -> list[Complex]:
    """Value ``q`` times the twiddle ``q * turn``."""
    out, two, one = [values[0]], number(2), number(1)
    at = step = builder.mul(turn, two)
    for value in values[1:]:
        factor = (
            splat_at(builder, twiddles, at),
            splat_at(builder, twiddles, builder.add(at, one)),
        )
        out.append(product(builder, value, factor))
        at = builder.add(at, step)
    return out


# --- transforms -----------------------------------------------------------------------------------


def _type_first_pass(
    _: Any, lanes: Any, at: Any, window: Any, n: Any, twiddles: Any, turn: Any, room: Any,
    row: Any, step: Any,
) -> Any:  # fmt: skip
    """Radix 8 on eight windowed complex samples, ``step`` rows apart, with twiddles."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, at, window, n, twiddles, turn, room, row, step = data(
            context, builder, signature, arguments
        )
        one, values = number(1), []
        for re, im in read(builder, lanes, at, step, 8):
            a = splat_at(builder, window, n)
            b = splat_at(builder, window, builder.add(n, one))
            values.append((builder.fmul(re, a), builder.fmul(im, b)))
            n = builder.add(n, step)
        values = _turned(builder, _dft8(builder, values), twiddles, turn)
        _write(builder, values, room, row, step)
        return context.get_dummy_value()

    return types.void(lanes, at, window, n, twiddles, turn, room, row, step), generate


def _pass(radix: int) -> Any:
    """In place, with twiddles."""

    def typed(_: Any, twiddles: Any, turn: Any, room: Any, row: Any, step: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            twiddles, turn, room, row, step = data(context, builder, signature, arguments)
            values = _dft(builder, read(builder, room, row, step, radix))
            _write(builder, _turned(builder, values, twiddles, turn), room, row, step)
            return context.get_dummy_value()

        return types.void(twiddles, turn, room, row, step), generate

    return typed


def _last(radix: int) -> Any:
    """In place on neighbouring rows, without twiddles."""

    def typed(_: Any, room: Any, row: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            room, row = data(context, builder, signature, arguments)
            step = number(2)
            values = _dft(builder, read(builder, room, row, step, radix))
            _write(builder, values, room, row, step)
            return context.get_dummy_value()

        return types.void(room, row), generate

    return typed


first_pass: Any = intrinsic(_type_first_pass)
inner_pass: Any = intrinsic(_pass(8))
inner_pass_7: Any = intrinsic(_pass(7))
inner_pass_5: Any = intrinsic(_pass(5))
inner_pass_3: Any = intrinsic(_pass(3))
last_pass_8: Any = intrinsic(_last(8))
last_pass_4: Any = intrinsic(_last(4))
last_pass_2: Any = intrinsic(_last(2))


# --- powers and their sums ------------------------------------------------------------------------


def pair_powers(
    builder: Any, room: Any, near: Any, far: Any, halves: Any, turn: Any
) -> tuple[Any, Any]:
    """Powers of two bins ``k`` and ``size / 2 - k``, at rows ``near`` and ``far`` of ``room``.

    ``turn`` is ``2 k``. With ``Z`` the transform of even and odd samples, and
    ``W = exp(-2 pi i k / size)``, the frame's is ``E + W O`` at ``k`` and the conjugate of
    ``E - W O`` at ``size / 2 - k``, where ``2 E = Z(k) + conj Z(size / 2 - k)`` and
    ``2 i O = Z(k) - conj Z(size / 2 - k)``.
    """
    one = number(1)
    (a, b), (c, d) = (read(builder, room, row, one, 1)[0] for row in (near, far))
    even = builder.fadd(a, c), builder.fsub(b, d)
    odd = builder.fadd(b, d), builder.fsub(c, a)
    factor = splat_at(builder, halves, turn), splat_at(builder, halves, builder.add(turn, one))
    turned = product(builder, odd, factor)
    low, high = add(builder, even, turned), sub(builder, even, turned)
    return _power(builder, low), _power(builder, high)


def _power(builder: Any, value: Complex) -> Any:
    squares = [builder.fmul(x, x, flags=CONTRACT) for x in value]
    return builder.fadd(*squares, flags=CONTRACT)


def _bins(finish: Any) -> Any:
    """``finish`` of :func:`pair_powers`, written to rows ``low`` and ``high`` of ``out``."""

    def typed(
        _: Any, room: Any, near: Any, far: Any, halves: Any, turn: Any, out: Any, low: Any,
        high: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            room, near, far, halves, turn, out, low, high = data(
                context, builder, signature, arguments
            )
            powers = pair_powers(builder, room, near, far, halves, turn)
            for power, row in zip(powers, (low, high), strict=True):
                builder.store(finish(builder, power), row_at(builder, out, row), align=4)
            return context.get_dummy_value()

        return types.void(room, near, far, halves, turn, out, low, high), generate

    return typed


bin_powers: Any = intrinsic(_bins(lambda builder, power: power))
bin_magnitudes: Any = intrinsic(_bins(square_root))


def _type_pair_sums(
    _: Any, out: Any, low: Any, high: Any, count: Any, floor: Any, found: Any, counts: Any
) -> Any:
    """Sums over bins ``low``, ``low + 1``, ... and ``high``, ``high - 1``, ..., from zero.

    ``found`` receives errors, energies and the fraction of the product of ratios; ``counts``
    receives the exponents split off this product, each with a bias of 127. Lanes 0 to 7 belong to
    the low bins.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _emit_pair_sums(builder, *data(context, builder, signature, arguments))
        return context.get_dummy_value()

    return types.void(out, low, high, count, floor, found, counts), generate


pair_sums: Any = intrinsic(_type_pair_sums)


def _emit_pair_sums(
    builder: Any, out: Any, low: Any, high: Any, count: Any, floor: Any, found: Any, counts: Any
) -> None:
    least = splat(builder, floor, VECTOR)

    def turn(index: Any, states: list[Any]) -> list[Any]:
        rows = [
            larger(builder, builder.load(row_at(builder, out, row), align=4), least)
            for row in (builder.add(low, index), builder.sub(high, index))
        ]
        ours, theirs = (halves_of(builder, rows, first) for first in (0, LANES // 2))
        return _grown(builder, states, ours, theirs)

    start = [constant(0.0), constant(0.0), constant(1.0), ir.Constant(INTEGERS, [0] * LANES)]
    grown = counted(builder, count, start, turn)
    for k, value in enumerate(grown[:3]):
        builder.store(value, row_at(builder, found, number(k)), align=4)
    builder.store(grown[3], vector_at(builder, counts, INTEGERS), align=4)


def _grown(builder: Any, states: list[Any], ours: Any, theirs: Any) -> list[Any]:
    """Errors, energies, fraction and exponents of the product, updated with one more bin per lane.

    With ``r`` the larger power over the smaller ``m``, ``(sqrt y - sqrt x)^2 = m (sqrt r - 1)^2``.
    """
    error, energy, fraction, exponents = states
    small, large = larger(builder, ours, theirs, "<"), larger(builder, ours, theirs)
    ratio = builder.fdiv(large, small)
    root = square_root(builder, ratio)
    gap = builder.fsub(root, constant(1.0))
    square = builder.fmul(builder.fmul(small, gap), gap, flags=CONTRACT)
    bits = builder.bitcast(builder.fmul(fraction, ratio), INTEGERS)
    exponent = builder.lshr(bits, whole(23))
    rest = builder.or_(builder.and_(bits, whole(0x7FFFFF)), whole(0x3F800000))
    return [
        builder.fadd(error, square, flags=CONTRACT),
        builder.fadd(energy, ours),
        builder.bitcast(rest, VECTOR),
        builder.add(exponents, exponent),
    ]


def whole(value: int) -> Any:
    return ir.Constant(INTEGERS, [value] * LANES)


def larger(builder: Any, a: Any, b: Any, compare: str = ">") -> Any:
    return builder.select(builder.fcmp_ordered(compare, a, b), a, b)


def halves_of(builder: Any, rows: Sequence[Any], first: int) -> Any:
    """Eight lanes of each of two vectors, from ``first`` on."""
    lanes = [*range(first, first + LANES // 2)]
    mask = ir.Constant(INTEGERS, lanes + [LANES + lane for lane in lanes])
    return builder.shuffle_vector(*rows, mask)


def widened(builder: Any, value: Any) -> list[Any]:
    """Lanes 0 to 7 and 8 to 15 of a vector, in double precision."""
    half = LANES // 2
    kind = ir.VectorType(ir.IntType(32), half)
    masks = [ir.Constant(kind, [*range(first, first + half)]) for first in (0, half)]
    return [builder.fpext(builder.shuffle_vector(value, value, m), DOUBLES) for m in masks]


def _type_gap_sums(
    _: Any, ours: Any, theirs: Any, first: Any, count: Any, factor: Any, our_floor: Any,
    their_floor: Any, totals: Any, counts: Any,
) -> Any:  # fmt: skip
    """Add differences of ``count`` >= 1 rows from ``first`` on, lane by lane and row after row.

    Rows are multiplied by ``factor`` and have lower limits. Float64 ``totals [32]`` grows by what
    ``theirs`` has more (16 lanes), then by what it has less; int32 ``counts [32]`` becomes the
    numbers of rows with more, and with less.
    """
    if ours.layout != "C" or theirs.layout != "C":
        return None  # no code for such arrays: an error of numba's

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _emit_gap_sums(builder, *data(context, builder, signature, arguments))
        return context.get_dummy_value()

    signature = types.void(
        ours, theirs, first, count, factor, our_floor, their_floor, totals, counts
    )
    return signature, generate


gap_sums: Any = intrinsic(_type_gap_sums)


def _emit_gap_sums(
    builder: Any, ours: Any, theirs: Any, first: Any, count: Any, factor: Any, our_floor: Any,
    their_floor: Any, totals: Any, counts: Any,
) -> None:  # fmt: skip
    factor, *floors = (splat(builder, x, VECTOR) for x in (factor, our_floor, their_floor))
    zero, none = constant(0.0), whole(0)
    places = [row_at(builder, totals, number(k)) for k in range(4)]

    def larger_or_nan(a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_unordered(">", a, b), a, b)

    def level(rows: Any, row: Any, floor: Any) -> Any:
        scaled = builder.fmul(builder.load(row_at(builder, rows, row), align=4), factor)
        return larger_or_nan(scaled, floor)

    def turn(index: Any, states: list[Any]) -> list[Any]:
        row = builder.add(first, index)
        a, b = (level(*given) for given in ((ours, row, floors[0]), (theirs, row, floors[1])))
        sums, numbers = states[:4], states[4:]
        for k, gap in enumerate((builder.fsub(b, a), builder.fsub(a, b))):
            more = builder.fcmp_ordered(">", gap, zero)
            numbers[k] = builder.add(numbers[k], builder.zext(more, INTEGERS))
            for half, wide in enumerate(widened(builder, larger_or_nan(gap, zero))):
                sums[2 * k + half] = builder.fadd(sums[2 * k + half], wide)
        return [*sums, *numbers]

    start = [*(builder.load(place, align=8) for place in places), none, none]
    grown = counted(builder, count, start, turn)
    for value, place in zip(grown[:4], places, strict=True):
        builder.store(value, place, align=8)
    for k, value in enumerate(grown[4:]):
        place = builder.gep(counts, [number(k * LANES)])
        builder.store(value, vector_at(builder, place, INTEGERS), align=4)


# --- filters --------------------------------------------------------------------------------------

VECTORS = 8
FILTERED = VECTORS * LANES
"""Samples of a filtered signal per block."""


def _type_filter_piece(_: Any, padded: Any, taps: Any, count: Any, out: Any) -> Any:
    """Compute :data:`FILTERED` outputs with sums in registers; the compiler would keep them in
    memory.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _emit_filter_piece(builder, *data(context, builder, signature, arguments))
        return context.get_dummy_value()

    return types.void(padded, taps, count, out), generate


filter_piece: Any = intrinsic(_type_filter_piece)


def _emit_filter_piece(builder: Any, padded: Any, taps: Any, count: Any, out: Any) -> None:
    places = [number(k * LANES) for k in range(VECTORS)]

    def turn(index: Any, sums: list[Any]) -> list[Any]:
        tap, grown = splat_at(builder, taps, index), []
        for place, total in zip(places, sums, strict=True):
            here = builder.gep(padded, [builder.add(index, place)])
            value = builder.load(vector_at(builder, here, VECTOR), align=4)
            scaled = builder.fmul(tap, value, flags=CONTRACT)
            grown.append(builder.fadd(scaled, total, flags=CONTRACT))
        return grown

    sums = counted(builder, count, [constant(0.0)] * VECTORS, turn)
    for place, total in zip(places, sums, strict=True):
        builder.store(total, vector_at(builder, builder.gep(out, [place]), VECTOR), align=4)


def _type_band_sum(
    _: Any, rows: Any, first: Any, weights: Any, at: Any, count: Any, out: Any, band: Any
) -> Any:
    """``out[band] = sum_k weights[at + k] rows[first + k]`` for ``count`` >= 1 rows."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, first, weights, at, count, out, band = data(context, builder, signature, arguments)

        def turn(index: Any, total: list[Any]) -> list[Any]:
            value = builder.load(row_at(builder, rows, builder.add(first, index)), align=4)
            weight = splat_at(builder, weights, builder.add(at, index))
            scaled = builder.fmul(weight, value, flags=CONTRACT)
            return [builder.fadd(total[0], scaled, flags=CONTRACT)]

        (total,) = counted(builder, count, [constant(0.0)], turn)
        builder.store(total, row_at(builder, out, band), align=4)
        return context.get_dummy_value()

    return types.void(rows, first, weights, at, count, out, band), generate


band_sum: Any = intrinsic(_type_band_sum)
