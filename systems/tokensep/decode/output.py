"""What the steps of a generation give, until it becomes codes and latents.

Conventions
-----------
As :mod:`tokensep.decode.generate`: rows R of windows, R' of the decoder, S stems, K layers, N steps
a stem, F frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tokensep.decode.position import Position
from tokensep.lm.heads import LatentRegressionHead
from tokensep.lm.layout import Layout
from tokensep.lm.model import TokenLM


@dataclass
class Generated:
    """Codes ``[R, S, K, F]``, their mean log likelihood, and expected latents if asked for."""

    codes: Tensor
    latents: Tensor | None = None
    """``[R, S, F, D]``: expected codec latents, the mean over each token's distribution."""
    log_likelihood: Tensor | None = None
    """``[R]``: mean log probability of the chosen tokens."""


class Output:
    """Tensors for all positions, filled by :meth:`put` and read by :meth:`assemble`.

    Parameters
    ----------
    positions, rows : of the steps, R'.
    codebooks : ``[K, V, D]``: keep the expected latents too.
    likelihood : keep the log probabilities too.
    """

    def __init__(
        self,
        model: TokenLM,
        positions: int,
        rows: int,
        codebooks: Tensor | None,
        likelihood: bool,
    ) -> None:
        self.model, self.codebooks = model, codebooks
        like, layers = model.tables, model.layout.layers
        self.tokens = like.new_empty(positions, rows, layers, dtype=torch.long)
        self.expected = self.scores = None
        if codebooks is not None:
            head = model.latent_head
            shape = (layers, codebooks.shape[-1]) if head is None else (2, like.shape[-1])
            self.expected = like.new_empty(positions, rows, *shape)
        if likelihood:
            self.scores = like.new_empty(positions, rows)

    def put(
        self,
        position: Position,
        tokens: Tensor,
        logits: Tensor,
        given: Tensor,
        latents: Tensor | None,
    ) -> None:
        """One position: tokens ``[R', K]``, their logits ``[R', K, V]``, and the estimates.

        ``latents [R' (twice with guidance), 2 G, w]``: those of the latent regression head.
        """
        position.put(self.tokens, 0, tokens)
        if self.expected is not None:
            position.put(self.expected, 0, self._expected(logits, given, latents))
        if self.scores is not None:
            position.put(self.scores, 0, _log_probability(logits, tokens))

    def _expected(self, logits: Tensor, given: Tensor, latents: Tensor | None) -> Tensor:
        """``[R', 2, w]`` of the latent regression head, ``[R', K, D]`` without one."""
        head = self.model.latent_head
        if head is not None:
            assert latents is not None
            return latents[: len(given), head.last_head_of_stream]
        assert self.codebooks is not None
        return _expected_entries(logits, given, self.codebooks)

    def assemble(self, rows: int, frames: int, order: list[int]) -> Generated:
        """All steps of all stems, the stems back in the model's order."""
        layout, stems = self.model.layout, len(order)
        shape = (rows, stems, layout.steps(frames))
        # place of each stem of the model's order in the order of generation
        place = torch.tensor(order, device=self.tokens.device).argsort()
        grid = self.tokens.transpose(0, 1).reshape(*shape, -1)[:, place]  # [R, S, N, K]
        latents = mean = None
        if self.expected is not None:
            # [R', positions, …] -> [R (x S), S (or 1), N, …]: whatever of rows and positions stems
            # were flattened into, the last axis of length N is the steps
            steps = self.expected.transpose(0, 1).unflatten(1, (-1, shape[2]))
            per_frame = self._per_frame(steps, frames)
            latents = per_frame.reshape(rows, stems, frames, -1)[:, place]
        if self.scores is not None:
            total = self.scores.transpose(0, 1).reshape(rows, -1).sum(1)
            mean = total / (stems * layout.layers * frames)
        return Generated(layout.to_codes(grid), latents, mean)

    def _per_frame(self, steps: Tensor, frames: int) -> Tensor:
        if self.model.latent_head is None:
            return _sum_of_layers(self.model.layout, steps)
        return latest_estimates(self.model.latent_head, self.model.layout, steps, frames)


def _log_probability(logits: Tensor, tokens: Tensor) -> Tensor:
    """Sum of the log probabilities of a position's tokens ``[R']``; gaps count nothing."""
    entries = logits.shape[-1]
    chosen = tokens.clamp_max(entries - 1)[..., None]
    log_p = logits.log_softmax(-1).gather(-1, chosen)[..., 0]
    return (log_p * (tokens < entries)).sum(-1)


def _expected_entries(logits: Tensor, given: Tensor, codebooks: Tensor) -> Tensor:
    """``sum_v p_kv c_kv`` per layer, ``[R', K, D]``; a given token is its own entry."""
    share = logits.softmax(-1)
    one_hot = torch.nn.functional.one_hot(given.clamp_min(0), share.shape[-1]).to(share)
    share = torch.where(given[..., None] >= 0, one_hot, share)
    return torch.einsum("rkv,kvd->rkd", share, codebooks)


def latest_estimates(
    head: LatentRegressionHead, layout: Layout, steps: Tensor, frames: int
) -> Tensor:
    """Estimates ``[R, S, N, 2, w]`` → latents ``[R, S, F, D]``.

    A frame is estimated in several steps, each knowing more of its tokens; each stream's last
    estimate is taken, that of lag g at step ``stride (frame + g)``. Behind the last step, where
    that is past the end, the last step's.
    """
    lags = [head.lags[i // 2] for i in head.last_head_of_stream.tolist()]
    step = layout.stride * (torch.arange(frames)[:, None] + torch.tensor(lags))  # [F, 2]
    step = step.clamp_max(steps.shape[2] - 1).to(steps.device)
    return head.denormalised(steps[:, :, step, torch.arange(len(lags), device=steps.device)])


def _sum_of_layers(layout: Layout, steps: Tensor) -> Tensor:
    """Expected entries ``[R, S, N, K, D]`` → their sum over the layers of a frame ``[R, S, F, D]``.

    Layer k of frame f is in step ``stride f + offset_k``.
    """
    frames = (steps.shape[2] - layout.span - 1) // layout.stride + 1
    offsets = torch.tensor(layout.offsets)
    step = layout.stride * torch.arange(frames)[:, None] + offsets  # [F, K]
    layers = torch.arange(len(offsets), device=steps.device)
    return steps[:, :, step.to(steps.device), layers].sum(3)
