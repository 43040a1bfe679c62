"""The language model: a LLaMA-style decoder over token steps, conditioned on the mixture.

Conventions
-----------
codes     int64 ``[B, S, K, F]``: stems, layers (semantic first), token frames
grid      int64 ``[B, S, N, K]`` (:mod:`tokensep.lm.layout`)
sequence  ``[prefix | stem 0: N steps | stem 1 | …]`` over one causal attention and one KV cache.
          The input of a position is the embedding of the previous position's tokens, plus its
          stem's embedding, a start symbol on each stem's first step, and (``aligned``) the
          mixture frames its cells belong to; its output predicts its own step's tokens.
time      RoPE positions restart with every stem, so frame t has one phase in all stems; a prefix
          position stands at the step of the frames it averages.

Each layer's table ``[V, code_dim]`` is both its embedding and its output head. They can start
from the codec's codebooks (:meth:`TokenLM.start_from_codebooks`): neighbouring codes then share
what is learned about them, which a small data set needs. Block and norm are those
of ``transformers``' ``LlamaModel`` (parity-tested).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensep.lm import conditioner as encoders
from tokensep.lm import layout as layouts
from tokensep.lm import rope
from tokensep.lm.config import TokenSepConfig


@dataclass
class KVCache:
    """Static keys and values ``[rows, heads, length, width]`` per block, filled to ``used``."""

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
    """``x / rms(x) * weight``."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(dim)), eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight, self.eps)


class Block(nn.Module):
    """Pre-norm causal attention with RoPE, then SwiGLU; no biases."""

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
        """``x [R, n, dim]``; with a cache, these positions follow the stored ones."""
        rows, n, dim = x.shape
        qkv = self.qkv(self.norm1(x)).view(rows, n, 3, self.heads, self.width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        q, k = rope.rotate(q, cos, sin), rope.rotate(k, cos, sin)
        causal = n > 1
        if cache is not None:
            end = cache.used + n
            cache.keys[index][:, :, cache.used : end] = k
            cache.values[index][:, :, cache.used : end] = v
            if cache.used:  # a chunk after stored positions would need an offset mask
                assert n == 1, "only one position at a time may follow a filled cache"
                k, v = cache.keys[index][:, :, :end], cache.values[index][:, :, :end]
        drop = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, dropout_p=drop)
        x = x + self.out(y.transpose(1, 2).reshape(rows, n, dim))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + F.dropout(self.down(F.silu(gate) * up), drop, self.training)


class Decoder(nn.Module):
    """A stack of blocks and a final norm: ``transformers.LlamaModel`` without embeddings."""

    def __init__(
        self, dim: int, layers: int, heads: int, ffn: int, eps: float, theta: float, dropout: float
    ) -> None:
        super().__init__()
        self.width, self.theta = dim // heads, theta
        self.blocks = nn.ModuleList(Block(dim, heads, ffn, eps, dropout) for _ in range(layers))
        self.norm = RMSNorm(dim, eps)

    def rope(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Rotation tables for ``positions [n]``."""
        return rope.tables(positions, self.width, self.theta)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, cache: KVCache | None = None) -> Tensor:
        """``[R, n, dim] → [R, n, dim]``; advances the cache."""
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin, cache, index)
        if cache is not None:
            cache.used += x.shape[1]
        return self.norm(x)


class DepthHead(nn.Module):
    """Orders the layers inside a step (RQ-Transformer, 2203.01941): layer k sees layers < k."""

    def __init__(self, config: TokenSepConfig) -> None:
        super().__init__()
        lm, dim = config.lm, config.lm.depth_dim
        self.join = nn.Linear(lm.dim, dim, bias=False)
        self.layer = nn.Parameter(torch.randn(config.layers, dim) * 0.02)
        self.token = nn.Linear(lm.code_dim, dim, bias=False)
        self.decoder = Decoder(
            dim, lm.depth_layers, lm.depth_heads, 2 * dim, lm.norm_eps, lm.rope_theta, lm.dropout
        )
        self.out = nn.Linear(dim, lm.code_dim, bias=False)

    def forward(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """``hidden [M, dim]``, embedded tokens of the first j layers ``[M, j, code_dim]``.

        Returns ``[M, j + 1, code_dim]``: the heads' inputs for layers 0 … j.
        """
        count = tokens.shape[1] + 1
        x = F.pad(self.token(tokens), (0, 0, 1, 0))
        x = x + self.join(hidden)[:, None] + self.layer[:count]
        cos, sin = self.decoder.rope(torch.arange(count, device=hidden.device))
        return self.out(self.decoder(x, cos, sin))


class AnchoredHead(nn.Module):
    """Heads that estimate latents: logits are distances in the codec's own space.

    From the hidden state of a step, the latent of both streams is estimated for each frame whose
    cells the step holds. What the layers already known leave of it is compared with the entries:
    ``logit_k(v) = sum_d b_kd (q_d c_kvd - c_kvd^2 / 2) + bias_kv`` with ``q = z - known entries``:
    the log likelihood of a Gaussian error with diagonal precision ``b_k`` (learned). Two things
    follow: a regression loss teaches all layers at once, and the estimate itself can be decoded.
    """

    SPEED = 4.0
    """Precisions must move by factors: their logarithm is this times the parameter."""

    def __init__(self, config: TokenSepConfig, layout: layouts.Layout) -> None:
        super().__init__()
        width, layers = config.lm.code_dim, config.layers
        self.lags = layout.groups
        self.out = nn.Linear(config.lm.dim, len(self.lags) * 2 * width)
        # a hint at first, since the codebook's density is a prior already
        self.log_precision = nn.Parameter(torch.full((layers, width), math.log(0.03) / self.SPEED))
        stream = [0] * config.semantic_layers + [1] * config.acoustic_layers
        lag = [offset // layout.stride for offset in layout.offsets]
        pick = [self.lags.index(g) * 2 + s for g, s in zip(lag, stream, strict=True)]
        known = [
            [
                stream[j] == stream[k] and layout.offsets[j] < layout.offsets[k]
                for j in range(layers)
            ]
            for k in range(layers)
        ]
        newest = [max(p for p, s in zip(pick, stream, strict=True) if s == i) for i in set(stream)]
        self.register_buffer("pick", torch.tensor(pick), persistent=False)
        self.register_buffer("known", torch.tensor(known).float(), persistent=False)
        self.register_buffer("stream", torch.tensor(stream), persistent=False)
        self.register_buffer("final", torch.tensor(newest), persistent=False)
        self.register_buffer("basis", torch.zeros(2, width, 2 * width))
        self.register_buffer("mean", torch.zeros(2, width))
        self.register_buffer("scale", torch.ones(2))

    def precision(self) -> Tensor:
        """Of each layer and dimension ``[K, width]``."""
        return (self.SPEED * self.log_precision).exp()

    def estimates(self, hidden: Tensor) -> Tensor:
        """``[..., dim] → [..., lags x 2, width]``: latents by frame lag and stream."""
        return self.out(hidden).unflatten(-1, (2 * len(self.lags), -1))

    def denormalised(self, latents: Tensor) -> Tensor:
        """Estimates ``[..., 2, width]`` → the codec's latents ``[..., D]``."""
        value = latents * self.scale[:, None] + self.mean
        return torch.einsum("...sw,swd->...d", value, self.basis)


class TokenLM(nn.Module):
    """Conditioner, token tables, decoder and heads: everything that is trained with the LM."""

    def __init__(self, config: TokenSepConfig) -> None:
        super().__init__()
        lm, layers, entries = config.lm, config.layers, config.codebook_size
        self.config, self.layout = config, layouts.build(config)
        self.encoder = encoders.build(config)
        cond = config.encoder.dim
        self.tables = nn.Parameter(torch.randn(layers, entries, lm.code_dim) * lm.code_dim**-0.5)
        self.bias = nn.Parameter(torch.zeros(layers, entries))
        self.embed_in = nn.Linear(layers * lm.code_dim, lm.dim, bias=False)
        self.stem = nn.Parameter(torch.randn(len(config.stems), lm.dim) * 0.02)
        self.start = nn.Parameter(torch.randn(lm.dim) * 0.02)
        self.null = nn.Parameter(torch.zeros(cond))
        self.prefix = nn.Linear(cond, lm.dim) if lm.prefix else None
        lags = len(self.layout.groups)
        self.aligned = nn.Linear(cond * lags, lm.dim) if lm.aligned else None
        self.decoder = Decoder(
            lm.dim, lm.layers, lm.heads, lm.ffn, lm.norm_eps, lm.rope_theta, lm.dropout
        )
        depth = config.layout.kind == "depth"
        self.depth = DepthHead(config) if depth else None
        self.anchored = AnchoredHead(config, self.layout) if lm.anchored else None
        plain = not depth and not lm.anchored
        self.head = nn.Linear(lm.dim, layers * lm.code_dim, bias=False) if plain else None
        self.tables.requires_grad_(not lm.anchored)
        self._initialise()

    def _initialise(self) -> None:
        """GPT-2's rule: 0.02-like fan-in scale, residual outputs shrunk by sqrt(2 x blocks)."""
        for decoder in (m for m in self.modules() if isinstance(m, Decoder)):
            shrink = (2 * len(decoder.blocks)) ** -0.5
            for block in decoder.blocks:
                for linear in (block.qkv, block.gate_up):
                    nn.init.normal_(linear.weight, std=linear.in_features**-0.5 * 0.5)
                for linear in (block.out, block.down):
                    nn.init.normal_(linear.weight, std=linear.in_features**-0.5 * 0.5 * shrink)

    @torch.no_grad()
    def anchor_to(self, codebooks: Tensor, codes: Tensor) -> None:
        """Fix the tables of anchored heads to the codec's entries.

        Parameters
        ----------
        codebooks : ``[K, V, D]``, semantic first; sums over layers are latents.
        codes : int64 ``[n, K]``, tokens of training frames: they set the latents' mean and scale.
        """
        head, width = self.anchored, self.tables.shape[-1]
        assert head is not None
        basis = head.basis.new_zeros(2, width, codebooks.shape[-1])
        for s in range(2):
            layers = (head.stream == s).nonzero()[:, 0].tolist()
            if not layers:
                continue
            flat = codebooks[layers].flatten(0, 1)
            axes = torch.linalg.svd(flat, full_matrices=False)[2][:width]
            basis[s, : len(axes)] = axes
            inside = codebooks[layers] @ basis[s].T
            total = sum(inside[i][codes[:, k]] for i, k in enumerate(layers))
            head.mean[s] = total.mean(0)
            head.scale[s] = (total - head.mean[s]).square().mean().sqrt().clamp_min(1e-8)
            self.tables[layers] = inside / head.scale[s]
            self.tables[layers[0]] -= head.mean[s] / head.scale[s]
        head.basis = basis

    @torch.no_grad()
    def start_from_codebooks(self, codebooks: Tensor) -> None:
        """Start the tables from the codec's codebooks ``[K, V, D]`` (semantic first).

        Each is centred, brought to unit variance and, where D differs from ``code_dim``, projected
        onto its principal axes or padded with zeros.
        """
        width = self.tables.shape[-1]
        for table, book in zip(self.tables, codebooks.to(self.tables), strict=True):
            book = book - book.mean(0)
            if book.shape[1] > width:
                book = book @ torch.linalg.svd(book, full_matrices=False)[2][:width].T
            scale = book.square().sum(1).mean().sqrt().clamp_min(1e-8)
            table.zero_()
            table[:, : book.shape[1]] = book / scale

    def embed(self, cells: Tensor) -> Tensor:
        """Tokens of steps ``[..., K]`` (``pad`` where empty) → ``[..., dim]``."""
        return self.embed_in(self.entries(cells).flatten(-2))

    def logits(self, hidden: Tensor) -> Tensor:
        """Parallel heads: ``[..., dim] → [..., K, V]``."""
        assert self.head is not None
        query = self.head(hidden).unflatten(-1, (self.tables.shape[0], -1))
        return self._score(query)

    def entries(self, codes: Tensor) -> Tensor:
        """Table rows of codes ``[..., K]`` → ``[..., K, code_dim]``; pads are zero."""
        layers, entries, width = self.tables.shape
        offset = torch.arange(layers, device=codes.device) * entries
        flat = F.embedding(codes.clamp_max(entries - 1) + offset, self.tables.view(-1, width))
        return flat * (codes < entries)[..., None]

    def anchored_logits(self, hidden: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher-forced logits ``[B, S, N, K, V]`` and the mean squared error of the latents.

        ``hidden [B, S, N, dim]``, ``codes [B, S, K, F]``.
        """
        head, layout = self.anchored, self.layout
        assert head is not None
        rows = self.entries(codes.transpose(-1, -2))  # [B, S, F, K, w]
        index = layout.frame_index(codes.shape[-1]).to(codes.device)
        layer = torch.arange(layout.layers, device=codes.device)
        left = torch.einsum("kj,bsfjw->bsfkw", head.known, rows)[:, :, index.clamp_min(0), layer]
        latents = head.estimates(hidden)
        logits = self._distances(latents[..., head.pick, :] - left)
        streams = torch.nn.functional.one_hot(head.stream, 2).to(rows)
        true = torch.einsum("kt,bsfkw->bsftw", streams, rows)
        error = self._latent_error(latents.unflatten(-2, (len(head.lags), 2)), true)
        return logits, error

    def _latent_error(self, latents: Tensor, true: Tensor) -> Tensor:
        """Squared error of ``[B, S, N, lags, 2, w]`` where the lag's frame exists."""
        assert self.anchored is not None
        frames, steps = true.shape[2], latents.shape[2]
        step = torch.arange(steps, device=true.device)[:, None]
        frame = torch.div(step, self.layout.stride, rounding_mode="floor")
        frame = frame - torch.tensor(self.anchored.lags, device=true.device)
        exists = ((frame >= 0) & (frame < frames)).to(true)
        error = (latents - true[:, :, frame.clamp(0, frames - 1)]).square().mean((-1, -2))
        return (error * exists).sum() / (exists.sum() * true.shape[0] * true.shape[1])

    def _distances(self, query: Tensor) -> Tensor:
        """``[..., K, w]`` against the tables: Gaussian log likelihoods up to a constant."""
        assert self.anchored is not None
        precision = self.anchored.precision()
        flat = query.reshape(-1, *query.shape[-2:]).transpose(0, 1) * precision[:, None]
        offset = self.bias - 0.5 * (self.tables.square() @ precision[..., None])[..., 0]
        scores = torch.baddbmm(offset[:, None], flat, self.tables.transpose(1, 2))
        return scores.transpose(0, 1).reshape(*query.shape[:-1], -1)

    def _score(self, query: Tensor) -> Tensor:
        """``[..., K', code_dim]`` against the tables of the first K' layers."""
        count = query.shape[-2]
        flat = query.reshape(-1, count, query.shape[-1]).transpose(0, 1)
        scores = torch.baddbmm(self.bias[:count, None], flat, self.tables[:count].transpose(1, 2))
        return scores.transpose(0, 1).reshape(*query.shape[:-1], -1)

    def depth_logits(self, hidden: Tensor, cells: Tensor) -> Tensor:
        """Depth head: ``[M, dim]`` and known tokens ``[M, j]`` → logits ``[M, j + 1, V]``."""
        assert self.depth is not None
        width = self.tables.shape[-1]
        offset = torch.arange(cells.shape[1], device=cells.device) * self.tables.shape[1]
        tokens = F.embedding(cells + offset, self.tables.view(-1, width))
        return self._score(self.depth(hidden, tokens))

    def condition(self, wave: Tensor, latents: Tensor | None = None) -> Tensor:
        """Mixture ``[B, F x frame_hop]`` → ``[B, F, encoder.dim]``."""
        embedding = self.encoder(wave, latents)
        if self.config.encoder.shuffled:
            embedding = encoders.shuffled(embedding, self.training)
        return embedding

    def prefix_of(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix ``[B, P, dim]`` and its positions ``[P]`` (P = 0 without prefix)."""
        batch = cond.shape[0]
        if self.prefix is None:
            empty = torch.arange(0, device=cond.device)
            return cond.new_zeros(batch, 0, self.config.lm.dim), empty
        pool = self.config.lm.prefix_pool
        pooled = F.avg_pool1d(cond.transpose(1, 2), pool, ceil_mode=True).transpose(1, 2)
        positions = torch.arange(pooled.shape[1], device=cond.device) * pool * self.layout.stride
        return self.prefix(pooled), positions

    def bases_of(self, cond: Tensor) -> Tensor:
        """What every step's input adds to the previous tokens: ``[B, S, N, dim]``."""
        batch, frames, _ = cond.shape
        steps = self.layout.steps(frames)
        base = self.stem[None, :, None].expand(batch, -1, steps, -1).clone()
        base[:, :, 0] = base[:, :, 0] + self.start
        if self.aligned is None:
            return base
        newest = torch.arange(steps, device=cond.device)[:, None] // self.layout.stride
        lag = torch.tensor(self.layout.groups, device=cond.device)
        frame = (newest - lag).clamp(0, frames - 1)
        seen = cond[:, frame].reshape(batch, steps, -1)
        return base + self.aligned(seen)[:, None]

    def hidden(self, grid: Tensor, cond: Tensor, *, parallel: bool, keep: Tensor | None) -> Tensor:
        """Hidden states ``[B, S, N, dim]`` behind the tokens of ``grid``.

        ``parallel``: stems do not see each other. ``keep [B, S, N]``: steps whose tokens are shown.
        """
        batch, stems, steps, _ = grid.shape
        tokens = self.embed(grid)
        if keep is not None:
            tokens = tokens * keep[..., None]
        prefix, prefix_at = self.prefix_of(cond)
        base, at = self.bases_of(cond), torch.arange(steps, device=grid.device)
        if parallel:
            x = (base + F.pad(tokens, (0, 0, 1, 0))[:, :, :-1]).flatten(0, 1)
            prefix = prefix.repeat_interleave(stems, dim=0)
        else:
            x = base.flatten(1, 2) + F.pad(tokens.flatten(1, 2), (0, 0, 1, 0))[:, :-1]
            at = at.repeat(stems)
        cos, sin = self.decoder.rope(torch.cat([prefix_at, at]))
        y = self.decoder(torch.cat([prefix, x], dim=1), cos, sin)[:, prefix.shape[1] :]
        return y.reshape(batch, stems, steps, -1)

    def forward(
        self,
        codes: Tensor,
        cond: Tensor,
        *,
        parallel: bool = False,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Teacher-forced logits.

        Parameters
        ----------
        codes : int64 ``[B, S, K, F]``.
        cond : ``[B, F, encoder.dim]`` from :meth:`condition`.
        parallel : whether stems are modelled independently (the ablation).
        keep : bool ``[B, S, N]``, steps whose tokens are visible as input; None: all.

        Returns
        -------
        logits ``[B, S, N, K, V]`` and the grid ``[B, S, N, K]`` they predict.
        """
        grid = self.layout.to_grid(codes)
        hidden = self.hidden(grid, cond, parallel=parallel, keep=keep)
        if self.anchored is not None:
            return self.anchored_logits(hidden, codes)[0], grid
        return self._free_logits(hidden, grid), grid

    def _free_logits(self, hidden: Tensor, grid: Tensor) -> Tensor:
        """Logits ``[B, S, N, K, V]`` of plain heads or of the depth head."""
        if self.depth is None:
            return self.logits(hidden)
        flat = self.depth_logits(hidden.flatten(0, 2), grid.flatten(0, 2)[:, :-1])
        return flat.view(*grid.shape, -1)

    @torch.no_grad()
    def own_past(
        self, codes: Tensor, cond: Tensor, own: Tensor, *, parallel: bool, keep: Tensor | None
    ) -> Tensor:
        """The grid of ``codes`` with the model's draws in the steps ``own [B, S, N]``.

        Each is drawn behind the true past (temperature 1, torch's global generator): one pass
        for all steps, where drawing in turn would take as many as there are steps.
        """
        logits, grid, _ = self.with_error(codes, cond, parallel=parallel, keep=keep)
        noise = torch.empty_like(logits).exponential_().clamp_min(1e-20)
        drawn = (logits - noise.log()).argmax(-1)
        replaced = own[..., None] & (grid != self.layout.pad)
        return torch.where(replaced, drawn, grid)

    def with_error(
        self,
        codes: Tensor,
        cond: Tensor,
        *,
        parallel: bool,
        keep: Tensor | None,
        shown: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`forward`, and the latents' squared error (0 without anchored heads).

        ``shown [B, S, N, K]``: what the model sees as the past instead of the true tokens.
        """
        grid = self.layout.to_grid(codes)
        hidden = self.hidden(grid if shown is None else shown, cond, parallel=parallel, keep=keep)
        if self.anchored is None:
            logits = self._free_logits(hidden, grid)
            return logits, grid, logits.new_zeros(())
        logits, error = self.anchored_logits(hidden, codes)
        return logits, grid, error

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters per part."""
        counts = {name: 0 for name in ("encoder", "tables", "decoder", "heads and inputs")}
        for name, parameter in self.named_parameters():
            part = name.split(".")[0]
            part = part if part in counts else "heads and inputs"
            counts[part] += parameter.numel()
        return counts
