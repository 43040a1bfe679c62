"""Which pieces are not kept, and why."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchsep.audio import STEMS
from tokensep.train.pseudo_labels.settings import Settings, Stems


def residual_db(mixture: NDArray[np.float32], stems: Stems) -> float:
    """How well the stems add up to the mixture, dB (higher is better, 100 at most)."""
    rest = mixture - np.sum(list(stems.values()), axis=0)
    energy = float(np.sum(np.square(mixture, dtype=np.float64)))
    lost = float(np.sum(np.square(rest, dtype=np.float64)))
    return float(10 * np.log10((energy + 1e-12) / max(lost, energy * 1e-10, 1e-12)))


def refusal(mixture: NDArray[np.float32], stems: Stems | None, settings: Settings) -> str:
    """Why a piece is not kept, or an empty text; ``stems=None``: judged by its mixture alone."""
    level = float(10 * np.log10(np.mean(np.square(mixture, dtype=np.float64)) + 1e-12))
    if not np.isfinite(mixture).all():
        return "not finite"
    if level < settings.min_level_db:
        return f"silent: {level:.0f} dBFS"
    if stems is None:
        return ""
    missing = [s for s in STEMS if s not in stems]
    if missing:
        return f"teacher gave no {', '.join(missing)}"
    if not all(np.isfinite(s).all() for s in stems.values()):
        return "teacher gave values that are not finite"
    residual = residual_db(mixture, {s: stems[s] for s in STEMS})
    return f"residual {residual:.1f} dB" if residual < settings.min_residual_db else ""
