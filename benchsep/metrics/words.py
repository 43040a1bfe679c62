"""Helpers that emit LLVM instructions, for all kernels with vector instructions.

Conventions
-----------
builder    an llvmlite builder; functions emit instructions at its position
data       a pointer to the first number of an array, see :func:`data`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

WORD = ir.IntType(64)


def number(value: int) -> Any:
    """An integer constant of the type of row indices."""
    return ir.Constant(WORD, value)


def data(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Pointers to the data of arrays, and numbers as they are."""
    return [
        context.make_array(kind)(context, builder, value).data
        if isinstance(kind, types.Array)
        else value
        for kind, value in zip(signature.args, arguments, strict=True)
    ]


def vector_at(builder: Any, pointer: Any, kind: Any) -> Any:
    """Cast a pointer to a number to a pointer to a vector."""
    return builder.bitcast(pointer, kind.as_pointer())


def splat(builder: Any, value: Any, kind: Any) -> Any:
    """A scalar in all lanes of a vector."""
    whole = ir.IntType(32)
    seed = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(whole, 0))
    mask = ir.Constant(ir.VectorType(whole, kind.count), [0] * kind.count)
    return builder.shuffle_vector(seed, seed, mask)


def counted(
    builder: Any, count: Any, states: Sequence[Any], body: Callable[[Any, list[Any]], list[Any]]
) -> list[Any]:
    """A loop over ``index`` from 0 to ``count - 1``, at least one iteration, with states in
    registers.

    ``body(index, states)`` emits one iteration, which may contain loops, and returns the states for
    the next one. ``states`` are the initial states; the final states are returned.
    """
    entry = builder.basic_block
    loop, done = builder.append_basic_block("turn"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    index, *held = [builder.phi(kind) for kind in (WORD, *(value.type for value in states))]
    for phi, value in zip((index, *held), (number(0), *states), strict=True):
        phi.add_incoming(value, entry)
    grown = body(index, held)
    following = builder.add(index, number(1))
    for phi, value in zip((index, *held), (following, *grown), strict=True):
        phi.add_incoming(value, builder.basic_block)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
    builder.position_at_end(done)
    return grown
