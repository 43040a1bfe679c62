"""Levels, balance, and the exact sum of the stems of a synthetic song.

Conventions
-----------
Waves are float32 ``[2, T]`` at 44.1 kHz. Levels relative to the mixture are drawn from the
distribution measured on MUSDB18 (:data:`LEVELS`).
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tokensep.errors import DataError

RATE = 44_100
LEVELS = {
    "vocals": (-9.4, -5.4, -3.1),
    "drums": (-13.3, -6.7, -3.1),
    "bass": (-13.8, -7.4, -2.5),
    "other": (-12.5, -6.2, -2.9),
}
"""Level of a stem relative to the mixture, dB: 5th, 50th and 95th percentile of MUSDB18's
excerpts."""
PAN = {"vocals": 0.1, "drums": 0.15, "bass": 0.1, "other": 0.5}
"""Largest balance of a stem, -1 (left) to 1."""
_Z95 = 1.6449

Wave = NDArray[np.float32]


def rms(wave: Wave) -> float:
    """Root mean square over all channels."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def draw_levels(rng: Generator) -> dict[str, float]:
    """Levels in dB relative to the mixture, drawn from two half normals with the percentiles."""
    levels = {}
    for stem, (low, middle, high) in LEVELS.items():
        z = float(np.clip(rng.standard_normal(), -2.5, 2.5))
        levels[stem] = middle + z * ((middle - low) if z < 0 else (high - middle)) / _Z95
    return levels


def panned(wave: Wave, balance: float) -> Wave:
    """Constant-power balance of ``wave [2, T]``; 0 leaves it unchanged."""
    angle = (balance + 1) * np.pi / 4
    gains = np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]])
    return np.asarray(wave * gains, dtype=np.float32)


def mix(
    stems: dict[str, Wave], levels: dict[str, float], loudness: float, headroom: float = 0.98
) -> dict[str, NDArray[np.int16]]:
    """Stems at their levels as 16 bit, and ``mixture``, their exact sum.

    Parameters
    ----------
    stems : ``[2, T]``; a silent one stays silent.
    levels : dB of each; only their differences matter.
    loudness : dBFS of the mixture, less where its peak or a stem's would pass ``headroom``.
    """
    scaled = {
        name: wave * (10 ** (levels[name] / 20) / max(rms(wave), 1e-9))
        if rms(wave) > 1e-6
        else np.zeros_like(wave)
        for name, wave in stems.items()
    }
    total = np.sum(list(scaled.values()), axis=0)
    peak = max(float(np.abs(w).max()) for w in (total, *scaled.values()))
    if peak == 0:
        raise DataError("every stem is silent")
    gain = min(10 ** (loudness / 20) / max(rms(total), 1e-9), headroom / peak)
    whole = {name: np.round(wave * gain * 32767).astype(np.int16) for name, wave in scaled.items()}
    # Rounding moves the sum by two steps at most, which the headroom has room for.
    total_int = np.sum([w.astype(np.int32) for w in whole.values()], axis=0)
    return {**whole, "mixture": total_int.astype(np.int16)}
