"""One decoding step as a single compiled loop (numba), row by row, with fp32 or int8 weights.

At batch 1 the operations of a step are so small that calling them costs a third of its time. Here
a step is one call: products read each weight once, in the order it lies in memory, and nothing else
is allocated. No C++ compiler is needed, but the first use in a process compiles (2.4 CPU seconds
measured, and numba's import .2), so :func:`worth` decides by the length of the job.

``int8``: each column of a matrix is stored as 8-bit integers and one scale (weight only,
activations stay fp32): a quarter of the memory to read.

Conventions
-----------
As :mod:`tokensep.decode.static`: ``x [R, dim]``, one position at a time; its numbers up to
rounding in fp32 (tested). Rows are computed one after the other: for many rows in fp32
``tokensep.decode.static`` is faster.
Matrices ``[layers, in, out]``, caches ``[rows, layers, length, dim]``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokensep.decode.static import FastDecoder
from tokensep.errors import ConfigError
from tokensep.lm.model import Decoder, KVCache

WORTH = 5_000
"""Steps of one row from which compiling pays for itself: each is about a millisecond quicker."""


@cache
def _compiled() -> Callable[..., None]:
    """The step, compiled for the types it is called with."""
    import math

    from numba import njit

    # not cached on disk: two seconds a process, against a cache that processes share and may tear
    fast = njit(nogil=True, fastmath=True, inline="never", error_model="numpy")

    @fast
    def product(x, weight, scale, out):  # type: ignore[no-untyped-def]
        rows, columns = weight.shape
        out[:columns] = 0.0
        whole = rows - rows % 8
        for i in range(0, whole, 8):
            a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
            e, f, g, h = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
            for j in range(columns):
                out[j] += (
                    a * np.float32(weight[i, j])
                    + b * np.float32(weight[i + 1, j])
                    + c * np.float32(weight[i + 2, j])
                    + d * np.float32(weight[i + 3, j])
                ) + (
                    e * np.float32(weight[i + 4, j])
                    + f * np.float32(weight[i + 5, j])
                    + g * np.float32(weight[i + 6, j])
                    + h * np.float32(weight[i + 7, j])
                )
        for i in range(whole, rows):
            for j in range(columns):
                out[j] += x[i] * np.float32(weight[i, j])
        for j in range(scale.shape[0]):
            out[j] *= scale[j]

    @fast
    def direction(x, floor, out):  # type: ignore[no-untyped-def]
        total = np.float32(floor * floor)
        for i in range(x.shape[0]):
            total += x[i] * x[i]
        factor = np.float32(1.0) / np.float32(math.sqrt(total))
        for i in range(x.shape[0]):
            out[i] = x[i] * factor

    @fast
    def attend(query, keys, values, count, heads, scores, out):  # type: ignore[no-untyped-def]
        width = query.shape[0] // heads
        factor = np.float32(1.0 / math.sqrt(width))
        for h in range(heads):
            at, best = h * width, np.float32(-np.inf)
            for t in range(count):
                total = np.float32(0.0)
                for i in range(width):
                    total += query[at + i] * keys[t, at + i]
                scores[t] = total * factor
                best = max(best, scores[t])
            weight = np.float32(0.0)
            for t in range(count):
                scores[t] = np.float32(math.exp(scores[t] - best))
                weight += scores[t]
            for i in range(width):
                out[at + i] = 0.0
            for t in range(count):
                share = scores[t] / weight
                for i in range(width):
                    out[at + i] += share * values[t, at + i]

    @fast
    def step(x, matrices, scales, keys, values, cos, sin, now, heads, floor, last, out):  # type: ignore[no-untyped-def]
        to_qkv, to_out, to_gate_up, to_down = matrices
        qkv_scale, out_scale, gate_scale, down_scale = scales
        dim, ffn = x.shape[0], to_down.shape[1]
        width, half = dim // heads, dim // heads // 2
        normed, wide = np.empty(dim, np.float32), np.empty(max(3 * dim, 2 * ffn), np.float32)
        query, heard = np.empty(dim, np.float32), np.empty(dim, np.float32)
        scores = np.empty(now + 1, np.float32)
        for layer in range(to_qkv.shape[0]):
            direction(x, floor, normed)
            product(normed, to_qkv[layer], qkv_scale[layer], wide)
            for h in range(heads):
                for i in range(width):
                    j = h * width + i
                    other = h * width + (i + half) % width
                    query[j] = wide[j] * cos[now, i] + wide[other] * sin[now, i]
                    keys[layer, now, j] = (
                        wide[dim + j] * cos[now, i] + wide[dim + other] * sin[now, i]
                    )
                    values[layer, now, j] = wide[2 * dim + j]
            attend(query, keys[layer], values[layer], now + 1, heads, scores, heard)
            product(heard, to_out[layer], out_scale[layer], normed)
            for i in range(dim):
                x[i] += normed[i]
            direction(x, floor, normed)
            product(normed, to_gate_up[layer], gate_scale[layer], wide)
            for i in range(ffn):
                gate = wide[i]
                wide[i] = gate / (np.float32(1.0) + np.float32(math.exp(-gate))) * wide[ffn + i]
            product(wide[:ffn], to_down[layer], down_scale[layer], normed)
            for i in range(dim):
                x[i] += normed[i]
        direction(x, floor, out)
        for i in range(dim):
            out[i] *= last[i]

    return step  # type: ignore[no-any-return]


def worth(steps: int, rows: int, like: Tensor) -> bool:
    """Whether a job of ``steps`` should be done by this: one row, on a CPU, in fp32, and long."""
    return rows == 1 and fits(like) and steps >= WORTH


def fits(like: Tensor) -> bool:
    """Whether a model with weights ``like`` can be run by this at all."""
    return like.device.type == "cpu" and like.dtype == torch.float32


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices ``[L, in, out]`` as int8 and the scale of each column ``[L, out]``."""
    scale = weight.abs().amax(1).clamp_min(1e-12) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


class CompiledDecoder(FastDecoder):
    """A :class:`FastDecoder` whose step is one compiled call per row.

    Parameters
    ----------
    int8 : store the matrices as 8-bit integers.

    Raises
    ------
    ConfigError
        the model is not on a CPU in fp32.
    """

    def __init__(
        self,
        decoder: Decoder,
        rows: int,
        length: int,
        cos: Tensor,
        sin: Tensor,
        *,
        int8: bool = False,
    ) -> None:
        if not fits(cos):
            raise ConfigError(
                f"step=compiled and step=int8 need a CPU and fp32, "
                f"found {cos.device}, {cos.dtype}; use step=plain"
            )
        super().__init__(decoder, rows, 0, cos, sin)  # its caches stay empty
        kinds = zip(*self.weights, strict=True)
        stacked = [torch.stack([m.weight for m in kind]) for kind in kinds]
        pairs = [quantised(w) if int8 else (w, w.new_empty(len(w), 0)) for w in stacked]
        self.matrices = tuple(_array(w) for w, _ in pairs)
        self.scales = tuple(_array(s) for _, s in pairs)
        self.weights = []
        shape = (rows, len(decoder.blocks), length, self.dim)
        self.stored = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.tables = _array(self.cos), _array(self.sin)
        self.gain, self.lowest = _array(self.last), float(self.floor)
        self.run = _compiled()

    def fill(self, decoder: Decoder, prefix: Tensor) -> None:
        """As :meth:`FastDecoder.fill`; what it stores is laid out for the compiled step."""
        rows, count, blocks = *prefix.shape[:2], len(decoder.blocks)
        held = KVCache.empty(blocks, rows, self.heads, count, self.width, prefix)
        self.keys, self.values = held.keys, held.values
        super().fill(decoder, prefix)
        for kept, target in zip((held.keys, held.values), self.stored, strict=True):
            for layer in range(blocks):
                target[:, layer, :count] = kept[layer].transpose(1, 2).flatten(2).numpy()
        self.keys, self.values = [], []

    def step(self, x: Tensor) -> Tensor:
        """``[R, dim]`` → normed output ``[R, dim]``; the caches grow by one."""
        state, out = x.numpy().copy(), np.empty(x.shape, np.float32)
        keys, values = self.stored
        for row in range(len(state)):
            self.run(
                state[row], self.matrices, self.scales, keys[row], values[row],
                *self.tables, self.used, self.heads, self.lowest, self.gain, out[row],
            )  # fmt: skip
        self.used += 1
        return torch.from_numpy(out)


def _array(x: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(x.detach().numpy())
