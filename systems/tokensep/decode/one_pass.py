"""Generates the tokens of all steps in one pass or a few passes, instead of step by step.

One pass
--------
The input tokens of all steps are hidden (in training, part of them is hidden), so the model uses
only the mixture: one forward pass estimates every frame of every stem. Within a step, layers are
still sequential, because a layer of a residual quantiser codes the residual of the previous ones.

A few passes (MaskGIT, arXiv 2202.04200; SoundStorm, arXiv 2305.09636)
-----------------------------------------------------------------------
After pass p of P, the tokens of the most confident steps are kept and shown to the next pass:

    kept(p) = floor(cos(pi / 2 * (1 - p / P)) * S N),   confidence = log p(S0) + log p(A0)

the log probabilities of the first layer of each stream, which decide most of the sound. The decoder
is causal, so only later steps and stems see a kept step.

Conventions
-----------
cond ``[R, F, encoder.dim]``, codes ``[R, S, K, F]``, grid ``[R, S, N, K]``, as in
:mod:`tokensep.decode.generate`. A row has its own noise: it is the same in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tokensep.decode.generate import checked_seeds
from tokensep.decode.output import Generated, Output, latest_estimates
from tokensep.decode.position import HostPosition
from tokensep.decode.sampling import filtered, guided, gumbel, within_64_bits
from tokensep.errors import ConfigError
from tokensep.lm.config import SamplingConfig
from tokensep.lm.model import TokenLM


@torch.inference_mode()
def one_pass(
    model: TokenLM,
    cond: Tensor,
    *,
    sampling: SamplingConfig | None = None,
    passes: int = 1,
    seeds: Sequence[int] | None = None,
    codebooks: Tensor | None = None,
) -> Generated:
    """Draw the tokens of every stem in ``passes`` forward passes.

    Parameters
    ----------
    model : in eval mode.
    cond : ``[R, F, encoder.dim]``.
    sampling : greedy by default.
    seeds : one per row; default 0 … R-1.
    codebooks : the codec's entries ``[K, V, D]``: also return the expected latents under them.

    Raises
    ------
    ConfigError
        The model has a depth head, ``passes`` is below 1, or seeds do not fit the rows.
    """
    if model.depth is not None:
        raise ConfigError(
            "one-pass decoding needs a delay layout, and this model has a depth head; leave out "
            "decoding=one-pass"
        )
    if passes < 1:
        raise ConfigError(f"found {passes} passes, expected 1 or more")
    sampling = sampling or SamplingConfig()
    rows, frames = cond.shape[:2]
    stems, steps = len(model.config.stems), model.layout.steps(frames)
    generators = [
        torch.Generator(cond.device).manual_seed(within_64_bits(seed))
        for seed in checked_seeds(seeds, rows)
    ]
    if sampling.cfg != 1.0:
        cond = torch.cat([cond, model.null.expand_as(cond)])  # the same rows without the mixture
    grid, keep = _all_hidden(model, rows, steps, cond.device)
    for done in range(1, passes + 1):
        hidden = _hidden(model, grid, cond, keep)  # [R or 2 R, S, N, dim]
        grid, logits = _layer_by_layer(model, hidden, sampling, generators, grid, keep)
        if done < passes:
            share = math.cos(math.pi / 2 * (1 - done / passes))
            keep = _most_confident(model, logits, grid, keep, int(share * stems * steps))
    return _result(model, hidden, grid, logits, frames, codebooks)


@torch.inference_mode()
def one_pass_latents(model: TokenLM, cond: Tensor, codebooks: Tensor) -> Tensor:
    """Expected latents ``[R, S, F, D]`` of one greedy pass without guidance.

    With latent regression they do not depend on the tokens of the pass, and none are chosen.
    Parameters and errors are those of :func:`one_pass`.
    """
    head, layout = model.latent_head, model.layout
    if head is None:
        latents = one_pass(model, cond, codebooks=codebooks).latents
        assert latents is not None
        return latents
    rows, frames = cond.shape[:2]
    grid, keep = _all_hidden(model, rows, layout.steps(frames), cond.device)
    estimates = head.estimates(_hidden(model, grid, cond, keep))  # [R, S, N, 2 G, w]
    last = estimates[..., head.last_head_of_stream, :]
    return latest_estimates(head, layout, last, frames)


def _all_hidden(
    model: TokenLM, rows: int, steps: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The grid of pads ``[R, S, N, K]``, and the steps whose tokens are kept: none."""
    shape = (rows, len(model.config.stems), steps)
    grid = torch.full((*shape, model.layout.layers), model.layout.pad, device=device)
    return grid, torch.zeros(shape, dtype=torch.bool, device=device)


def _hidden(model: TokenLM, grid: Tensor, cond: Tensor, keep: Tensor) -> Tensor:
    """Hidden states of all steps; with guidance for both halves of ``cond``."""
    copies = len(cond) // len(grid)
    return model.hidden(
        grid.repeat(copies, 1, 1, 1), cond, parallel=False, keep=keep.repeat(copies, 1, 1)
    )


def _layer_by_layer(
    model: TokenLM,
    hidden: Tensor,
    config: SamplingConfig,
    generators: list[torch.Generator],
    grid: Tensor,
    keep: Tensor,
) -> tuple[Tensor, Tensor]:
    """Tokens ``[R, S, N, K]`` of all steps and their logits ``[R, S, N, K, V]``.

    Steps of ``keep`` keep their tokens. Layers of one offset are drawn together, those of later
    offsets after them: with latent regression they code what the earlier ones left.
    """
    layout, rows = model.layout, len(grid)
    frames = (grid.shape[2] - layout.span - 1) // layout.stride + 1
    empty = (layout.frame_index(frames) < 0).to(grid.device)  # [N, K]
    chosen = grid.masked_fill(~keep[..., None], layout.pad)
    greedy = config.temperature == 0
    sampled_layers = layout.layers if config.sampled_layers is None else config.sampled_layers
    shape = (*grid.shape[1:], model.tables.shape[1])
    noise = None if greedy else gumbel(generators, shape, hidden.dtype)
    logits = hidden.new_zeros(*grid.shape, model.tables.shape[1])
    for offset in sorted(set(layout.offsets)):
        layers = [k for k, other in enumerate(layout.offsets) if other == offset]
        found = _logits(model, hidden, chosen, rows, config.cfg)[..., layers, :]
        logits[..., layers, :] = found
        drawn = found.argmax(-1)
        if noise is not None:
            scaled = filtered(found / config.temperature, config.top_k, config.top_p)
            sampled = torch.tensor(layers, device=grid.device) < sampled_layers
            drawn = torch.where(sampled, (scaled + noise[..., layers, :]).argmax(-1), drawn)
        drawn = torch.where(keep[..., None], grid[..., layers], drawn)
        chosen[..., layers] = drawn.masked_fill(empty[:, layers], layout.pad)
    return chosen, logits


def _logits(model: TokenLM, hidden: Tensor, grid: Tensor, rows: int, guidance: float) -> Tensor:
    """``[R, S, N, K, V]`` given the tokens chosen so far (``pad`` where there are none yet)."""
    if model.latent_head is None:
        logits = model.logits(hidden)
    else:
        codes = model.layout.to_codes(grid).repeat(len(hidden) // rows, 1, 1, 1)
        logits = model.latent_logits(hidden, codes)[0]
    return guided(logits, guidance) if len(hidden) > rows else logits


def _most_confident(
    model: TokenLM, logits: Tensor, grid: Tensor, keep: Tensor, count: int
) -> Tensor:
    """``[R, S, N]``: the ``count`` surest steps of each row by their first layers.

    Steps that were kept already stay.
    """
    first = [0, model.config.semantic_layers][: 1 + bool(model.config.acoustic_layers)]
    entries = logits.shape[-1]
    tokens = grid[..., first]
    log_p = logits[..., first, :].log_softmax(-1)
    confidence = log_p.gather(-1, tokens.clamp_max(entries - 1)[..., None])[..., 0]
    confidence = (confidence * (tokens < entries)).sum(-1).masked_fill(keep, torch.inf)
    flat = confidence.flatten(1)  # [R, S N]
    kept = torch.zeros_like(flat, dtype=torch.bool)
    kept.scatter_(1, flat.topk(max(count, int(keep.flatten(1).sum(1).max()))).indices, True)
    return kept.view_as(keep)


def _result(
    model: TokenLM,
    hidden: Tensor,
    grid: Tensor,
    logits: Tensor,
    frames: int,
    codebooks: Tensor | None,
) -> Generated:
    """Codes, and expected latents as the step-by-step decoding makes them."""
    rows, stems, steps = grid.shape[:3]
    head = model.latent_head
    latents = None if head is None else head.estimates(hidden[:rows]).flatten(0, 1)
    tokens, scores = grid.flatten(0, 1), logits.flatten(0, 1)  # a row for each stem: [R S, N, …]
    output = Output(model, steps, len(tokens), codebooks, likelihood=False)
    nothing_given = torch.full_like(tokens[:, 0], -1)
    for n in range(steps):
        here = None if latents is None else latents[:, n]
        output.put(HostPosition(n), tokens[:, n], scores[:, n], nothing_given, here)
    return output.assemble(rows, frames, list(range(stems)))
