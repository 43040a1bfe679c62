"""Drawing the tokens of all stems over one KV cache.

Conventions
-----------
rows      one row per window and draw; a row does not depend on the others: with the same seed it
          is the same in any batch (each row has its own noise generator)
cond      ``[R, F, encoder.dim]`` from :meth:`TokenLM.condition`
result    codes ``[R, S, K, F]``, semantic layers first

``sequential`` (the paper): stems one after the other over one cache, each seeing those before.
``parallel`` (the ablation): every stem alone with the mixture. The length is
forced to the mixture's. ``order`` changes which stem comes first; the result does not move.

What a step does not depend on is made before the loop: the conditions of all steps, the rotation
tables, which cells hold a token, and the cache at its final size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tokensep.decode.static import FastDecoder, FastTokens
from tokensep.errors import ConfigError
from tokensep.lm.config import SamplingConfig
from tokensep.lm.layout import Layout
from tokensep.lm.model import AnchoredHead, TokenLM

Decoding = Literal["sequential", "parallel"]
Step = Literal["plain", "compiled", "int8"]


@dataclass
class Generated:
    """Codes ``[R, S, K, F]``, their mean log likelihood, and expected latents if asked for."""

    codes: Tensor
    latents: Tensor | None = None
    """``[R, S, F, D]``: expected codec latents, the mean over each token's distribution."""
    log_likelihood: Tensor | None = None
    """``[R]``: mean log probability of the chosen tokens."""


def filtered(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Logits with everything outside the top k and the nucleus p at -inf; the best always stays."""
    if top_k is not None and top_k < logits.shape[-1]:
        worst = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < worst, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, index = logits.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        ordered = ordered.masked_fill(before >= top_p, -torch.inf)
        logits = torch.full_like(logits, -torch.inf).scatter(-1, index, ordered)
    return logits


class Sampler:
    """Logits → tokens, by one configuration and one generator per row."""

    def __init__(self, config: SamplingConfig, seeds: Sequence[int], device: torch.device) -> None:
        self.config = config
        self.generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, logits: Tensor, first_layer: int = 0) -> Tensor:
        """``[R, K, V]`` → ``[R, K]``. Gumbel noise: one draw per row, whatever the batch."""
        config = self.config
        if config.temperature == 0:
            return logits.argmax(-1)
        limit = (
            logits.shape[1] + first_layer
            if config.sampled_layers is None
            else config.sampled_layers
        )
        drawn = max(0, min(logits.shape[1], limit - first_layer))
        noise = torch.stack(
            [
                torch.rand(logits.shape[1:], generator=g, device=logits.device)
                for g in self.generators
            ]
        )
        gumbel = -(-noise.clamp(1e-20, 1 - 1e-7).log()).log()
        scaled = filtered(logits / config.temperature, config.top_k, config.top_p)
        tokens = logits.argmax(-1)
        tokens[:, :drawn] = (scaled + gumbel)[:, :drawn].argmax(-1)
        return tokens


class _State:
    """State of one generation: conditions, caches and the tables of the loop."""

    def __init__(
        self,
        model: TokenLM,
        cond: Tensor,
        decoding: Decoding,
        guided: bool,
        order: list[int],
        step: Step,
    ) -> None:
        self.model, self.guided = model, guided
        if guided:
            cond = torch.cat([cond, model.null.expand_as(cond)])
        stems, steps = len(model.config.stems), model.layout.steps(cond.shape[1])
        base = model.bases_of(cond)[:, order]
        prefix, prefix_at = model.prefix_of(cond)
        at = torch.arange(steps, device=cond.device)
        if decoding == "parallel":
            base = base.flatten(0, 1)
            prefix = prefix.repeat_interleave(stems, dim=0)
        else:
            base, at = base.flatten(1, 2), at.repeat(stems)
        self.base = base.transpose(0, 1).contiguous()
        self.previous = torch.zeros_like(self.base[0])
        cos, sin = model.decoder.rope(torch.cat([prefix_at, at]))
        self.tokens = FastTokens(model, len(base))
        if step == "plain":
            self.decoder = FastDecoder(model.decoder, len(base), len(cos), cos, sin)
        else:
            from tokensep.decode.compiled import CompiledDecoder

            int8 = step == "int8"
            self.decoder = CompiledDecoder(model.decoder, len(base), len(cos), cos, sin, int8=int8)
        if prefix.shape[1]:
            self.decoder.fill(model.decoder, prefix)

    def hidden(self, position: int) -> Tensor:
        """``[R', dim]`` of the next position."""
        return self.decoder.step(self.base[position] + self.previous)

    def feed(self, cells: Tensor) -> None:
        """The tokens of the position just decoded ``[R', K]``."""
        if self.guided:
            cells = torch.cat([cells, cells])
        self.previous = self.tokens.embed(cells)


def _guide(logits: Tensor, scale: float, guided: bool) -> Tensor:
    """Classifier-free guidance: ``u + scale (c - u)``."""
    if not guided:
        return logits
    with_mixture, without = logits.chunk(2)
    return without + scale * (with_mixture - without)


def _depth_cells(
    model: TokenLM, hidden: Tensor, sampler: Sampler, forced: Tensor, scale: float, guided: bool
) -> tuple[Tensor, Tensor]:
    """The layers of one step one after the other: cells ``[R', K]`` and logits ``[R', K, V]``."""
    cells = torch.empty(len(forced), 0, dtype=torch.long, device=hidden.device)
    kept = []
    for layer in range(forced.shape[1]):
        seen = torch.cat([cells, cells]) if guided else cells
        logits = _guide(model.depth_logits(hidden, seen)[:, -1:], scale, guided)
        token = sampler(logits, layer)
        token = torch.where(forced[:, layer : layer + 1] >= 0, forced[:, layer : layer + 1], token)
        cells = torch.cat([cells, token], dim=1)
        kept.append(logits)
    return cells, torch.cat(kept, dim=1)


@torch.inference_mode()
def generate(
    model: TokenLM,
    cond: Tensor,
    *,
    sampling: SamplingConfig | None = None,
    decoding: Decoding = "sequential",
    seeds: Sequence[int] | None = None,
    prompt: Tensor | None = None,
    known: Tensor | None = None,
    order: Sequence[int] | None = None,
    books: Tensor | None = None,
    likelihood: bool = False,
    step: Step = "plain",
) -> Generated:
    """Draw the tokens of every stem.

    Parameters
    ----------
    model : in eval mode.
    cond : ``[R, F, encoder.dim]``.
    sampling : greedy by default.
    seeds : one per row; default 0 … R-1.
    prompt : ``[R, S, K, P]`` known tokens of the first P frames (the previous window's).
    known : ``[R, S, K, F]`` tokens that are not drawn, -1 where one is.
    order : indices of the stems in the order they are drawn (``sequential``).
    books : the codec's entries ``[K, V, D]``: also return the expected latents under them.
    likelihood : also return the mean log probability of the tokens.
    step : how a step is computed: by torch, or compiled with fp32 or int8 weights (on a CPU).

    Raises
    ------
    ConfigError
        if seeds, prompt or known do not fit the rows, or order is no order of the stems.
    """
    sampling = sampling or SamplingConfig()
    rows, frames = cond.shape[:2]
    layout, stems, scale = model.layout, len(model.config.stems), sampling.cfg
    guided = scale != 1.0
    seeds, order = _seeds(seeds, rows), _order(order, stems)
    state = _State(model, cond, decoding, guided, order, step)
    forced = _forced(model, prompt, known, rows, frames, cond.device)[:, order]
    empty = (layout.frame_index(frames) < 0).to(cond.device)
    if decoding == "parallel":
        forced = forced.flatten(0, 1)
        seeds = [seed * stems + s for seed in seeds for s in range(stems)]
    else:
        forced, empty = forced.flatten(1, 2), empty.repeat(stems, 1)
    gaps, given_at = empty.any(1).tolist(), (forced >= 0).any(2).any(0).tolist()
    draw, drawn = Sampler(sampling, seeds, cond.device), _Drawn(model, books, likelihood)
    for position in range(forced.shape[1]):
        hidden, given = state.hidden(position), forced[:, position]
        if model.depth is None:
            logits = _guide(state.tokens.logits(hidden), scale, guided)
            token = draw(logits)
            if given_at[position]:
                token = torch.where(given >= 0, given, token)
        else:
            token, logits = _depth_cells(model, hidden, draw, given, scale, guided)
        if gaps[position]:
            token = token.masked_fill(empty[position], layout.pad)
        state.feed(token)
        drawn.add(token, logits, given, state.tokens.latents)
    return drawn.together(rows, frames, order)


def _seeds(seeds: Sequence[int] | None, rows: int) -> list[int]:
    """One seed per row; 0 … R-1 where none are given."""
    seeds = list(range(rows)) if seeds is None else list(seeds)
    if len(seeds) != rows:
        raise ConfigError(f"{len(seeds)} seeds for {rows} rows")
    return seeds


def _order(order: Sequence[int] | None, stems: int) -> list[int]:
    """Every stem once; the model's own order where none is given."""
    order = list(range(stems)) if order is None else list(order)
    if sorted(order) != list(range(stems)):
        raise ConfigError(f"order {order} is no order of {stems} stems")
    return order


class _Drawn:
    """What each step gave, until :meth:`together` makes codes and latents of it."""

    def __init__(self, model: TokenLM, books: Tensor | None, likelihood: bool) -> None:
        self.model, self.books, self.likelihood = model, books, likelihood
        self.cells: list[Tensor] = []
        self.expected: list[Tensor] = []
        self.scores: list[Tensor] = []

    def add(self, token: Tensor, logits: Tensor, given: Tensor, latents: Tensor | None) -> None:
        """Tokens of one step ``[R', K]``, the logits they came from, anchored estimates."""
        self.cells.append(token)
        if self.books is not None and self.model.anchored is not None:
            assert latents is not None
            self.expected.append(latents[: len(token), self.model.anchored.final])
        elif self.books is not None:
            self.expected.append(_expected(logits, given, self.books))
        if self.likelihood:
            self.scores.append(_chosen(logits, token))

    def together(self, rows: int, frames: int, order: list[int]) -> Generated:
        """All steps of all stems, the stems back in the model's order."""
        layout, head, stems = self.model.layout, self.model.anchored, len(order)
        shape = (rows, stems, layout.steps(frames))
        place = torch.tensor(order).argsort().to(self.cells[0].device)
        grid = torch.stack(self.cells, 1).reshape(*shape, -1)[:, place]
        latents = mean = None
        if self.expected:
            steps = torch.stack(self.expected, 1).unflatten(1, (-1, shape[2]))
            one = (
                _per_frame(layout, steps)
                if head is None
                else _estimated(head, layout, steps, frames)
            )
            latents = one.reshape(rows, stems, frames, -1)[:, place]
        if self.scores:
            total = torch.stack(self.scores, 1).reshape(rows, -1).sum(1)
            mean = total / (stems * layout.layers * frames)
        return Generated(layout.to_codes(grid), latents, mean)


def _chosen(logits: Tensor, token: Tensor) -> Tensor:
    """Sum of the log probabilities of a step's tokens ``[R']``; gaps count nothing."""
    entries = logits.shape[-1]
    picked = logits.log_softmax(-1).gather(-1, token.clamp_max(entries - 1)[..., None])[..., 0]
    return (picked * (token < entries)).sum(-1)


def _expected(logits: Tensor, forced: Tensor, books: Tensor) -> Tensor:
    """Mean entry per layer ``[R, K, D]``; a known token is its own."""
    share = logits.softmax(-1)
    known = torch.nn.functional.one_hot(forced.clamp_min(0), share.shape[-1]).to(share)
    share = torch.where(forced[..., None] >= 0, known, share)
    return torch.einsum("rkv,kvd->rkd", share, books)


def _forced(
    model: TokenLM,
    prompt: Tensor | None,
    given: Tensor | None,
    rows: int,
    frames: int,
    device: torch.device,
) -> Tensor:
    """Known cells as a grid ``[R, S, N, K]``, -1 where a token is to be drawn."""
    stems, layers = len(model.config.stems), model.layout.layers
    known = torch.full((rows, stems, layers, frames), -1, dtype=torch.long, device=device)
    if given is not None:
        if given.shape != known.shape:
            raise ConfigError(
                f"known tokens of shape {tuple(given.shape)}; expected {tuple(known.shape)}"
            )
        known.copy_(given)
    if prompt is not None:
        if prompt.shape[:3] != known.shape[:3] or prompt.shape[3] > frames:
            raise ConfigError(
                f"prompt of shape {tuple(prompt.shape)}; expected {tuple(known.shape[:3])} and at "
                f"most {frames} frames"
            )
        known[..., : prompt.shape[3]] = prompt
    grid = model.layout.to_grid(known)
    return grid.masked_fill(grid == model.layout.pad, -1)


def _estimated(head: AnchoredHead, layout: Layout, steps: Tensor, frames: int) -> Tensor:
    """Anchored estimates ``[R, S, N, 2, w]``, each stream's latest → ``[R, S, F, D]``."""
    lags = [head.lags[int(i) // 2] for i in head.final]
    step = layout.stride * (torch.arange(frames)[:, None] + torch.tensor(lags))
    step = step.clamp_max(steps.shape[2] - 1)
    return head.denormalised(steps[:, :, step, torch.arange(len(lags))])


def _per_frame(layout: Layout, cells: Tensor) -> Tensor:
    """``[R, S, N, K, D]`` → sum over layers at each frame ``[R, S, F, D]``."""
    frames = (cells.shape[2] - layout.span - 1) // layout.stride + 1
    offsets = torch.tensor(layout.offsets)
    step = layout.stride * torch.arange(frames)[:, None] + offsets
    return cells[:, :, step, torch.arange(len(offsets))].sum(3)
