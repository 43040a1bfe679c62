"""The transformer of the language model: pre-norm blocks with RoPE and SwiGLU, and a KV cache.

Conventions
-----------
x          float32 ``[R, n, dim]``: R rows, n positions
attention  causal; ``dim = heads x width``
cos, sin   rotation tables ``[n, width]`` of the positions of x (:mod:`tokensep.lm.rope`)

Block and norm are those of ``transformers``' ``LlamaModel`` (a test compares the two).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensep.lm import rope
from tokensep.recompute import Stack


@dataclass
class KVCache:
    """Static keys and values ``[R, heads, length, width]`` per block, filled up to ``used``."""

    keys: list[Tensor]
    values: list[Tensor]
    used: int = 0

    @classmethod
    def empty(
        cls, blocks: int, rows: int, heads: int, length: int, width: int, like: Tensor
    ) -> KVCache:
        """Buffers for ``length`` positions, of ``like``'s type and device."""
        shape = (rows, heads, length, width)
        return cls(
            [like.new_empty(shape) for _ in range(blocks)],
            [like.new_empty(shape) for _ in range(blocks)],
        )


class RMSNorm(nn.Module):
    """``x / sqrt(mean(x^2) + eps) * weight``."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class Block(nn.Module):
    """``x += attention(norm1(x))``, then ``x += SwiGLU(norm2(x))``; no biases."""

    def __init__(self, dim: int, heads: int, ffn: int, eps: float, dropout: float) -> None:
        super().__init__()
        self.heads, self.width, self.dropout = heads, dim // heads, dropout
        self.norm1, self.norm2 = RMSNorm(dim, eps), RMSNorm(dim, eps)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.gate_up = nn.Linear(dim, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None = None, index: int = 0
    ) -> Tensor:
        """``x [R, n, dim]``; with a cache, these positions follow the stored ones.

        ``index`` is the number of this block in the cache.
        """
        rows, n, dim = x.shape
        # one product for queries, keys and values: [R, n, 3 dim] -> [R, n, 3, heads, width]
        qkv = self.qkv(self.norm1(x)).view(rows, n, 3, self.heads, self.width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [R, heads, n, width] each
        q, k = rope.rotate(q, cos, sin), rope.rotate(k, cos, sin)
        causal = n > 1  # a single new position may see everything that is stored
        if cache is not None:
            end = cache.used + n
            cache.keys[index][:, :, cache.used : end] = k
            cache.values[index][:, :, cache.used : end] = v
            if cache.used:  # a chunk after stored positions would need an offset mask
                assert n == 1, "only one position at a time may follow a filled cache"
                k, v = cache.keys[index][:, :, :end], cache.values[index][:, :, :end]
        drop = self.dropout if self.training else 0.0
        # softmax(q k^T / sqrt(width)) v
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, dropout_p=drop)
        x = x + self.out(y.transpose(1, 2).reshape(rows, n, dim))
        # SwiGLU: (silu(x W_gate) * (x W_up)) W_down; gate and up are one product too
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)  # [R, n, ffn] each
        return x + F.dropout(self.down(F.silu(gate) * up), drop, self.training)


class Decoder(nn.Module):
    """A stack of blocks and a final norm: ``transformers.LlamaModel`` without embeddings."""

    def __init__(
        self, dim: int, layers: int, heads: int, ffn: int, eps: float, theta: float, dropout: float
    ) -> None:
        super().__init__()
        self.width, self.theta = dim // heads, theta
        self.blocks = Stack(Block(dim, heads, ffn, eps, dropout) for _ in range(layers))
        self.norm = RMSNorm(dim, eps)

    def initialise(self) -> None:
        """GPT-2's rule: scale by fan-in, and shrink what is added to the residual stream.

        Each of ``2 x blocks`` residual additions contributes its variance; ``1 / sqrt(2 blocks)``
        keeps their sum that of one.
        """
        shrink = (2 * len(self.blocks)) ** -0.5
        for block in self.blocks:
            assert isinstance(block, Block)
            for linear in (block.qkv, block.gate_up):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5 * 0.5)
            for linear in (block.out, block.down):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5 * 0.5 * shrink)

    def rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation tables ``[n, width]`` for ``positions [n]``."""
        return rope.tables(positions, self.width, self.theta, self.norm.weight.dtype)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None = None) -> Tensor:
        """``[R, n, dim] → [R, n, dim]``; advances the cache by n."""
        if cache is None:
            return self.norm(self.blocks.run(x, cos, sin))
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, cache, index)
        cache.used += x.shape[1]
        return self.norm(x)
