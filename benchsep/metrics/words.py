"""Words of LLVM's language that all kernels of vector instructions share.

Conventions
-----------
builder    llvmlite's; what a function emits goes where it stands
data       a pointer to the first number of an array, see :func:`data`
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

WORD = ir.IntType(64)


def number(value: int) -> Any:
    """A whole number, of the kind that counts rows."""
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
    """The pointer to a number as one to a vector that begins with it."""
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
    """A loop over ``index`` from 0 to ``count - 1``, once at least, with states in registers.

    ``body(index, states)`` emits a turn, which may hold loops, and gives the states of the next
    one; ``states`` are those of the first. The last ones come back.
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
