"""Seeds of a training's random draws, each a function of (seed, step, process)."""

from __future__ import annotations

import numpy as np

_RANKS = 64
_LARGEST = 2**63 - 1


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's generator for one step of one process, 0 to 2^63 - 1.

    ``seed * 2^20 + step * 64 + rank`` is what released checkpoints were trained with. It is unique
    for fewer than 64 processes only and passes 64 bits for large seeds: beyond that the numbers are
    hashed.
    """
    value = (seed << 20) + step * _RANKS + rank
    if rank < _RANKS and value <= _LARGEST:
        return value
    words = np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)
    return int(words[0]) & _LARGEST
