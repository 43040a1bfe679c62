"""One decoding step with minimal overhead.

At batch size 1, the minimal cost of a step is one read of the weights; the rest is overhead of
small operations. So each matrix is stored in the layout that is fastest for its product, gains of
norms are folded into the following matrices, residual additions into the products, rotation signs
into the sine table, and padding into a zero row of the token tables; keys and values are written to
buffers of the final size. Results equal those of :class:`tokensep.lm.decoder.Decoder` up to
rounding (tested).

Conventions
-----------
``x [R, dim]``: one position of R rows. Weights are copies: build it after the model is loaded.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensep.decode.position import HostPosition, Position
from tokensep.lm.decoder import Block, Decoder, KVCache
from tokensep.lm.heads import LatentRegressionHead
from tokensep.lm.model import TokenLM


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


class StaticDecoder:
    """The blocks of a decoder, one position at a time, over static caches.

    Parameters
    ----------
    decoder : in eval mode.
    rows, length : of the caches.
    cos, sin : rotation tables ``[length, width]``.
    position : of the next step; :meth:`fill` and :meth:`step` move it.
    """

    def __init__(
        self,
        decoder: Decoder,
        rows: int,
        length: int,
        cos: Tensor,
        sin: Tensor,
        position: Position | None = None,
    ) -> None:
        first = decoder.blocks[0]
        assert isinstance(first, Block)
        self.heads, self.width = first.heads, first.width
        self.dim = self.heads * self.width
        # RMSNorm: x / sqrt(|x|^2 / dim + eps) * g = x / sqrt(|x|^2 + dim eps) * (g sqrt(dim)).
        # The first factor is computed at each step, the second goes into the next matrix.
        self.scale = self.dim**0.5
        self.floor = cos.new_tensor((self.dim * first.norm1.eps) ** 0.5)
        # Rotation: [a, b] -> [a, b] cos + [-b, a] sin = [a, b] cos + [b, a] [-sin, sin]
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
            for block in map(_block, decoder.blocks)
        ]
        self.last = decoder.norm.weight * self.scale
        shape = (rows, self.heads, length, self.width)
        # zeros: a masked position must not be NaN
        self.keys = [cos.new_zeros(shape) for _ in self.weights]
        self.values = [cos.new_zeros(shape) for _ in self.weights]
        self.position = position or HostPosition()

    def _folded(self, weight: Tensor, gain: Tensor, rows: int) -> Matrix:
        """A matrix for :meth:`_normalize`'s output: ``W diag(g sqrt(dim))``."""
        return Matrix(weight * (gain * self.scale), rows)

    def _normalize(self, x: Tensor) -> Tensor:
        """``x / sqrt(|x|^2 + dim eps)``; hypot keeps the norm's epsilon exactly."""
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        return x / torch.hypot(length, self.floor)

    def fill(self, decoder: Decoder, prefix: Tensor) -> None:
        """Process ``prefix [R, P, dim]`` at once, by the decoder itself."""
        cache = KVCache(self.keys, self.values)
        half = self.width // 2
        count = prefix.shape[1]
        # the decoder's own rotation has the sign in x, not in the table
        sin = torch.cat([-self.sin[:count, :half], self.sin[:count, half:]], dim=1)
        decoder(prefix, self.cos[:count], sin, cache)
        self.position.move(cache.used)

    def step(self, x: Tensor) -> Tensor:
        """``[R, dim]`` → normed output ``[R, dim]``; the caches grow by one."""
        rows, half, now = x.shape[0], self.width // 2, self.position
        cos, sin, mask = now.take(self.cos, 0), now.take(self.sin, 0), now.mask()
        for (to_qkv, out, to_gate_up, down), keys, values in zip(
            self.weights, self.keys, self.values, strict=True
        ):
            # [R, 3 dim] -> [R, 3, heads, width]; queries and keys are rotated together
            qkv = to_qkv(self._normalize(x)).reshape(rows, 3, self.heads, self.width)
            qk = qkv[:, :2]
            swapped = torch.cat([qk[..., half:], qk[..., :half]], dim=-1)
            qk = torch.addcmul(qk * cos, swapped, sin)
            now.put(keys, 2, qk[:, 1])
            now.put(values, 2, qkv[:, 2])
            # one query [R, heads, 1, width] over all stored positions
            y = F.scaled_dot_product_attention(
                qk[:, 0].unsqueeze(2), now.stored(keys, 2), now.stored(values, 2), attn_mask=mask
            )
            x = out.added(x, y.reshape(rows, self.dim))
            gate, up = to_gate_up(self._normalize(x)).chunk(2, dim=-1)
            x = down.added(x, F.silu(gate).mul_(up))
        now.advance()
        return self._normalize(x) * self.last


def _block(module: nn.Module) -> Block:
    assert isinstance(module, Block)
    return module


class StaticTokens:
    """Token tables as a lookup with a zero row for padding, and as heads.

    The latent regression head also needs what is known of each frame: the entries of the last
    steps, from which one product makes every layer's sum.
    """

    def __init__(self, model: TokenLM, rows: int, position: Position | None = None) -> None:
        layers, entries, width = model.tables.shape
        self.position = position or HostPosition()
        # [K (V + 1), w]: entry V of each layer is zero, so padding needs no mask
        self.table = F.pad(model.tables, (0, 0, 0, 1)).reshape(-1, width)
        self.mix = Matrix(model.embed_in.weight, rows)
        self.offset = torch.arange(layers, device=self.table.device) * (entries + 1)
        self.layers, self.width, self.latent_head = layers, width, model.latent_head
        # logits are query [K, R, w] x codebooks [K, w, V] + bias [K, 1, V]
        self.codebooks, self.bias = model.tables.transpose(1, 2), model.bias[:, None]
        self.latents: Tensor | None = None
        self.head: Matrix | None = None
        head = model.latent_head
        if head is not None:
            # sum_d p_kd (q_kd c_kvd - c_kvd^2 / 2) + bias_kv: the precision goes into the
            # codebooks, and what does not depend on q into the bias
            self.head, self.head_bias = Matrix(head.out.weight, rows), head.out.bias
            precision = head.precision()[..., None]  # [K, w, 1]
            self.codebooks = self.codebooks * precision
            offset = model.bias - 0.5 * (model.tables.square() @ precision)[..., 0]
            self.bias = offset[:, None]
            self._prepare_history(model, head, rows)
        elif model.head is not None:
            self.head = Matrix(model.head.weight, rows)

    def _prepare_history(self, model: TokenLM, head: LatentRegressionHead, rows: int) -> None:
        """``sums [K, span x K]``: which entry of which earlier step belongs to a layer's frame.

        Layer k of frame f is in step ``stride f + offset_k``, layer j of it
        ``offset_k - offset_j`` steps before; ``recent[i]`` holds the entries of i + 1 steps before.
        """
        offsets, span = model.layout.offsets, max(1, model.layout.span)
        sums = torch.zeros(self.layers, span, self.layers)
        for k, j in head.known_layers.nonzero().tolist():
            sums[k, offsets[k] - offsets[j] - 1, j] = 1.0
        self.sums = sums.flatten(1).to(self.table)
        self.recent = self.table.new_zeros(span, self.layers, rows, self.width)

    def embed(self, tokens: Tensor) -> Tensor:
        """``[R, K]`` → ``[R, dim]``."""
        vectors = F.embedding(tokens + self.offset, self.table)  # [R, K, w]
        if self.latent_head is not None:
            # newest first: [span, K, R, w]
            newest = torch.cat([vectors.transpose(0, 1)[None], self.recent[:-1]])
            self.recent = self.position.keep(self.recent, newest)
        return self.mix(vectors.view(len(tokens), -1))

    def logits(self, hidden: Tensor) -> Tensor:
        """``[R, dim]`` → ``[R, K, V]``."""
        assert self.head is not None
        rows = len(hidden)
        if self.latent_head is None:
            query = self.head(hidden).view(rows, self.layers, -1).transpose(0, 1)  # [K, R, w]
        else:
            self.latents = (self.head(hidden) + self.head_bias).view(rows, -1, self.width)
            # [K, span K] x [span K, R w]: for each layer the sum of the known entries of its frame
            known = torch.mm(self.sums, self.recent.view(self.sums.shape[1], -1))
            query = self.latents[:, self.latent_head.head_of_layer].transpose(0, 1)  # [K, R, w]
            query = query - known.view(self.layers, rows, self.width)
        return torch.baddbmm(self.bias, query, self.codebooks).transpose(0, 1)
