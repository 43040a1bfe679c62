"""Shards of labelled noise, as ``tokensep pseudo-label`` writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from tokensep.train import pseudo_labels

SHARE = {"vocals": 0.4, "drums": 0.3, "bass": 0.2, "other": 0.1}


def split(mixture, rate):
    """A teacher: each stem is a share of the mixture, and a tenth of it is in none."""
    return {stem: 0.9 * share * mixture for stem, share in SHARE.items()}


def labelled(folder: Path, *, clips=12, seconds=2.0, per_shard=3, rate=8000, seed=0) -> Path:
    """A folder of shards of ``clips`` recordings of ``seconds``, ``per_shard`` in each."""
    music = folder / "music"
    music.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(clips):
        wave = rng.normal(0, 0.1 + 0.02 * number, (round(seconds * rate), 2))
        soundfile.write(str(music / f"{number:03d}.wav"), wave, rate)
    settings = pseudo_labels.Settings(per_shard * seconds, seconds, min_seconds=0.1)
    pseudo_labels.run(music, folder / "shards", lambda: split, f"split {seed}", settings)
    return folder / "shards"
