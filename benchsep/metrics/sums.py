"""Sums over the samples of several long signals in one pass, with vector instructions.

Conventions
-----------
signals    a tuple of vectors ``[samples]``, all float32 or all float64, in order in memory
lanes      eight samples in parallel in double precision, for any register size of the processor. A
           lane sums :data:`STRETCH` samples; these partial sums are then added

Signals are read from memory once for all sums, and converted on the fly: a song is larger than any
cache, and reading it takes longer than the sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.jit import kernel
from benchsep.metrics.words import counted, data, number, splat, vector_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float64]
    Signals = tuple[NDArray[np.floating[Any]], ...]

LANES = 8
STRETCH = 16384
"""Samples per partial sum, so that rounding errors do not grow with the length of the song."""
VECTOR = ir.VectorType(ir.DoubleType(), LANES)


def flat(signals: list[NDArray[np.floating[Any]]]) -> Signals:
    """Arrays of equal shapes as signals: one vector each, all of one type."""
    return alike([x.reshape(-1) for x in signals])


def alike(signals: Sequence[NDArray[np.floating[Any]]]) -> Signals:
    """Read-only vectors of one type, because writability is part of the argument types of a kernel.

    A kernel can only index a tuple whose items have equal types.
    """
    single = all(x.dtype == np.float32 for x in signals)
    kind: Any = np.float32 if single else np.float64
    found = [np.ascontiguousarray(x, kind).view() for x in signals]
    for x in found:
        x.flags.writeable = False
    return tuple(found)


def inner_products(left: Signals, right: Signals) -> Real:
    """``[left, right]``: ``sum_t left[i](t) right[j](t)``."""
    sums = no_products(left, right)
    add_products(left, right, sums)
    return added(sums)


def no_products(left: Signals, right: Signals) -> Real:
    """Zeros to which :func:`add_products` adds: ``[left, right, lanes]``."""
    return np.zeros((len(left), len(right), LANES))


def add_products(left: Signals, right: Signals, sums: Real) -> None:
    """Add the partial sums of :func:`inner_products`, for signals that come in blocks."""
    _add_products(left, right, sums.reshape(-1, LANES))


def added(sums: Real) -> Real:
    """Sums over lanes: ``[left, right]``."""
    total: Real = sums.sum(-1)
    return total


def energies(weights: Real, signals: Signals) -> Real:
    """``sum_t (sum_k weights[i, k] signals[k](t))^2`` for each row of weights."""
    sums = np.zeros((len(weights), LANES))
    _add_energies(tuple(np.ascontiguousarray(weights, np.float64)), signals, sums)
    total: Real = sums.sum(1)
    return total


@kernel
def _add_products(left: Signals, right: Signals, sums: Real) -> None:
    samples = left[0].shape[0]
    for first in range(0, samples, STRETCH):
        vectors = min(STRETCH, samples - first) // LANES
        if vectors > 0:
            _products(left, right, first, vectors, sums)
    for n in range(samples - samples % LANES, samples):
        for i in range(len(left)):
            for j in range(len(right)):
                product = np.float64(left[i][n]) * np.float64(right[j][n])
                sums[i * len(right) + j, n % LANES] += product


@kernel
def _add_energies(weights: tuple[Real, ...], signals: Signals, sums: Real) -> None:
    samples = signals[0].shape[0]
    for first in range(0, samples, STRETCH):
        vectors = min(STRETCH, samples - first) // LANES
        if vectors > 0:
            _energies(weights, signals, first, vectors, sums)
    for n in range(samples - samples % LANES, samples):
        for row in range(len(weights)):
            mixed = 0.0
            for k in range(len(signals)):
                mixed += weights[row][k] * np.float64(signals[k][n])
            sums[row, n % LANES] += mixed * mixed


# --- the loops, as instructions -------------------------------------------------------------------


def _type_products(_: Any, left: Any, right: Any, first: Any, count: Any, sums: Any) -> Any:
    """Sums of products of ``count`` vectors from sample ``first`` on, added to ``sums``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (ours, theirs), (first, count, sums) = _parted(context, builder, signature, arguments, 2)

        def turn(index: Any, totals: list[Any]) -> list[Any]:
            at = _sample(builder, first, index)
            a, b = ([_read(builder, x, at) for x in signals] for signals in (ours, theirs))
            pairs = [(x, y) for x in a for y in b]
            return [_multiply_add(builder, *p, t) for p, t in zip(pairs, totals, strict=True)]

        _emit_sums(builder, count, len(ours) * len(theirs), sums, turn)
        return context.get_dummy_value()

    return types.void(left, right, first, count, sums), generate


def _type_energies(_: Any, weights: Any, signals: Any, first: Any, count: Any, sums: Any) -> Any:
    """Sums of squares of weighted sums of ``count`` vectors, added to ``sums``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (rows, voices), (first, count, sums) = _parted(context, builder, signature, arguments, 2)
        table = [
            [
                splat(builder, builder.load(builder.gep(row, [number(k)])), VECTOR)
                for k in range(len(voices))
            ]
            for row in rows
        ]

        def turn(index: Any, totals: list[Any]) -> list[Any]:
            at = _sample(builder, first, index)
            values, grown = [_read(builder, x, at) for x in voices], []
            for row, total in zip(table, totals, strict=True):
                mixed = ir.Constant(VECTOR, [0.0] * LANES)
                for weight, value in zip(row, values, strict=True):
                    mixed = _multiply_add(builder, weight, value, mixed)
                grown.append(_multiply_add(builder, mixed, mixed, total))
            return grown

        _emit_sums(builder, count, len(rows), sums, turn)
        return context.get_dummy_value()

    return types.void(weights, signals, first, count, sums), generate


_products: Any = intrinsic(_type_products)
_energies: Any = intrinsic(_type_energies)


def _parted(
    context: Any, builder: Any, signature: Any, arguments: Any, tuples: int
) -> tuple[list[list[Any]], list[Any]]:
    """Pointers to the data of the arrays in the first arguments; the others as in ``data``."""
    found = []
    for kind, value in list(zip(signature.args, arguments, strict=True))[:tuples]:
        arrays = [builder.extract_value(value, k) for k in range(kind.count)]
        found.append(
            [context.make_array(kind.dtype)(context, builder, array).data for array in arrays]
        )
    rest = types.void(*signature.args[tuples:])
    return found, data(context, builder, rest, arguments[tuples:])


def _emit_sums(builder: Any, count: Any, sums: int, target: Any, turn: Any) -> None:
    """Emit the loop with its sums in registers; the sums are then added to rows of ``target``."""
    totals = counted(builder, count, [ir.Constant(VECTOR, [0.0] * LANES)] * sums, turn)
    for row, total in enumerate(totals):
        place = vector_at(builder, builder.gep(target, [number(row * LANES)]), VECTOR)
        builder.store(builder.fadd(builder.load(place, align=8), total), place, align=8)


def _sample(builder: Any, first: Any, index: Any) -> Any:
    return builder.add(first, builder.mul(index, number(LANES)))


def _read(builder: Any, signal: Any, at: Any) -> Any:
    """A vector of samples in double precision."""
    number_type = signal.type.pointee
    kind = ir.VectorType(number_type, LANES)
    samples = builder.load(vector_at(builder, builder.gep(signal, [at]), kind), align=4)
    return samples if number_type == ir.DoubleType() else builder.fpext(samples, VECTOR)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.fadd(builder.fmul(a, b, flags=["contract"]), c, flags=["contract"])
