"""One decoding step of the transformer as numba functions, row by row.

Conventions
-----------
x          float32 ``[dim]``: one position of one row
matrices   ``[in, out]``, float32 or int8; int8 has one scale per column, float32 an empty scale
cache      keys and values ``[length, dim]`` per layer, ``heads x width`` side by side
norms      ``x / sqrt(sum(x^2) + floor^2)``: the gain ``g sqrt(dim)`` is part of the matrix after it

Importing this module imports numba (0.2 s); the first step compiles (2.4 CPU seconds measured).
Nothing is cached on disk: a cache that processes share may be torn.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

# fastmath: sums may be reordered, so that they run in SIMD lanes
fast = njit(nogil=True, fastmath=True, inline="never", error_model="numpy")


@fast
def matvec(x: Any, weight: Any, scale: Any, out: Any) -> None:
    """``out = (x W) * scale``: ``x [in]``, ``W [in, out]``.

    Eight rows of W at a time: each row is read once, in the order it has in memory, and ``out`` is
    read and written once for eight rows instead of once for each.
    """
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
def rms_normalize(x: Any, floor: Any, out: Any) -> None:
    """``out = x / sqrt(sum(x^2) + floor^2)``, which is RMSNorm without gain and ``sqrt(dim)``."""
    total = np.float32(floor * floor)
    for i in range(x.shape[0]):
        total += x[i] * x[i]
    factor = np.float32(1.0) / np.float32(math.sqrt(total))
    for i in range(x.shape[0]):
        out[i] = x[i] * factor


@fast
def rotate_and_store(
    qkv: Any, cos: Any, sin: Any, heads: int, query: Any, key: Any, value: Any
) -> None:
    """Rotary positions of one position's ``qkv [3 dim]``; key and value go into the cache.

    Rotation by halves: ``y_i = x_i cos_i + x_{(i + width / 2) mod width} sin_i``, where the table
    ``sin [width]`` has a minus sign in its first half.
    """
    dim = query.shape[0]
    width, half = dim // heads, dim // heads // 2
    for h in range(heads):
        for i in range(width):
            j = h * width + i
            other = h * width + (i + half) % width
            query[j] = qkv[j] * cos[i] + qkv[other] * sin[i]
            key[j] = qkv[dim + j] * cos[i] + qkv[dim + other] * sin[i]
            value[j] = qkv[2 * dim + j]


@fast
def attention(
    query: Any, keys: Any, values: Any, count: int, heads: int, scores: Any, out: Any
) -> None:
    """``softmax(q K^T / sqrt(width)) V`` of each head over the first ``count`` positions."""
    width = query.shape[0] // heads
    factor = np.float32(1.0 / math.sqrt(width))
    for h in range(heads):
        at, largest = h * width, np.float32(-np.inf)
        for t in range(count):
            total = np.float32(0.0)
            for i in range(width):
                total += query[at + i] * keys[t, at + i]
            scores[t] = total * factor
            largest = max(largest, scores[t])
        weight = np.float32(0.0)
        for t in range(count):
            scores[t] = np.float32(math.exp(scores[t] - largest))  # at most 1: no overflow
            weight += scores[t]
        for i in range(width):
            out[at + i] = 0.0
        for t in range(count):
            share = scores[t] / weight
            for i in range(width):
                out[at + i] += share * values[t, at + i]


@fast
def swiglu(wide: Any, ffn: int) -> None:
    """``wide[:ffn] = silu(gate) * up`` of ``wide = [gate, up]``; ``silu(g) = g / (1 + e^-g)``."""
    for i in range(ffn):
        gate = wide[i]
        wide[i] = gate / (np.float32(1.0) + np.float32(math.exp(-gate))) * wide[ffn + i]


@fast
def step(
    x: Any,
    matrices: Any,
    scales: Any,
    keys: Any,
    values: Any,
    cos: Any,
    sin: Any,
    now: int,
    heads: int,
    floor: float,
    gain: Any,
    out: Any,
) -> None:
    """All blocks and the final norm for position ``now``: ``x [dim]`` (overwritten) → ``out``.

    ``matrices`` are qkv, attention output, gate and up, down, ``[layers, in, out]`` each.
    """
    to_qkv, to_out, to_gate_up, to_down = matrices
    qkv_scale, out_scale, gate_scale, down_scale = scales
    dim, ffn = x.shape[0], to_down.shape[1]
    normed, wide = np.empty(dim, np.float32), np.empty(max(3 * dim, 2 * ffn), np.float32)
    query, attended = np.empty(dim, np.float32), np.empty(dim, np.float32)
    scores = np.empty(now + 1, np.float32)
    for layer in range(to_qkv.shape[0]):
        # x += W_out attention(W_qkv norm(x))
        rms_normalize(x, floor, normed)
        matvec(normed, to_qkv[layer], qkv_scale[layer], wide)
        rotate_and_store(
            wide, cos[now], sin[now], heads, query, keys[layer, now], values[layer, now]
        )
        attention(query, keys[layer], values[layer], now + 1, heads, scores, attended)
        matvec(attended, to_out[layer], out_scale[layer], normed)
        for i in range(dim):
            x[i] += normed[i]
        # x += W_down (silu(W_gate norm(x)) * W_up norm(x))
        rms_normalize(x, floor, normed)
        matvec(normed, to_gate_up[layer], gate_scale[layer], wide)
        swiglu(wide, ffn)
        matvec(wide[:ffn], to_down[layer], down_scale[layer], normed)
        for i in range(dim):
            x[i] += normed[i]
    rms_normalize(x, floor, out)
    for i in range(dim):
        out[i] *= gain[i]
