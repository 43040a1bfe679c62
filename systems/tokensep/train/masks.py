"""What the LM does not see in a training step: mixtures, tokens, other stems, its true past.

Every choice is a function of (seed, step, crop index, purpose), so that a resumed run repeats it
and a process can make its share of a batch alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tokensep.lm.config import LMTrainConfig

_MASKS, _INDEPENDENT, _SAMPLED = 1, 2, 3
"""Last word of a seed: two purposes never share a stream of random numbers."""


def hidden_mixtures_and_visible_tokens(
    train: LMTrainConfig, step: int, indices: range, stems: int, steps: int
) -> tuple[Tensor, Tensor]:
    """Crops without their mixture ``[B]``, and visible token steps ``[B, S, N]``.

    Mixtures are hidden for classifier-free guidance. A crop's rate of hidden tokens is uniform
    between 0 and twice ``token_dropout``, so that the model meets full context and nearly none.
    """
    hide, keep = [], []
    for i in indices:
        rng = np.random.default_rng([train.seed, step, i, _MASKS])
        hide.append(rng.random() < train.condition_dropout)
        rate = train.token_dropout * 2 * rng.random()
        keep.append(rng.random((stems, steps)) >= rate)
    return torch.tensor(hide), torch.from_numpy(np.stack(keep))


def independent_stems(train: LMTrainConfig, step: int) -> bool:
    """Whether the stems of this step do not see each other: one choice for the whole batch."""
    draw = np.random.default_rng([train.seed, step, _INDEPENDENT]).random()
    return bool(draw < train.parallel_fraction)


def scheduled_sampling_steps(
    train: LMTrainConfig, step: int, indices: range, stems: int, steps: int
) -> Tensor | None:
    """Token steps ``[B, S, N]`` whose input the model draws itself; None if that is off.

    A crop's share of such steps is uniform between 0 and ``self_feeding``.
    """
    if not train.self_feeding:
        return None
    rngs = [np.random.default_rng([train.seed, step, i, _SAMPLED]) for i in indices]
    shares = [train.self_feeding * rng.random() for rng in rngs]
    drawn = [rng.random((stems, steps)) < share for rng, share in zip(rngs, shares, strict=True)]
    return torch.from_numpy(np.stack(drawn))
