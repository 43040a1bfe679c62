"""Vector instructions for kernels that would be half as fast with numba's compiler.

LLVM prefers 256-bit registers on processors with 512-bit registers, and keeps the states of a
filter in memory unless told otherwise. The kernels of :mod:`~benchsep.metrics.visqol.gammatone` and
:mod:`~benchsep.metrics.visqol.profile` are therefore written as vector instructions, with these
helpers. A lane is one float64; lanes never mix, so values do not depend on their number.
"""

from __future__ import annotations

from typing import Any

from llvmlite import binding, ir  # type: ignore[import-untyped]

from benchsep.metrics.words import splat, vector_at


def lanes() -> int:
    """Lanes of a register: eight where the processor has 512-bit registers, else four."""
    return 8 if binding.get_host_cpu_features().get("avx512f", False) else 4


LANES = lanes()

VECTOR = ir.VectorType(ir.DoubleType(), LANES)


def constant(value: float) -> Any:
    """The same number in all lanes."""
    return ir.Constant(VECTOR, [value] * LANES)


def everywhere(builder: Any, value: Any) -> Any:
    """A scalar in all lanes."""
    return splat(builder, value, VECTOR)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, as one instruction where the processor has it."""
    return builder.fadd(builder.fmul(a, b, flags=["contract"]), c, flags=["contract"])


def load(builder: Any, pointer: Any) -> Any:
    """Neighbouring numbers from a ``double`` pointer, at any address of a double."""
    return builder.load(vector_at(builder, pointer, VECTOR), align=8)


def store(builder: Any, value: Any, pointer: Any) -> None:
    """The reverse of :func:`load`."""
    builder.store(value, vector_at(builder, pointer, VECTOR), align=8)
