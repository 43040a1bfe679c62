"""Estimates with known faults, made from the true stems."""

from __future__ import annotations

import numpy as np

from benchsep.audio import Audio


def degraded(
    stems: dict[str, Audio], bleed: float, noise: float, seed: int = 7
) -> dict[str, Audio]:
    """Each stem plus ``bleed`` times the other stems plus white noise of deviation ``noise``."""
    rng = np.random.default_rng(seed)
    total = sum(a.samples for a in stems.values())
    return {
        s: Audio(
            a.samples
            + bleed * (total - a.samples)
            + noise * rng.standard_normal(a.samples.shape, dtype=np.float32),
            a.rate,
        )
        for s, a in stems.items()
    }
