"""Generate the tokens of all stems over one KV cache.

Conventions
-----------
rows      R, one per window and draw; a row does not depend on the others: with the same seed it
          is the same in any batch (each row has its own noise generator)
decoder   R' rows: R, or R S where stems are generated in parallel; twice as many with guidance
cond      ``[R, F, encoder.dim]`` from :meth:`TokenLM.condition`
result    codes ``[R, S, K, F]``, semantic layers first

``sequential`` (the paper): stems one after the other over one cache, each seeing those before.
``parallel`` (the ablation): every stem alone with the mixture. The length is that of the mixture.
``order`` changes which stem is generated first; the result keeps the model's order.

A position is decoded in four lines:

    hidden = decoder(input_embeddings[position] + embed(previous tokens))
    tokens = sample(logits(hidden))
    tokens = known tokens where given, pad where the layout has none
    previous tokens = tokens

What a position does not depend on is computed before the loop: the input embeddings of all steps,
the rotation tables, the layout's gaps, and the cache at its final size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tokensep.decode.sampling import Sampler, guided
from tokensep.decode.static import StaticDecoder, StaticTokens
from tokensep.errors import ConfigError
from tokensep.lm.config import SamplingConfig
from tokensep.lm.heads import LatentRegressionHead
from tokensep.lm.layout import Layout
from tokensep.lm.model import TokenLM

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
    codebooks: Tensor | None = None,
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
    codebooks : the codec's entries ``[K, V, D]``: also return the expected latents under them.
    likelihood : also return the mean log probability of the tokens.
    step : how a step is computed: by torch, or compiled with fp32 or int8 weights (on a CPU).

    Raises
    ------
    ConfigError
        if seeds, prompt or known do not fit the rows, or order is no order of the stems.
    """
    sampling = sampling or SamplingConfig()
    rows, frames = cond.shape[:2]
    layout, stems = model.layout, len(model.config.stems)
    row_seeds, stem_order = checked_seeds(seeds, rows), _checked_order(order, stems)
    state = _State(model, cond, decoding, sampling.cfg, stem_order, step)
    # tokens that are given [R, S, N, K] (-1: to be drawn) and gaps of the layout [N, K], flattened
    # to the decoder's rows and positions
    given = _given_tokens(model, prompt, known, rows, frames, cond.device)[:, stem_order]
    gaps = (layout.frame_index(frames) < 0).to(cond.device)
    if decoding == "parallel":
        given = given.flatten(0, 1)
        row_seeds = [seed * stems + s for seed in row_seeds for s in range(stems)]
    else:
        given, gaps = given.flatten(1, 2), gaps.repeat(stems, 1)
    # as lists: asking a GPU tensor at each position would wait for the GPU
    has_gaps, has_given = gaps.any(1).tolist(), (given >= 0).any(2).any(0).tolist()
    sample = Sampler(sampling, row_seeds, cond.device)
    output = StepOutput(model, codebooks, likelihood)
    for position in range(given.shape[1]):
        hidden, here = state.hidden(position), given[:, position]
        if model.depth is None:
            logits = state.guide(state.tables.logits(hidden))
            tokens = sample(logits)
            if has_given[position]:
                tokens = torch.where(here >= 0, here, tokens)
        else:
            tokens, logits = _depth_tokens(model, hidden, sample, here, state)
        if has_gaps[position]:
            tokens = tokens.masked_fill(gaps[position], layout.pad)
        state.feed(tokens)
        output.add(tokens, logits, here, state.tables.latents)
    return output.assemble(rows, frames, stem_order)


class _State:
    """Inputs of all positions, caches, and the embedding of the tokens fed last."""

    def __init__(
        self,
        model: TokenLM,
        cond: Tensor,
        decoding: Decoding,
        guidance: float,
        order: list[int],
        step: Step,
    ) -> None:
        self.guidance, self.is_guided = guidance, guidance != 1.0
        if self.is_guided:
            cond = torch.cat([cond, model.null.expand_as(cond)])  # the same rows without mixture
        stems, steps = len(model.config.stems), model.layout.steps(cond.shape[1])
        inputs = model.input_embeddings(cond)[:, order]  # [R, S, N, dim]
        prefix, prefix_positions = model.prefix_embeddings(cond)
        positions = torch.arange(steps, device=cond.device)
        if decoding == "parallel":
            inputs = inputs.flatten(0, 1)  # a row for each stem
            prefix = prefix.repeat_interleave(stems, dim=0)
        else:
            inputs, positions = inputs.flatten(1, 2), positions.repeat(stems)
        self.inputs = inputs.transpose(0, 1).contiguous()  # [positions, R', dim]
        self.previous = torch.zeros_like(self.inputs[0])
        cos, sin = model.decoder.rope(torch.cat([prefix_positions, positions]))
        rows = len(inputs)
        self.tables = StaticTokens(model, rows)
        self.decoder = _decoder(model, rows, cos, sin, step)
        if prefix.shape[1]:
            self.decoder.fill(model.decoder, prefix)

    def hidden(self, position: int) -> Tensor:
        """``[R', dim]`` of the next position."""
        return self.decoder.step(self.inputs[position] + self.previous)

    def guide(self, logits: Tensor) -> Tensor:
        """Logits of the rows to draw, from those with and without the mixture."""
        return guided(logits, self.guidance) if self.is_guided else logits

    def repeat(self, tokens: Tensor) -> Tensor:
        """Tokens of the drawn rows for all rows: with guidance both halves get the same."""
        return torch.cat([tokens, tokens]) if self.is_guided else tokens

    def feed(self, tokens: Tensor) -> None:
        """The tokens of the position just decoded ``[R', K]``."""
        self.previous = self.tables.embed(self.repeat(tokens))


def _decoder(model: TokenLM, rows: int, cos: Tensor, sin: Tensor, step: Step) -> StaticDecoder:
    """The decoder that computes one position at a time, by torch or compiled."""
    if step == "plain":
        return StaticDecoder(model.decoder, rows, len(cos), cos, sin)
    from tokensep.decode.compiled import CompiledDecoder

    return CompiledDecoder(model.decoder, rows, len(cos), cos, sin, int8=step == "int8")


def _depth_tokens(
    model: TokenLM, hidden: Tensor, sample: Sampler, given: Tensor, state: _State
) -> tuple[Tensor, Tensor]:
    """The layers of one step one after the other: tokens ``[R', K]``, logits ``[R', K, V]``."""
    tokens = torch.empty(len(given), 0, dtype=torch.long, device=hidden.device)
    logits = []
    for layer in range(given.shape[1]):
        # [R', layer + 1, V]; only the newest layer's logits are needed
        newest = model.depth_logits(hidden, state.repeat(tokens))[:, -1:]
        logits.append(state.guide(newest))
        here = given[:, layer : layer + 1]
        tokens = torch.cat([tokens, torch.where(here >= 0, here, sample(logits[-1], layer))], 1)
    return tokens, torch.cat(logits, dim=1)


def checked_seeds(seeds: Sequence[int] | None, rows: int) -> list[int]:
    """One seed per row; 0 … R-1 where none are given."""
    seeds = list(range(rows)) if seeds is None else list(seeds)
    if len(seeds) != rows:
        raise ConfigError(f"{len(seeds)} seeds for {rows} rows")
    return seeds


def _checked_order(order: Sequence[int] | None, stems: int) -> list[int]:
    """Every stem once; the model's own order where none is given."""
    order = list(range(stems)) if order is None else list(order)
    if sorted(order) != list(range(stems)):
        raise ConfigError(f"order {order} is no order of {stems} stems")
    return order


class StepOutput:
    """What each position gave, until :meth:`assemble` makes codes and latents of it."""

    def __init__(self, model: TokenLM, codebooks: Tensor | None, likelihood: bool) -> None:
        self.model, self.codebooks, self.likelihood = model, codebooks, likelihood
        self.tokens: list[Tensor] = []
        self.expected: list[Tensor] = []
        self.scores: list[Tensor] = []

    def add(self, tokens: Tensor, logits: Tensor, given: Tensor, latents: Tensor | None) -> None:
        """One position: tokens ``[R', K]``, their logits ``[R', K, V]``, and the estimates.

        ``latents [R' (twice with guidance), 2 G, w]``: those of the latent regression head.
        """
        self.tokens.append(tokens)
        head = self.model.latent_head
        if self.codebooks is not None and head is not None:
            assert latents is not None
            self.expected.append(latents[: len(tokens), head.last_head_of_stream])  # [R', 2, w]
        elif self.codebooks is not None:
            self.expected.append(_expected_entries(logits, given, self.codebooks))  # [R', K, D]
        if self.likelihood:
            self.scores.append(_log_probability(logits, tokens))

    def assemble(self, rows: int, frames: int, order: list[int]) -> Generated:
        """All steps of all stems, the stems back in the model's order."""
        layout, stems = self.model.layout, len(order)
        shape = (rows, stems, layout.steps(frames))
        # position of each stem of the model's order in the order of generation
        place = torch.tensor(order).argsort().to(self.tokens[0].device)
        grid = torch.stack(self.tokens, 1).reshape(*shape, -1)[:, place]  # [R, S, N, K]
        latents = mean = None
        if self.expected:
            # [R', positions, …] -> [R (x S), S (or 1), N, …]: whatever of rows and positions stems
            # were flattened into, the last axis of length N is the steps
            steps = torch.stack(self.expected, 1).unflatten(1, (-1, shape[2]))
            per_frame = self._per_frame(steps, frames)
            latents = per_frame.reshape(rows, stems, frames, -1)[:, place]
        if self.scores:
            total = torch.stack(self.scores, 1).reshape(rows, -1).sum(1)
            mean = total / (stems * layout.layers * frames)
        return Generated(layout.to_codes(grid), latents, mean)

    def _per_frame(self, steps: Tensor, frames: int) -> Tensor:
        if self.model.latent_head is None:
            return _sum_of_layers(self.model.layout, steps)
        return _latest_estimates(self.model.latent_head, self.model.layout, steps, frames)


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


def _given_tokens(
    model: TokenLM,
    prompt: Tensor | None,
    known: Tensor | None,
    rows: int,
    frames: int,
    device: torch.device,
) -> Tensor:
    """Tokens that are not drawn as a grid ``[R, S, N, K]``, -1 where one is."""
    stems, layers = len(model.config.stems), model.layout.layers
    codes = torch.full((rows, stems, layers, frames), -1, dtype=torch.long, device=device)
    if known is not None:
        if known.shape != codes.shape:
            raise ConfigError(
                f"known tokens of shape {tuple(known.shape)}; expected {tuple(codes.shape)}"
            )
        codes.copy_(known)
    if prompt is not None:
        if prompt.shape[:3] != codes.shape[:3] or prompt.shape[3] > frames:
            raise ConfigError(
                f"prompt of shape {tuple(prompt.shape)}; expected {tuple(codes.shape[:3])} and at "
                f"most {frames} frames"
            )
        codes[..., : prompt.shape[3]] = prompt
    grid = model.layout.to_grid(codes)
    return grid.masked_fill(grid == model.layout.pad, -1)


def _latest_estimates(
    head: LatentRegressionHead, layout: Layout, steps: Tensor, frames: int
) -> Tensor:
    """Estimates ``[R, S, N, 2, w]`` → latents ``[R, S, F, D]``.

    A frame is estimated in several steps, each knowing more of its tokens; each stream's last
    estimate is taken, that of lag g at step ``stride (frame + g)``. Behind the last step, where
    that is past the end, the last step's.
    """
    lags = [head.lags[int(i) // 2] for i in head.last_head_of_stream]
    step = layout.stride * (torch.arange(frames)[:, None] + torch.tensor(lags))  # [F, 2]
    step = step.clamp_max(steps.shape[2] - 1)
    return head.denormalised(steps[:, :, step, torch.arange(len(lags))])


def _sum_of_layers(layout: Layout, steps: Tensor) -> Tensor:
    """Expected entries ``[R, S, N, K, D]`` → their sum over the layers of a frame ``[R, S, F, D]``.

    Layer k of frame f is in step ``stride f + offset_k``.
    """
    frames = (steps.shape[2] - layout.span - 1) // layout.stride + 1
    offsets = torch.tensor(layout.offsets)
    step = layout.stride * torch.arange(frames)[:, None] + offsets  # [F, K]
    return steps[:, :, step, torch.arange(len(offsets))].sum(3)
