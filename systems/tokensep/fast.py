"""One decoding step with little between the weights and the memory bus.

At batch 1 a step costs what it takes to read the weights once; everything else is overhead of small
operations. So: norms' gains are folded into the matrices that follow them, residual additions into
the matrix products, rotation signs into the sine table, padding into a zero row of the token tables,
and keys and values go into buffers of the final size. The numbers are those of
:class:`tokensep.lm.Decoder` up to rounding (tested).

Conventions
-----------
``x [R, dim]``: one position of R rows. Weights are copies: build it after the model is loaded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensep.lm import Decoder, TokenLM


class FastDecoder:
    """The blocks of a decoder, one position at a time, over static caches.

    Parameters
    ----------
    decoder : in eval mode.
    rows, length : of the caches.
    cos, sin : rotation tables ``[length, width]``.
    """

    def __init__(self, decoder: Decoder, rows: int, length: int, cos: Tensor, sin: Tensor) -> None:
        first = decoder.blocks[0]
        self.heads, self.width = first.heads, first.width
        self.dim = self.heads * self.width
        self.scale = self.dim**0.5
        self.floor = cos.new_tensor((self.dim * first.norm1.eps) ** 0.5)
        half = self.width // 2
        self.cos = cos
        self.sin = torch.cat([-sin[:, :half], sin[:, half:]], dim=1)
        self.weights = [
            (
                self._folded(block.qkv.weight, block.norm1.weight),
                block.out.weight.t(),
                self._folded(block.gate_up.weight, block.norm2.weight),
                block.down.weight.t(),
            )
            for block in decoder.blocks
        ]
        self.last = decoder.norm.weight * self.scale
        shape = (rows, self.heads, length, self.width)
        self.keys = [cos.new_empty(shape) for _ in self.weights]
        self.values = [cos.new_empty(shape) for _ in self.weights]
        self.used = 0

    def _folded(self, weight: Tensor, gain: Tensor) -> Tensor:
        """A matrix that takes ``x / |x|`` instead of the norm's output."""
        return (weight * (gain * self.scale)).t()

    def _direction(self, x: Tensor) -> Tensor:
        """``x`` over its length; hypot keeps the norm's epsilon exactly."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x / torch.hypot(length, self.floor)

    def fill(self, decoder: Decoder, prefix: Tensor) -> None:
        """Process ``prefix [R, P, dim]`` at once, by the decoder itself."""
        from tokensep.lm import KVCache

        cache = KVCache(self.keys, self.values)
        half = self.width // 2
        count = prefix.shape[1]
        sin = torch.cat([-self.sin[:count, :half], self.sin[:count, half:]], dim=1)
        decoder(prefix, self.cos[:count], sin, cache)
        self.used = cache.used

    def step(self, x: Tensor) -> Tensor:
        """``[R, dim]`` → normed output ``[R, dim]``; the caches grow by one."""
        now, rows, half = self.used, x.shape[0], self.width // 2
        cos, sin = self.cos[now], self.sin[now]
        for (qkv_t, out_t, gate_up_t, down_t), keys, values in zip(
            self.weights, self.keys, self.values, strict=True
        ):
            qkv = torch.mm(self._direction(x), qkv_t).view(rows, 3, self.heads, self.width)
            qk = qkv[:, :2]
            turned = torch.cat([qk[..., half:], qk[..., :half]], dim=-1)
            qk = torch.addcmul(qk * cos, turned, sin)
            keys[:, :, now] = qk[:, 1]
            values[:, :, now] = qkv[:, 2]
            y = F.scaled_dot_product_attention(
                qk[:, 0].unsqueeze(2), keys.narrow(2, 0, now + 1), values.narrow(2, 0, now + 1)
            )
            x = torch.addmm(x, y.reshape(rows, self.dim), out_t)
            gate, up = torch.mm(self._direction(x), gate_up_t).chunk(2, dim=-1)
            x = torch.addmm(x, F.silu(gate).mul_(up), down_t)
        self.used = now + 1
        return self._direction(x) * self.last


class FastTokens:
    """Token tables as a lookup with a zero row for padding, and as heads."""

    def __init__(self, model: TokenLM) -> None:
        layers, entries, width = model.tables.shape
        padded = F.pad(model.tables, (0, 0, 0, 1)).reshape(-1, width)
        self.table, self.mix = padded, model.embed_in.weight.t()
        self.offset = torch.arange(layers, device=padded.device) * (entries + 1)
        self.books = model.tables.transpose(1, 2)
        self.bias = model.bias[:, None]
        self.head = None if model.head is None else model.head.weight.t()
        self.layers = layers

    def embed(self, cells: Tensor) -> Tensor:
        """``[R, K]`` → ``[R, dim]``."""
        flat = F.embedding(cells + self.offset, self.table)
        return torch.mm(flat.view(len(cells), -1), self.mix)

    def logits(self, hidden: Tensor) -> Tensor:
        """``[R, dim]`` → ``[R, K, V]``."""
        query = torch.mm(hidden, self.head).view(len(hidden), self.layers, -1)
        return torch.baddbmm(self.bias, query.transpose(0, 1), self.books).transpose(0, 1)
