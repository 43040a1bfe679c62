"""What is hidden from the LM in a training step: mixtures, tokens, other stems, true past tokens.

Every choice is a function of (purpose, seed, step, crop index), so a resumed run repeats it and
each process can make its share of a batch alone. Each purpose has its own stream of random numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from benchsep_training.seeds import generator
from torch import Tensor

from tokensep.lm.config import LMTrainConfig


def hidden_mixtures_and_visible_tokens(
    train: LMTrainConfig, step: int, indices: range, stems: int, steps: int
) -> tuple[Tensor, Tensor]:
    """Crops without their mixture ``[B]``, and visible token steps ``[B, S, N]``.

    Mixtures are hidden for classifier-free guidance. A crop's rate of hidden tokens is uniform
    between 0 and twice ``token_dropout``, so the model sees everything from full context to almost
    none. With probability ``one_pass`` all tokens are hidden.
    """
    hide, keep = [], []
    for i in indices:
        rng = generator("masks", train.seed, step, i)
        hide.append(rng.random() < train.condition_dropout)
        rate = train.token_dropout * 2 * rng.random()
        visible = rng.random((stems, steps)) >= rate
        if train.one_pass and generator("one pass", train.seed, step, i).random() < train.one_pass:
            visible[:] = False
        keep.append(visible)
    return torch.tensor(hide), torch.from_numpy(np.stack(keep))


def independent_stems(train: LMTrainConfig, step: int) -> bool:
    """Whether stems are hidden from each other in this step: one choice for the whole batch."""
    draw = generator("independent", train.seed, step).random()
    return bool(draw < train.parallel_fraction)


def scheduled_sampling_steps(
    train: LMTrainConfig, step: int, indices: range, stems: int, steps: int
) -> Tensor | None:
    """Token steps ``[B, S, N]`` whose input the model draws itself; None if that is off.

    A crop's share of such steps is uniform between 0 and ``self_feeding``.
    """
    if not train.self_feeding:
        return None
    rngs = [generator("sampled", train.seed, step, i) for i in indices]
    shares = [train.self_feeding * rng.random() for rng in rngs]
    drawn = [rng.random((stems, steps)) < share for rng, share in zip(rngs, shares, strict=True)]
    return torch.from_numpy(np.stack(drawn))
