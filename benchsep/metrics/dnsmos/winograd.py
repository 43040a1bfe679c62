"""3 x 3 convolutions by Winograd's F(2 x 2, 3 x 3): 16 multiply-adds instead of 36.

Conventions
-----------
maps      float32 ``[rows, COLUMNS, channels]``, a multiple of 16 channels; rows are frames, columns
          1 to 161 are frequencies and all others zeros
filters   ``[16, channels in, channels out]``, transformed by :func:`transformed`
tile      2 x 2 outputs of the 4 x 4 inputs around them; 81 of them stand in a pair of rows

The 16 numbers of a transformed tile are independent of each other, so that a convolution is 16
products of matrices ``[tiles, channels in] [channels in, channels out]``. Transforms are sums and
differences of neighbours, which keeps rounding errors near those of a plain convolution in single
precision; the larger F(4, 3), with products by 4 and 5, changes outputs by more than 1e-6.

Source: A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.jit import inner_kernel, kernel
from benchsep.metrics.vectors import LANES, VECTOR, constant
from benchsep.metrics.words import counted, data, number, splat, vector_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FREQUENCIES = 161
COLUMNS = 164
"""Columns that 81 tiles read: one zero before the first frequency, two after the last."""
TILES = 81
PAIRS = 2
"""Pairs of rows whose tiles are multiplied together."""
ROOM = 168
"""Rows of a matrix of tiles: at least 162, and a multiple of the rows per product."""

LONG = bool(binding.get_host_cpu_features().get("avx512f", False))
REGISTER = ir.VectorType(ir.FloatType(), 16 if LONG else 8)
"""A register. The sums of a product take 24 of 32 registers with AVX-512, else 12 of 16."""
CONTRACT = ["contract"]

_FILTER = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])


def transformed(filters: Array) -> Array:
    """Filters ``[channels out, channels in, 3, 3]`` (row, column) as the kernels read them."""
    found = np.einsum("ia,jb,ocab->ijco", _FILTER, _FILTER, filters.astype(np.float64))
    return np.ascontiguousarray(found.reshape(16, *found.shape[2:]), np.float32)


def room_for(channels: int) -> Array:
    """``[16, numbers]``: the matrices of a convolution's transformed tiles.

    The 16 numbers of a tile must not be a multiple of 4096 bytes apart: they would evict each other
    from the cache.
    """
    return zeros(16, ROOM * channels + 16)


def zeros(*shape: int) -> Array:
    """Zeros, aligned to a cache line."""
    size = int(np.prod(shape))
    room = np.zeros(size + 16, np.float32)
    start = -room.ctypes.data // room.itemsize % 16
    return room[start : start + size].reshape(shape)


# --- instructions ---------------------------------------------------------------------------------


def _grid(builder: Any, pointer: Any, row: Any, column: Any) -> list[list[Any]]:
    """Pointers to 4 x 4 vectors that are ``row`` and ``column`` numbers apart."""
    found = []
    for _ in range(4):
        line, at = [], pointer
        for _ in range(4):
            line.append(vector_at(builder, at, VECTOR))
            at = builder.gep(at, [column])
        found.append(line)
        pointer = builder.gep(pointer, [row])
    return found


def _type_forward(
    _: Any, maps: Any, at: Any, row: Any, column: Any, room: Any, to: Any, step: Any
) -> Any:
    """16 channels of a tile: ``room[to + k step]`` are the numbers of ``B' d B``.

    ``maps`` at ``at`` is its first input; neighbours are ``row`` and ``column`` numbers away.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        maps, at, row, column, room, to, step = data(context, builder, signature, arguments)
        places = _grid(builder, builder.gep(maps, [at]), row, column)
        given = [[builder.load(place, align=4) for place in line] for line in places]

        def along(d: list[Any]) -> list[Any]:
            return [
                builder.fsub(d[0], d[2]),
                builder.fadd(d[1], d[2]),
                builder.fsub(d[2], d[1]),
                builder.fsub(d[1], d[3]),
            ]

        lines = [along(line) for line in given]
        columns = [along([line[k] for line in lines]) for k in range(4)]
        target = builder.gep(room, [to])
        for i in range(4):
            for j in range(4):
                builder.store(columns[j][i], vector_at(builder, target, VECTOR), align=4)
                target = builder.gep(target, [step])
        return context.get_dummy_value()

    return types.void(maps, at, row, column, room, to, step), generate


def _outputs(builder: Any, sums: Any, at: Any, step: Any) -> list[list[Any]]:
    """The 2 x 2 outputs ``A' m A`` of the tile whose numbers are ``sums[at + k step]``."""
    pointer, given = builder.gep(sums, [at]), []
    for _ in range(16):
        given.append(builder.load(vector_at(builder, pointer, VECTOR), align=4))
        pointer = builder.gep(pointer, [step])

    def along(m: list[Any]) -> list[Any]:
        return [
            builder.fadd(builder.fadd(m[0], m[1]), m[2]),
            builder.fsub(builder.fsub(m[1], m[2]), m[3]),
        ]

    lines = [along(given[4 * k : 4 * k + 4]) for k in range(4)]
    columns = [along([line[k] for line in lines]) for k in range(2)]
    return [[columns[j][i] for j in range(2)] for i in range(2)]


def _larger(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


def _type_back(
    _: Any, sums: Any, at: Any, step: Any, bias: Any, channel: Any, maps: Any, to: Any, row: Any,
    column: Any,
) -> Any:  # fmt: skip
    """Write the outputs of a tile, after bias and ReLU, to ``maps`` at ``to`` and its neighbours.

    With ``row`` or ``column`` 0, the outputs of that neighbour are overwritten, because the first
    output is written last.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, at, step, bias, channel, maps, to, row, column = data(
            context, builder, signature, arguments
        )
        offset = builder.load(vector_at(builder, builder.gep(bias, [channel]), VECTOR), align=4)
        outputs = _outputs(builder, sums, at, step)
        first = builder.gep(maps, [to])
        for i, j in ((1, 1), (1, 0), (0, 1), (0, 0)):
            place = builder.gep(first, [column]) if j else first
            place = builder.gep(place, [row]) if i else place
            value = _larger(builder, builder.fadd(outputs[i][j], offset), constant(0.0))
            builder.store(value, vector_at(builder, place, VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(sums, at, step, bias, channel, maps, to, row, column), generate


def _type_back_pooled(
    _: Any, sums: Any, at: Any, step: Any, bias: Any, channel: Any, maps: Any, to: Any
) -> Any:
    """The largest output of a tile, after bias and ReLU."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, at, step, bias, channel, maps, to = data(context, builder, signature, arguments)
        offset = builder.load(vector_at(builder, builder.gep(bias, [channel]), VECTOR), align=4)
        (a, b), (c, d) = _outputs(builder, sums, at, step)
        largest = _larger(builder, _larger(builder, a, b), _larger(builder, c, d))
        value = _larger(builder, builder.fadd(largest, offset), constant(0.0))
        builder.store(value, vector_at(builder, builder.gep(maps, [to]), VECTOR), align=4)
        return context.get_dummy_value()

    return types.void(sums, at, step, bias, channel, maps, to), generate


def _product(rows: int, registers: int) -> Any:
    """``out[at_out + r width + n] = sum_c maps[at + r count + c] filters[at_filter + c width + n]``

    for ``rows`` rows and as many ``n`` as the registers hold. Each sum is one chain of fused
    multiply-adds, so values do not depend on the number of registers.
    """

    def typed(
        _: Any, maps: Any, at: Any, count: Any, filters: Any, at_filter: Any, width: Any, out: Any,
        at_out: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            maps, at, count, filters, at_filter, width, out, at_out = data(
                context, builder, signature, arguments
            )
            lanes = [number(k * REGISTER.count) for k in range(registers)]
            left = [
                builder.gep(maps, [builder.add(at, builder.mul(count, number(r)))])
                for r in range(rows)
            ]
            right = builder.gep(filters, [at_filter])

            def turn(index: Any, sums: list[Any]) -> list[Any]:
                line = builder.gep(right, [builder.mul(index, width)])
                weights = [
                    builder.load(vector_at(builder, builder.gep(line, [k]), REGISTER), align=4)
                    for k in lanes
                ]
                grown = []
                for r, pointer in enumerate(left):
                    value = splat(builder, builder.load(builder.gep(pointer, [index])), REGISTER)
                    for k, weight in enumerate(weights):
                        scaled = builder.fmul(value, weight, flags=CONTRACT)
                        total = sums[r * registers + k]
                        grown.append(builder.fadd(scaled, total, flags=CONTRACT))
                return grown

            zero = constant(0.0, REGISTER)
            sums = counted(builder, count, [zero] * (rows * registers), turn)
            for r in range(rows):
                line = builder.gep(out, [builder.add(at_out, builder.mul(width, number(r)))])
                for k, place in enumerate(lanes):
                    target = vector_at(builder, builder.gep(line, [place]), REGISTER)
                    builder.store(sums[r * registers + k], target, align=4)
            return context.get_dummy_value()

        kinds = (maps, at, count, filters, at_filter, width, out, at_out)
        return types.void(*kinds), generate

    return typed


def _type_first(
    _: Any, maps: Any, at: Any, filters: Any, bias: Any, channel: Any, width: Any, out: Any, to: Any
) -> Any:
    """32 channels of one row of frequencies, from one channel at ``maps[at]``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        maps, at, filters, bias, channel, width, out, to = data(
            context, builder, signature, arguments
        )
        both = [channel, builder.add(channel, number(LANES))]

        def vectors(pointer: Any, row: int) -> list[Any]:
            start = builder.mul(width, number(row))
            places = [builder.gep(pointer, [builder.add(start, k)]) for k in both]
            return [builder.load(vector_at(builder, p, VECTOR), align=4) for p in places]

        offsets, weights = vectors(bias, 0), [vectors(filters, k) for k in range(9)]
        inputs = [builder.gep(maps, [builder.add(at, number(i * COLUMNS))]) for i in range(3)]

        def frequency(index: Any, _: list[Any]) -> list[Any]:
            sums = list(offsets)
            for k, pair in enumerate(weights):
                place = builder.gep(inputs[k // 3], [builder.add(index, number(k % 3))])
                value = splat(builder, builder.load(place), VECTOR)
                for half, weight in enumerate(pair):
                    scaled = builder.fmul(value, weight, flags=CONTRACT)
                    sums[half] = builder.fadd(scaled, sums[half], flags=CONTRACT)
            here = builder.gep(out, [builder.add(to, builder.mul(index, width))])
            for half, total in enumerate(sums):
                place = vector_at(builder, builder.gep(here, [number(half * LANES)]), VECTOR)
                builder.store(_larger(builder, total, constant(0.0)), place, align=4)
            return []

        counted(builder, number(FREQUENCIES), [], frequency)
        return context.get_dummy_value()

    return types.void(maps, at, filters, bias, channel, width, out, to), generate


_forward: Any = intrinsic(_type_forward)
_back: Any = intrinsic(_type_back)
_back_pooled: Any = intrinsic(_type_back_pooled)
_first: Any = intrinsic(_type_first)

# Blocks of sums: rows, and registers a row.
WIDE_ROWS, _WIDE_REGISTERS = (6, 4) if LONG else (6, 2)
TALL_ROWS, _TALL_REGISTERS = (12, 2) if LONG else (6, 2)
WIDE_BLOCK, TALL_BLOCK = _WIDE_REGISTERS * REGISTER.count, _TALL_REGISTERS * REGISTER.count
_wide_product: Any = intrinsic(_product(WIDE_ROWS, _WIDE_REGISTERS))
_tall_product: Any = intrinsic(_product(TALL_ROWS, _TALL_REGISTERS))


# --- kernels --------------------------------------------------------------------------------------


@inner_kernel
def _products(
    room: Array, filters: Array, rows: int, channels: int, width: int, sums: Array
) -> None:
    """``sums[k] = room[k] filters[k]`` of all 16 numbers, for ``rows`` tiles at least."""
    for k in range(16):
        left, right, out = k * room.shape[1], k * channels * width, k * sums.shape[1]
        if width % WIDE_BLOCK == 0:
            for n in range(0, width, WIDE_BLOCK):
                for r in range(0, rows, WIDE_ROWS):
                    at, to = left + r * channels, out + r * width + n
                    _wide_product(room, at, channels, filters, right + n, width, sums, to)
        else:
            for n in range(0, width, TALL_BLOCK):
                for r in range(0, rows, TALL_ROWS):
                    at, to = left + r * channels, out + r * width + n
                    _tall_product(room, at, channels, filters, right + n, width, sums, to)


@kernel
def convolve(
    maps: Array, filters: Array, bias: Array, count: int, room: Array, sums: Array, out: Array,
    at: int, pooled: bool,
) -> None:  # fmt: skip
    """``count`` rows of a convolution with bias and ReLU.

    ``maps`` has one more row before and after these rows, and another one at the end if ``count``
    is odd. The result is written to ``out`` from row ``at`` on; with ``pooled``, the 2 x 2 maximum
    to ``out[at : at + count / 2, :80]``. ``room`` and ``sums`` are work memory from
    :func:`room_for`, for the channels in and out.
    """
    channels, width = maps.shape[2], out.shape[2]
    row, step, back = COLUMNS * channels, room.shape[1], sums.shape[1]
    tiles = TILES - 1 if pooled else TILES
    line = out.shape[1] * width
    for first in range(0, count, 2 * PAIRS):
        pairs = min(PAIRS, (count - first + 1) // 2)
        for pair in range(pairs):
            for tile in range(tiles):
                here = (first + 2 * pair) * row + 2 * tile * channels
                there = (pair * tiles + tile) * channels
                for c in range(0, channels, 16):
                    _forward(maps, here + c, row, channels, room, there + c, step)
        _products(room, filters, pairs * tiles, channels, width, sums)
        for pair in range(pairs):
            for tile in range(tiles):
                there = (pair * tiles + tile) * width
                target = at + first + 2 * pair
                for c in range(0, width, 16):
                    if pooled:
                        place = (at + first // 2 + pair) * line + tile * width + c
                        _back_pooled(sums, there + c, back, bias, c, out, place)
                    else:
                        place = target * line + (1 + 2 * tile) * width + c
                        down = line if first + 2 * pair + 1 < count else 0
                        right = width if 2 * tile + 1 < FREQUENCIES else 0
                        _back(sums, there + c, back, bias, c, out, place, down, right)


@kernel
def convolve_first(
    maps: Array, filters: Array, bias: Array, count: int, out: Array, at: int
) -> None:
    """The same of one channel, ``maps`` ``[rows, COLUMNS]``, by ``filters`` ``[9, width]``."""
    width = out.shape[2]
    for row in range(count):
        to = ((at + row) * COLUMNS + 1) * width
        for channel in range(0, width, 2 * LANES):
            _first(maps, row * COLUMNS, filters, bias, channel, width, out, to + channel)
