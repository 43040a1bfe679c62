"""Seeded noise as songs: what the fault tests separate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchsep.audio import STEMS, Audio, write_audio


def noise_songs(root: Path, names: tuple[str, ...], seconds: float = 0.5, rate: int = 8000) -> Path:
    """A folder data set of seeded noise."""
    rng = np.random.default_rng(0)
    for name in names:
        for stem in STEMS:
            samples = rng.normal(0, 0.1, (2, round(seconds * rate))).astype(np.float32)
            write_audio(root / name / f"{stem}.wav", Audio(samples, rate))
    return root
