"""Vector instructions across the sixteen lanes of a vector, for transforms across lanes.

Conventions
-----------
block      float32 ``[32, 16]``: the real parts of sixteen complex vectors, then the imaginary ones
row, turn  as in :mod:`benchsep.metrics.vectors`: a complex number is two rows of an array
eight      half a row: eight ``2 row`` has lanes 0 to 7, the next one lanes 8 to 15; imaginary
           parts are two eights behind the real ones

A block is read from rows that lie anywhere, transposed, transformed over what were its lanes, and
transposed back. It stays in the first-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.vectors import (
    CONTRACT,
    INTEGERS,
    LANES,
    VECTOR,
    Complex,
    add,
    constant,
    dft4,
    product,
    read,
    row_at,
    splat_at,
    sub,
)
from benchsep.metrics.words import data, number, splat, vector_at

HALF = LANES // 2


def _pair(builder: Any, pointer: Any, row: Any) -> Complex:
    """The complex vector at two neighbouring rows."""
    return read(builder, pointer, row, row, 1)[0]


def _store(builder: Any, value: Any, pointer: Any, row: Any) -> None:
    builder.store(value, row_at(builder, pointer, row), align=4)


def _conjugate(builder: Any, a: Complex) -> Complex:
    return a[0], builder.fneg(a[1])


def _shuffled(builder: Any, a: Any, b: Any, lanes: list[int]) -> Any:
    """Lanes of two vectors; those of the second are numbered behind those of the first."""
    kind = ir.VectorType(INTEGERS.element, len(lanes))
    return builder.shuffle_vector(a, b, ir.Constant(kind, lanes))


def _numbers(values: list[float]) -> Any:
    return ir.Constant(VECTOR, values)


# --- rows -----------------------------------------------------------------------------------------


def _type_scale_row(_: Any, rows: Any, row: Any, re: Any, im: Any, out: Any, to: Any) -> Any:
    """The complex row times one number, ``re + i im``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, row, re, im, out, to = data(context, builder, signature, arguments)
        factor = splat(builder, re, VECTOR), splat(builder, im, VECTOR)
        real, imaginary = product(builder, _pair(builder, rows, row), factor)
        _store(builder, real, out, to)
        _store(builder, imaginary, out, builder.add(to, number(1)))
        return context.get_dummy_value()

    return types.void(rows, row, re, im, out, to), generate


def _type_turn_row(
    _: Any, rows: Any, row: Any, table: Any, at: Any, common: Any, turns: Any, out: Any, to: Any
) -> Any:
    """Set row ``to`` of a block to a complex row times ``table[at] * common``; store the factor in
    ``turns``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, row, table, at, common, turns, out, to = data(context, builder, signature, arguments)
        zero = number(0)
        factor = product(builder, _pair(builder, table, at), _pair(builder, common, zero))
        _into_block(builder, factor, turns, to)
        _into_block(builder, product(builder, _pair(builder, rows, row), factor), out, to)
        return context.get_dummy_value()

    return types.void(rows, row, table, at, common, turns, out, to), generate


def _type_turn_back(_: Any, rows: Any, row: Any, turns: Any, out: Any, to: Any) -> Any:
    """Row ``to`` of a block is a complex row times the conjugate of that row of ``turns``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, row, turns, out, to = data(context, builder, signature, arguments)
        factor = _conjugate(builder, _of_block(builder, turns, to))
        _into_block(builder, product(builder, _pair(builder, rows, row), factor), out, to)
        return context.get_dummy_value()

    return types.void(rows, row, turns, out, to), generate


def _of_block(builder: Any, block: Any, row: Any) -> Complex:
    real = builder.load(row_at(builder, block, row), align=4)
    return real, builder.load(row_at(builder, block, row, number(LANES)), align=4)


def _into_block(builder: Any, value: Complex, block: Any, row: Any) -> None:
    _store(builder, value[0], block, row)
    _store(builder, value[1], block, builder.add(row, number(LANES)))


scale_row: Any = intrinsic(_type_scale_row)
turn_row: Any = intrinsic(_type_turn_row)
turn_row_back: Any = intrinsic(_type_turn_back)


# --- blocks ---------------------------------------------------------------------------------------


def _type_transpose(_: Any, block: Any) -> Any:
    """Lanes become rows, in place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (block,) = data(context, builder, signature, arguments)
        for first in (0, LANES):
            places = [number(first + k) for k in range(LANES)]
            rows = [builder.load(row_at(builder, block, k), align=4) for k in places]
            for value, k in zip(transposed(builder, rows), places, strict=True):
                _store(builder, value, block, k)
        return context.get_dummy_value()

    return types.void(block), generate


def transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose a square matrix by swapping its off-diagonal blocks of half size, then of a
    quarter, ....
    """
    lanes, rows = len(rows), list(rows)
    size = lanes // 2
    while size:
        upper = [k if not k & size else lanes + k - size for k in range(lanes)]
        lower = [k + size if not k & size else lanes + k for k in range(lanes)]
        for k in (k for k in range(lanes) if not k & size):
            a, b = rows[k], rows[k + size]
            rows[k], rows[k + size] = (_shuffled(builder, a, b, m) for m in (upper, lower))
        size //= 2
    return rows


def _type_lay(_: Any, signals: Any, starts: Any, ahead: Any, lanes: Any, row: Any) -> Any:
    """Sixteen samples of sixteen signals: ``lanes[row + n, k] = signals[starts[k] + ahead + n]``.

    Places count through all ``signals`` one after another, which lie so in memory.
    """
    if signals.layout != "C" or lanes.layout != "C":
        return None  # no code for such arrays: an error of numba's

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        signals, starts, ahead, lanes, row = data(context, builder, signature, arguments)
        rows = []
        for k in range(LANES):
            start = builder.load(builder.gep(starts, [number(k)]))
            here = builder.gep(signals, [builder.add(start, ahead)])
            rows.append(builder.load(vector_at(builder, here, VECTOR), align=4))
        for k, value in enumerate(transposed(builder, rows)):
            _store(builder, value, lanes, builder.add(row, number(k)))
        return context.get_dummy_value()

    return types.void(signals, starts, ahead, lanes, row), generate


def _type_take(_: Any, lanes: Any, row: Any, out: Any, starts: Any, ahead: Any) -> Any:
    """The inverse of :func:`_type_lay`: ``out[starts[k] + ahead + n] = lanes[row + n, k]``.

    Places count through all of ``out``.
    """
    if lanes.layout != "C" or out.layout != "C":
        return None  # no code for such arrays: an error of numba's

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes, row, out, starts, ahead = data(context, builder, signature, arguments)
        places = [builder.add(row, number(k)) for k in range(LANES)]
        rows = [builder.load(row_at(builder, lanes, k), align=4) for k in places]
        for k, value in enumerate(transposed(builder, rows)):
            start = builder.load(builder.gep(starts, [number(k)]))
            here = builder.gep(out, [builder.add(start, ahead)])
            builder.store(value, vector_at(builder, here, VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(lanes, row, out, starts, ahead), generate


def _type_transform(_: Any, block: Any) -> Any:
    """The transform of sixteen rows, in place and in order."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (block,) = data(context, builder, signature, arguments)
        places = [number(k) for k in range(LANES)]
        values = _dft16(builder, [_of_block(builder, block, k) for k in places])
        for value, k in zip(values, places, strict=True):
            _into_block(builder, value, block, k)
        return context.get_dummy_value()

    return types.void(block), generate


def _dft16(builder: Any, x: list[Complex]) -> list[Complex]:
    # X(c + 4 d) = sum_b i^-(b d) W^(b c) sum_a i^-(a c) x(b + 4 a), with W = exp(-2 pi i / 16)
    columns = [dft4(builder, x[b::4]) for b in range(4)]
    out: list[Complex] = [x[0]] * LANES
    for c in range(4):
        turned = []
        for b in range(4):
            factor = np.exp(-2j * np.pi * b * c / LANES)
            pair = constant(float(factor.real)), constant(float(factor.imag))
            turned.append(product(builder, columns[b][c], pair) if b * c else columns[b][c])
        out[c::4] = dft4(builder, turned)
    return out


def _type_cross(_: Any, ours: Any, theirs: Any, factor: Any) -> Any:
    """``ours`` becomes conjugate cross spectra of two real signals, times ``factor``.

    A transform of ``r + i e`` is ``R + i E``. Row ``m`` of ``ours`` is one at a frequency, row
    ``-m`` of ``theirs`` the one at minus that frequency, ``conj R + i conj E``; what is left is
    ``4 factor E conj R``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        ours, theirs, factor = data(context, builder, signature, arguments)
        factor = splat(builder, factor, VECTOR)
        for m in range(LANES):
            here = number(m)
            p = _of_block(builder, ours, here)
            q = _of_block(builder, theirs, number(-m % LANES))
            q = _conjugate(builder, q)
            both, gap = add(builder, p, q), sub(builder, p, q)  # 2 R, 2 i E
            re, im = product(builder, _conjugate(builder, both), gap)
            re, im = im, builder.fneg(re)  # times -i
            scaled = [builder.fmul(x, factor, flags=CONTRACT) for x in (re, im)]
            _into_block(builder, (scaled[0], scaled[1]), ours, here)
        return context.get_dummy_value()

    return types.void(ours, theirs, factor), generate


transpose: Any = intrinsic(_type_transpose)
lay_sixteen: Any = intrinsic(_type_lay)
take_sixteen: Any = intrinsic(_type_take)
transform_rows: Any = intrinsic(_type_transform)
cross_spectra: Any = intrinsic(_type_cross)


# --- halves of vectors ----------------------------------------------------------------------------


def _type_fold(_: Any, block: Any, turns: Any, row: Any, out: Any, low: Any, high: Any) -> Any:
    """Sixteen transforms of real signals as eight of complex ones, at a frequency and its negative.

    With ``T(j)`` the conjugates of the former, a row of the block times its ``turns``, the eight
    ``low`` becomes ``T(j) + i T(j + 8)`` and ``high`` becomes ``conj(T(j) - i T(j + 8))``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        block, turns, row, out, low, high = data(context, builder, signature, arguments)
        value = product(builder, *(_of_block(builder, x, row) for x in (block, turns)))
        twice = [*range(HALF), *range(HALF)]
        re_low, im_low = (_shuffled(builder, x, x, twice) for x in value)
        twice = [k + HALF for k in twice]
        re_high, im_high = (_shuffled(builder, x, x, twice) for x in value)
        signs, turned = ([s] * HALF + [-s] * HALF for s in (-1.0, 1.0))
        re = builder.fmul(_numbers(signs), im_high, flags=CONTRACT)
        im = builder.fmul(_numbers(turned), im_low, flags=CONTRACT)
        re = builder.fadd(re, re_low, flags=CONTRACT)
        im = builder.fadd(im, re_high, flags=CONTRACT)
        _store_halves(builder, (re, im), out, low, high)
        return context.get_dummy_value()

    return types.void(block, turns, row, out, low, high), generate


def _store_halves(builder: Any, value: Complex, out: Any, low: Any, high: Any) -> None:
    """Lanes 0 to 7 to an eight of ``out``, lanes 8 to 15 to another."""
    for part, vector in enumerate(value):
        for first, eight in ((0, low), (HALF, high)):
            mask = ir.Constant(ir.VectorType(ir.IntType(32), HALF), [*range(first, first + HALF)])
            half = builder.shuffle_vector(vector, vector, mask)
            at = builder.add(eight, number(2 * part))
            place = builder.gep(out, [builder.mul(at, number(HALF))])
            kind = ir.VectorType(ir.FloatType(), HALF)
            builder.store(half, vector_at(builder, place, kind), align=4)


def _type_scale_halves(
    _: Any, rows: Any, row: Any, first: Any, second: Any, at: Any, out: Any, low: Any, high: Any
) -> Any:
    """Lanes 0 to 7 times ``first[at]`` go to ``low``, 8 to 15 times ``second[at]`` to ``high``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, row, first, second, at, out, low, high = data(context, builder, signature, arguments)
        one, two = number(1), number(2)
        at = builder.mul(at, two)
        halves = [*range(HALF), *range(LANES + HALF, 2 * LANES)]
        re, im = (
            _shuffled(builder, splat_at(builder, first, k), splat_at(builder, second, k), halves)
            for k in (at, builder.add(at, one))
        )
        value = product(builder, _pair(builder, rows, row), (re, im))
        _store_halves(builder, value, out, low, high)
        return context.get_dummy_value()

    return types.void(rows, row, first, second, at, out, low, high), generate


def _type_part(_: Any, rows: Any, row: Any, out: Any, to: Any) -> Any:
    """A complex row, its halves apart: real and imaginary parts of lanes 0 to 7, then of 8 to 15.

    These are two rows of ``out`` from ``to`` on.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, row, out, to = data(context, builder, signature, arguments)
        re, im = _pair(builder, rows, row)
        for k, first in enumerate((0, HALF)):
            lanes = [*range(first, first + HALF), *range(LANES + first, LANES + first + HALF)]
            place = builder.add(to, number(k))
            _store(builder, _shuffled(builder, re, im, lanes), out, place)
        return context.get_dummy_value()

    return types.void(rows, row, out, to), generate


fold_row: Any = intrinsic(_type_fold)
scale_halves: Any = intrinsic(_type_scale_halves)
part_halves: Any = intrinsic(_type_part)
