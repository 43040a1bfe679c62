"""The language model: a LLaMA-style decoder over token steps, conditioned on the mixture.

Conventions
-----------
codes     int64 ``[B, S, K, F]``: stems, layers (semantic first), token frames
grid      int64 ``[B, S, N, K]``: the tokens of N steps (:mod:`tokensep.lm.layout`)
sequence  ``[prefix | stem 0: N steps | stem 1 | …]`` over one causal attention and one KV cache.
          The input of a position is the embedding of the previous position's tokens, plus its
          stem's embedding, a start symbol on each stem's first step, and (``aligned``) the
          mixture frames its tokens belong to; its output predicts its own step's tokens.
time      RoPE positions restart with every stem, so frame t has one phase in all stems; a prefix
          position has the position of the step of the frames it averages.

Each layer's table ``[V, code_dim]`` is both its embedding and its output head. They can start
from the codec's codebooks (:meth:`TokenLM.start_from_codebooks`): neighbouring codes then share
what is learned about them, which a small data set needs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensep.lm import conditioner as encoders
from tokensep.lm import layout as layouts
from tokensep.lm.config import TokenSepConfig
from tokensep.lm.decoder import Decoder
from tokensep.lm.heads import DepthHead, LatentRegressionHead

Layers = slice | list[int]
"""An index of layers."""
ALL = slice(None)


class TokenLogits(NamedTuple):
    """Logits ``[B, S, N', K', V]`` of some steps and ``layers``; their tokens are ``grid``.

    ``grid [B, S, N', K']`` has pads where a step before or after the frames has no token.
    """

    layers: Layers
    logits: Tensor
    grid: Tensor


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
        # added to the inputs: which stem, its first step; null replaces a hidden mixture
        self.stem = nn.Parameter(torch.randn(len(config.stems), lm.dim) * 0.02)
        self.start = nn.Parameter(torch.randn(lm.dim) * 0.02)
        self.null = nn.Parameter(torch.zeros(cond))
        self.prefix = nn.Linear(cond, lm.dim) if lm.prefix else None
        lags = len(self.layout.groups)  # mixture frames that a step's tokens belong to
        self.aligned = nn.Linear(cond * lags, lm.dim) if lm.aligned else None
        self.decoder = Decoder(
            lm.dim, lm.layers, lm.heads, lm.ffn, lm.norm_eps, lm.rope_theta, lm.dropout
        )
        depth = config.layout.kind == "depth"
        self.depth = DepthHead(config) if depth else None
        self.latent_head = LatentRegressionHead(config, self.layout) if lm.anchored else None
        plain = not depth and not lm.anchored
        self.head = nn.Linear(lm.dim, layers * lm.code_dim, bias=False) if plain else None
        self.tables.requires_grad_(not lm.anchored)  # latent regression: the codec's, frozen
        # last, after every other parameter was drawn: the order decides what a seed gives
        for module in self.modules():
            if isinstance(module, Decoder):
                module.initialise()

    @torch.no_grad()
    def fit_latent_head(self, codebooks: Tensor, codes: Tensor) -> None:
        """Fix the tables of the latent regression head to the codec's entries.

        The entries of a stream fill a subspace of the codec's latents. Its ``w`` principal axes
        are the basis; in it, latents of training frames are brought to zero mean and unit scale.

        Parameters
        ----------
        codebooks : ``[K, V, D]``, semantic first; sums over layers are latents.
        codes : int64 ``[n, K]``, tokens of training frames: they set the latents' mean and scale.
        """
        head, width = self.latent_head, self.tables.shape[-1]
        assert head is not None
        basis = head.basis.new_zeros(2, width, codebooks.shape[-1])
        for s in range(2):
            layers = (head.stream == s).nonzero()[:, 0].tolist()
            if not layers:
                continue
            flat = codebooks[layers].flatten(0, 1)  # [K_s V, D]
            axes = torch.linalg.svd(flat, full_matrices=False)[2][:width]  # right singular vectors
            basis[s, : len(axes)] = axes
            inside = codebooks[layers] @ basis[s].T  # entries in the basis [K_s, V, w]
            # latents of the training frames: sum over the stream's layers, [n, w]
            latents = sum(inside[i][codes[:, k]] for i, k in enumerate(layers))
            assert isinstance(latents, Tensor)
            head.mean[s] = latents.mean(0)
            head.scale[s] = (latents - head.mean[s]).square().mean().sqrt().clamp_min(1e-8)
            # sum_k c_k must be (latent - mean) / scale: the first layer takes the whole mean
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
            entries = book - book.mean(0)  # [V, D]
            if entries.shape[1] > width:
                entries = entries @ torch.linalg.svd(entries, full_matrices=False)[2][:width].T
            # mean squared length 1, as rows of N(0, 1 / code_dim) have
            scale = entries.square().sum(1).mean().sqrt().clamp_min(1e-8)
            table.zero_()
            table[:, : entries.shape[1]] = entries / scale

    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens of steps ``[..., K]`` (``pad`` where empty) → ``[..., dim]``."""
        # the layers' vectors side by side, [..., K w], through one matrix
        return self.embed_in(self.token_vectors(tokens).flatten(-2))

    def token_vectors(self, codes: Tensor) -> Tensor:
        """Table rows of codes ``[..., K]`` → ``[..., K, code_dim]``; pads are zero."""
        layers, entries, width = self.tables.shape
        # one lookup in the flattened tables [K V, w]: layer k begins at row k V
        offset = torch.arange(layers, device=codes.device) * entries
        rows = F.embedding(codes.clamp_max(entries - 1) + offset, self.tables.view(-1, width))
        return rows * (codes < entries)[..., None]

    def logits(self, hidden: Tensor) -> Tensor:
        """Plain heads: ``[..., dim] → [..., K, V]``, all layers of a step at once."""
        return self._dot_products(self._queries(hidden, ALL))

    def latent_logits(self, hidden: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher-forced logits ``[B, S, N, K, V]`` and the mean squared error of the latents.

        ``hidden [B, S, N, dim]``, ``codes [B, S, K, F]``; see :class:`LatentRegressionHead`.
        """
        residuals, error = self._residuals(hidden, codes)
        return self._gaussian_log_likelihoods(residuals), error

    def _residuals(self, hidden: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Queries ``q [B, S, N, K, w]`` of the latent regression, and the latents' error."""
        head, layout = self.latent_head, self.layout
        assert head is not None
        vectors = self.token_vectors(codes.transpose(-1, -2))  # [B, S, F, K, w]
        frame = layout.frame_index(codes.shape[-1]).to(codes.device)  # [N, K]
        residuals, latents = head.residuals(hidden, vectors, frame)
        error = head.latent_error(latents, head.true_latents(vectors), layout.stride)
        return residuals, error

    def _gaussian_log_likelihoods(self, query: Tensor, layers: Layers = ALL) -> Tensor:
        """``q [..., K', w]`` → ``[..., K', V]`` for these ``layers``, up to a constant per layer.

        ``sum_d p_kd (q_kd c_kvd - c_kvd^2 / 2) + bias_kv``: a product of ``p q`` with the tables,
        and an offset that does not depend on q.
        """
        assert self.latent_head is not None
        precision, tables = self.latent_head.precision()[layers], self.tables[layers]
        # batched over layers: [K', M, w] x [K', w, V]
        flat = query.reshape(-1, *query.shape[-2:]).transpose(0, 1) * precision[:, None]
        offset = self.bias[layers] - 0.5 * (tables.square() @ precision[..., None])[..., 0]
        scores = torch.baddbmm(offset[:, None], flat, tables.transpose(1, 2))
        return scores.transpose(0, 1).reshape(*query.shape[:-1], -1)

    def _dot_products(self, query: Tensor, layers: Layers = ALL) -> Tensor:
        """``q [..., K', w]`` → ``q_k . c_kv + bias_kv`` for these ``layers``."""
        tables, bias = self.tables[layers], self.bias[layers]
        flat = query.reshape(-1, *query.shape[-2:]).transpose(0, 1)  # [K', M, w]
        scores = torch.baddbmm(bias[:, None], flat, tables.transpose(1, 2))
        return scores.transpose(0, 1).reshape(*query.shape[:-1], -1)

    def depth_logits(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Depth head: ``[M, dim]`` and known tokens ``[M, j]`` → logits ``[M, j + 1, V]``."""
        assert self.depth is not None
        width = self.tables.shape[-1]
        offset = torch.arange(tokens.shape[1], device=tokens.device) * self.tables.shape[1]
        vectors = F.embedding(tokens + offset, self.tables.view(-1, width))
        return self._dot_products(self.depth(hidden, vectors), slice(tokens.shape[1] + 1))

    def condition(self, wave: Tensor, latents: Tensor | None = None) -> Tensor:
        """Mixture ``[B, F x frame_hop]`` → ``[B, F, encoder.dim]``."""
        embedding: Tensor = self.encoder(wave, latents)
        if self.config.encoder.shuffled:
            embedding = encoders.shuffled(embedding, self.training)
        return embedding

    def prefix_embeddings(self, cond: Tensor) -> tuple[Tensor, Tensor]:
        """Prefix ``[B, P, dim]`` and its positions ``[P]`` (P = 0 without prefix)."""
        batch = cond.shape[0]
        if self.prefix is None:
            empty = torch.arange(0, device=cond.device)
            return cond.new_zeros(batch, 0, self.config.lm.dim), empty
        pool = self.config.lm.prefix_pool
        # means of `pool` neighbouring frames; the last one may have fewer: P = ceil(F / pool)
        pooled = F.avg_pool1d(cond.transpose(1, 2), pool, ceil_mode=True).transpose(1, 2)
        positions = torch.arange(pooled.shape[1], device=cond.device) * pool * self.layout.stride
        return self.prefix(pooled), positions

    def input_embeddings(self, cond: Tensor) -> Tensor:
        """What each step's input is besides the previous tokens: ``[B, S, N, dim]``.

        ``stem_s + start (n = 0) + W [cond[t - lag] for each lag]`` with ``t = n / stride``, the
        newest frame of step n.
        """
        batch, frames, _ = cond.shape
        steps = self.layout.steps(frames)
        base = self.stem[None, :, None].expand(batch, -1, steps, -1).clone()
        base[:, :, 0] = base[:, :, 0] + self.start
        if self.aligned is None:
            return base
        newest = torch.arange(steps, device=cond.device)[:, None] // self.layout.stride  # [N, 1]
        lag = torch.tensor(self.layout.groups, device=cond.device)  # [G]
        frame = (newest - lag).clamp(0, frames - 1)  # [N, G]; at the ends the nearest frame
        frames_of_step = cond[:, frame].reshape(batch, steps, -1)  # [B, N, G x cond]
        return base + self.aligned(frames_of_step)[:, None]

    def hidden(self, grid: Tensor, cond: Tensor, *, parallel: bool, keep: Tensor | None) -> Tensor:
        """Hidden states ``[B, S, N, dim]`` of all steps, given the tokens of ``grid``.

        ``parallel``: stems do not see each other. ``keep [B, S, N]``: steps whose tokens are shown.
        """
        batch, stems, steps, _ = grid.shape
        tokens = self.embed(grid)  # [B, S, N, dim]
        if keep is not None:
            tokens = tokens * keep[..., None]
        prefix, prefix_positions = self.prefix_embeddings(cond)
        base, positions = self.input_embeddings(cond), torch.arange(steps, device=grid.device)
        # Shift by one step: position n takes the tokens of step n - 1, so its output may be
        # trained on step n. In sequence, a stem's first step sees the last step of the stem before.
        if parallel:
            x = (base + F.pad(tokens, (0, 0, 1, 0))[:, :, :-1]).flatten(0, 1)  # [B S, N, dim]
            prefix = prefix.repeat_interleave(stems, dim=0)
        else:
            x = base.flatten(1, 2) + F.pad(tokens.flatten(1, 2), (0, 0, 1, 0))[:, :-1]
            positions = positions.repeat(stems)  # x is [B, S N, dim]
        cos, sin = self.decoder.rope(torch.cat([prefix_positions, positions]))
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
        if self.latent_head is not None:
            return self.latent_logits(hidden, codes)[0], grid
        return self._step_logits(hidden, grid), grid

    def _step_logits(self, hidden: Tensor, grid: Tensor) -> Tensor:
        """Logits ``[B, S, N, K, V]`` of plain heads or of the depth head."""
        if self.depth is None:
            return self.logits(hidden)
        # every step of every stem is a row of the depth head: hidden [M, dim], its tokens but the
        # last [M, K - 1]
        flat = self.depth_logits(hidden.flatten(0, 2), grid.flatten(0, 2)[:, :-1])
        return flat.view(*grid.shape, -1)

    @torch.no_grad()
    def scheduled_sampling_grid(
        self, codes: Tensor, cond: Tensor, own: Tensor, *, parallel: bool, keep: Tensor | None
    ) -> Tensor:
        """The grid of ``codes`` with the model's own draws in the steps ``own [B, S, N]``.

        Scheduled sampling in two passes (arXiv 1906.07651): each token is drawn given the true
        past (temperature 1, torch's global generator), in one pass for all steps, where drawing in
        turn would take as many passes as there are steps.
        """
        logits, grid = self(codes, cond, parallel=parallel, keep=keep)
        # argmax(logits - log E) with E ~ Exp(1) is a draw from softmax(logits) (Gumbel-max)
        noise = torch.empty_like(logits).exponential_().clamp_min(1e-20)
        drawn = (logits - noise.log()).argmax(-1)
        replaced = own[..., None] & (grid != self.layout.pad)
        return torch.where(replaced, drawn, grid)

    def token_logits(
        self,
        codes: Tensor,
        cond: Tensor,
        *,
        parallel: bool,
        keep: Tensor | None,
        input_grid: Tensor | None = None,
    ) -> tuple[list[TokenLogits], Tensor]:
        """As :meth:`forward`, without the cells that can hold no token (:attr:`Layout.phases`).

        Returns them in parts, and the latents' squared error (0 without latent regression).

        ``input_grid [B, S, N, K]``: what the model gets as the past instead of the true tokens.
        """
        grid = self.layout.to_grid(codes)
        past = grid if input_grid is None else input_grid
        hidden = self.hidden(past, cond, parallel=parallel, keep=keep)
        if self.depth is not None:
            return [TokenLogits(ALL, self._step_logits(hidden, grid), grid)], hidden.new_zeros(())
        residuals, error = None, hidden.new_zeros(())
        if self.latent_head is not None:
            residuals, error = self._residuals(hidden, codes)
        parts = []
        for phase, members in enumerate(self.layout.phases):
            # an index that keeps all layers is a slice, so that nothing is copied
            layers: Layers = ALL if len(members) == self.layout.layers else list(members)
            steps = slice(phase, None, self.layout.stride)
            if residuals is None:
                logits = self._dot_products(self._queries(hidden[:, :, steps], layers), layers)
            else:
                query = residuals[:, :, steps][..., layers, :]
                logits = self._gaussian_log_likelihoods(query, layers)
            parts.append(TokenLogits(layers, logits, grid[:, :, steps][..., layers]))
        return parts, error

    def _queries(self, hidden: Tensor, layers: Layers) -> Tensor:
        """Plain heads of some layers: ``[..., dim] → [..., K', w]``."""
        assert self.head is not None
        if isinstance(layers, slice):
            return self.head(hidden).unflatten(-1, (self.tables.shape[0], -1))
        width = self.tables.shape[-1]
        weight = self.head.weight.unflatten(0, (-1, width))[layers]  # [K', w, dim]
        return F.linear(hidden, weight.flatten(0, 1)).unflatten(-1, (-1, width))

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters per part."""
        counts = {name: 0 for name in ("encoder", "tables", "decoder", "heads and inputs")}
        for name, parameter in self.named_parameters():
            part = name.split(".")[0]
            part = part if part in counts else "heads and inputs"
            counts[part] += parameter.numel()
        return counts
