"""One decoding step with little between the weights and the memory bus.

At batch 1 a step costs what it takes to read the weights once; all else is overhead of small
operations. So: each matrix lies in memory as its product reads it fastest, norms' gains are folded
into the matrices that follow them, residual additions into the products, rotation signs into the
sine table, padding into a zero row of the token tables, and keys and values go into buffers of the
final size. The numbers are those of :class:`tokensep.lm.model.Decoder` up to rounding (tested).

Conventions
-----------
``x [R, dim]``: one position of R rows. Weights are copies: build it after the model is loaded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensep.lm.model import Decoder, TokenLM


class Matrix:
    """``x [R, in] → x W^T [R, out]``, stored as suits the number of rows.

    Measured on one core (AVX2, MKL): a row times a wide matrix runs at the speed of memory when
    the matrix is stored ``[in, out]`` and at half of it as ``[out, in]``; with a tall one it
    is the other way round.
    """

    def __init__(self, weight: Tensor, rows: int) -> None:
        tall = weight.shape[0] < weight.shape[1]
        self.weight = weight.t() if rows == 1 and tall else weight.t().contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        return torch.mm(x, self.weight)

    def added(self, to: Tensor, x: Tensor) -> Tensor:
        """``to + x W^T``."""
        return torch.addmm(to, x, self.weight)


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
                self._folded(block.qkv.weight, block.norm1.weight, rows),
                Matrix(block.out.weight, rows),
                self._folded(block.gate_up.weight, block.norm2.weight, rows),
                Matrix(block.down.weight, rows),
            )
            for block in decoder.blocks
        ]
        self.last = decoder.norm.weight * self.scale
        shape = (rows, self.heads, length, self.width)
        self.keys = [cos.new_empty(shape) for _ in self.weights]
        self.values = [cos.new_empty(shape) for _ in self.weights]
        self.used = 0

    def _folded(self, weight: Tensor, gain: Tensor, rows: int) -> Matrix:
        """A matrix that takes ``x / |x|`` instead of the norm's output."""
        return Matrix(weight * (gain * self.scale), rows)

    def _direction(self, x: Tensor) -> Tensor:
        """``x`` over its length; hypot keeps the norm's epsilon exactly."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x / torch.hypot(length, self.floor)

    def fill(self, decoder: Decoder, prefix: Tensor) -> None:
        """Process ``prefix [R, P, dim]`` at once, by the decoder itself."""
        from tokensep.lm.model import KVCache

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
        for (to_qkv, out, to_gate_up, down), keys, values in zip(
            self.weights, self.keys, self.values, strict=True
        ):
            qkv = to_qkv(self._direction(x)).reshape(rows, 3, self.heads, self.width)
            qk = qkv[:, :2]
            turned = torch.cat([qk[..., half:], qk[..., :half]], dim=-1)
            qk = torch.addcmul(qk * cos, turned, sin)
            keys[:, :, now] = qk[:, 1]
            values[:, :, now] = qkv[:, 2]
            y = F.scaled_dot_product_attention(
                qk[:, 0].unsqueeze(2), keys.narrow(2, 0, now + 1), values.narrow(2, 0, now + 1)
            )
            x = out.added(x, y.reshape(rows, self.dim))
            gate, up = to_gate_up(self._direction(x)).chunk(2, dim=-1)
            x = down.added(x, F.silu(gate).mul_(up))
        self.used = now + 1
        return self._direction(x) * self.last


class FastTokens:
    """Token tables as a lookup with a zero row for padding, and as heads.

    Anchored heads also need what is known of each frame: the entries of the last steps, from which
    one product makes every layer's sum.
    """

    def __init__(self, model: TokenLM, rows: int) -> None:
        layers, entries, width = model.tables.shape
        self.table = F.pad(model.tables, (0, 0, 0, 1)).reshape(-1, width)
        self.mix = Matrix(model.embed_in.weight, rows)
        self.offset = torch.arange(layers, device=self.table.device) * (entries + 1)
        self.layers, self.width, self.anchored = layers, width, model.anchored
        self.books, self.bias = model.tables.transpose(1, 2), model.bias[:, None]
        self.latents: Tensor | None = None
        if model.anchored is not None:
            head, self.pick = model.anchored, model.anchored.pick
            self.head: Matrix | None = Matrix(head.out.weight, rows)
            self.head_bias = head.out.bias
            precision = head.precision()[..., None]
            self.books = self.books * precision
            self.bias = (model.bias - 0.5 * (model.tables.square() @ precision)[..., 0])[:, None]
            self._history(model, rows)
        else:
            self.head = None if model.head is None else Matrix(model.head.weight, rows)

    def _history(self, model: TokenLM, rows: int) -> None:
        """``sums [K, span x K]``: which entry of which earlier step belongs to a layer's frame."""
        assert model.anchored is not None
        offsets, span = model.layout.offsets, max(1, model.layout.span)
        sums = torch.zeros(self.layers, span, self.layers)
        for k, j in model.anchored.known.nonzero().tolist():
            sums[k, offsets[k] - offsets[j] - 1, j] = 1.0
        self.sums = sums.flatten(1).to(self.table)
        self.recent = self.table.new_zeros(span, self.layers, rows, self.width)

    def embed(self, cells: Tensor) -> Tensor:
        """``[R, K]`` → ``[R, dim]``."""
        flat = F.embedding(cells + self.offset, self.table)
        if self.anchored is not None:
            self.recent = torch.cat([flat.transpose(0, 1)[None], self.recent[:-1]])
        return self.mix(flat.view(len(cells), -1))

    def logits(self, hidden: Tensor) -> Tensor:
        """``[R, dim]`` → ``[R, K, V]``."""
        assert self.head is not None
        rows = len(hidden)
        if self.anchored is None:
            query = self.head(hidden).view(rows, self.layers, -1).transpose(0, 1)
        else:
            self.latents = (self.head(hidden) + self.head_bias).view(rows, -1, self.width)
            known = torch.mm(self.sums, self.recent.view(self.sums.shape[1], -1))
            query = self.latents[:, self.pick].transpose(0, 1)
            query = query - known.view(self.layers, rows, self.width)
        return torch.baddbmm(self.bias, query, self.books).transpose(0, 1)
