"""Seeds of a training's random draws: an independent stream for each purpose and position.

A key such as ``("dropout", seed, step, rank)`` is hashed (BLAKE2b of its text). Different keys have
different streams, for numbers of any size. Sums and products of seeds do not have this property;
nor does ``numpy.random.SeedSequence``, which pads keys with zeros and splits large numbers, so (5,
1, 7), (5, 1, 7, 0) and (5 + 2^32, 7) are the same stream.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

Key = int | str


def hashed(*key: Key, bits: int = 63) -> int:
    """A number of ``bits`` bits (up to 512) for ``key``: integers of any size, and names."""
    digest = hashlib.blake2b(json.dumps(key).encode()).digest()
    return int.from_bytes(digest, "little") & ((1 << bits) - 1)


def generator(*key: Key) -> np.random.Generator:
    """A numpy generator for ``key``."""
    return np.random.default_rng(hashed(*key, bits=128))


def step_seed(seed: int, step: int, rank: int) -> int:
    """Seed of torch's generator for one step of one process, 0 to 2^63 - 1."""
    return hashed("step", seed, step, rank)
