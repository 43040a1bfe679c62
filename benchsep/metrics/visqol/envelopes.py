"""Envelopes and sums of their products, with vector instructions.

The envelope of a sample ``x`` is ``|2 (x - mean) - ripple| + mean``; the sign of the ripple
alternates from sample to sample (see :mod:`benchsep.metrics.visqol.alignment`). The compiler would
not vectorise it.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.vectors import CONTRACT, DOUBLES
from benchsep.metrics.words import counted, data, number, splat, vector_at

SUMS = 16
"""Partial sums, in two vectors, because additions to one vector depend on each other. Also the
samples per write."""
LANES = DOUBLES.count


def _type_products(
    _: Any, first: Any, mean_1: Any, ripple_1: Any, second: Any, mean_2: Any, ripple_2: Any,
    count: Any, sums: Any,
) -> Any:  # fmt: skip
    """``sums[k]`` is the sum over samples ``k``, ``k + 16``, ... of ``16 count`` samples, ``count``
    >= 1.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, *shape_1, second, mean_2, ripple_2, count, sums = data(
            context, builder, signature, arguments
        )
        shapes = [_shape(builder, *shape) for shape in (shape_1, (mean_2, ripple_2))]

        def turn(index: Any, totals: list[Any]) -> list[Any]:
            grown, at = [], builder.mul(index, number(SUMS))
            for total in totals:
                ours, theirs = (
                    _envelope(builder, signal, at, *shape)
                    for signal, shape in zip((first, second), shapes, strict=True)
                )
                product = builder.fmul(ours, theirs, flags=CONTRACT)
                grown.append(builder.fadd(total, product, flags=CONTRACT))
                at = builder.add(at, number(LANES))
            return grown

        zeros = [ir.Constant(DOUBLES, [0.0] * LANES)] * (SUMS // LANES)
        for k, total in enumerate(counted(builder, count, zeros, turn)):
            place = vector_at(builder, builder.gep(sums, [number(k * LANES)]), DOUBLES)
            builder.store(total, place, align=8)
        return context.get_dummy_value()

    signature = types.void(first, mean_1, ripple_1, second, mean_2, ripple_2, count, sums)
    return signature, generate


def _type_write(_: Any, signal: Any, at: Any, mean: Any, ripple: Any, scale: Any, out: Any) -> Any:
    """``out[k]`` is ``scale`` times the envelope of sample ``at + k``, for sixteen of them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        signal, at, mean, ripple, scale, out = data(context, builder, signature, arguments)
        shape, factor = _shape(builder, mean, ripple), splat(builder, scale, DOUBLES)
        kind = ir.VectorType(out.type.pointee, LANES)
        for k in range(0, SUMS, LANES):
            value = _envelope(builder, signal, builder.add(at, number(k)), *shape)
            value = builder.fmul(factor, value)
            value = value if kind == DOUBLES else builder.fptrunc(value, kind)
            place = vector_at(builder, builder.gep(out, [number(k)]), kind)
            builder.store(value, place, align=4)
        return context.get_dummy_value()

    return types.void(signal, at, mean, ripple, scale, out), generate


envelope_products: Any = intrinsic(_type_products)
write_sixteen: Any = intrinsic(_type_write)


def _shape(builder: Any, mean: Any, ripple: Any) -> tuple[Any, Any]:
    signs = ir.Constant(DOUBLES, [1.0, -1.0] * (LANES // 2))
    return splat(builder, mean, DOUBLES), builder.fmul(splat(builder, ripple, DOUBLES), signs)


def _envelope(builder: Any, signal: Any, at: Any, mean: Any, ripple: Any) -> Any:
    kind = ir.VectorType(ir.FloatType(), LANES)
    samples = builder.load(vector_at(builder, builder.gep(signal, [at]), kind), align=4)
    centred = builder.fsub(builder.fpext(samples, DOUBLES), mean)
    twice = builder.fmul(ir.Constant(DOUBLES, [2.0] * LANES), centred)
    rectified = builder.call(_absolute(builder.module), [builder.fsub(twice, ripple)])
    return builder.fadd(rectified, mean)


def _absolute(module: Any) -> Any:
    name = f"llvm.fabs.v{LANES}f64"
    function = ir.FunctionType(DOUBLES, [DOUBLES])
    return module.globals.get(name) or ir.Function(module, function, name)
