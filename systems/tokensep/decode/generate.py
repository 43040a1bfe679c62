"""Generate the tokens of all stems over one KV cache.

Conventions
-----------
rows      R, one per window and draw. Rows are independent: with the same seed, a row is the same in
          any batch (each row has its own noise generator)
decoder   R' rows: R, or R S where stems are generated in parallel; twice as many with guidance
cond      ``[R, F, encoder.dim]`` from :meth:`TokenLM.condition`
result    codes ``[R, S, K, F]``, semantic layers first

``sequential`` (the paper): stems in sequence over one cache; each stem sees the previous ones.
``parallel`` (the ablation): each stem sees only the mixture. The length is that of the mixture.
``order`` changes which stem is generated first; the result keeps the model's order.

A position is decoded in four lines (:mod:`tokensep.decode.step`):

    hidden = decoder(input_embeddings[position] + embed(previous tokens))
    tokens = sample(logits(hidden))
    tokens = known tokens where given, pad where the layout has none
    previous tokens = tokens

Everything that does not depend on previous tokens is computed before the loop: the input embeddings
of all steps, the rotation tables, the layout's gaps, the noise, and the cache at its final size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from tokensep.decode.graph import run_steps
from tokensep.decode.output import Generated, Output
from tokensep.decode.sampling import Sampler
from tokensep.decode.step import DecodingStep, State, StepKind, make_noise
from tokensep.errors import ConfigError
from tokensep.lm.config import SamplingConfig
from tokensep.lm.model import TokenLM

Decoding = Literal["sequential", "parallel"]


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
    step: StepKind = "plain",
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
    step : how a step is computed: by torch, as one CUDA graph (``graph``; the same operations
        elsewhere), or compiled with fp32 or int8 weights (on a CPU).

    Raises
    ------
    ConfigError
        seeds, prompt or known do not fit the rows, or order is not a permutation of the stems.
    """
    sampling = sampling or SamplingConfig()
    rows, frames = cond.shape[:2]
    layout, stems = model.layout, len(model.config.stems)
    row_seeds, stem_order = checked_seeds(seeds, rows), _checked_order(order, stems)
    state = State(model, cond, decoding, sampling.cfg, stem_order, step)
    # tokens that are given [R, S, N, K] (-1: to be drawn) and gaps of the layout [N, K], flattened
    # to the decoder's rows and positions
    given = _given_tokens(model, prompt, known, rows, frames, cond.device)[:, stem_order]
    gaps = (layout.frame_index(frames) < 0).to(cond.device)
    if decoding == "parallel":
        given = given.flatten(0, 1)
        row_seeds = [seed * stems + s for seed in row_seeds for s in range(stems)]
    else:
        given, gaps = given.flatten(1, 2), gaps.repeat(stems, 1)
    sample = Sampler(sampling)
    entries, dtype = model.config.codebook_size, model.tables.dtype
    noise = make_noise(sample, row_seeds, given, entries, step, dtype)
    drawn_rows, positions, _ = given.shape
    output = Output(model, positions, drawn_rows, codebooks, likelihood)
    run_steps(DecodingStep(model, state, given, gaps, sample, noise, output), positions)
    return output.assemble(rows, frames, stem_order)


def checked_seeds(seeds: Sequence[int] | None, rows: int) -> list[int]:
    """One seed per row; 0 … R-1 where none are given."""
    seeds = list(range(rows)) if seeds is None else list(seeds)
    if len(seeds) != rows:
        raise ConfigError(f"found {len(seeds)} seeds for {rows} rows, expected one for each")
    return seeds


def _checked_order(order: Sequence[int] | None, stems: int) -> list[int]:
    """Every stem once; the model's own order where none is given."""
    order = list(range(stems)) if order is None else list(order)
    if sorted(order) != list(range(stems)):
        raise ConfigError(f"found order {order}, expected each of {stems} stems once")
    return order


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
