"""Mel filters, as librosa defines them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def mel_filters(rate: int, size: int, bands: int, top: float | None = None) -> NDArray[np.float32]:
    """Triangular filters of unit area ``[bands, size // 2 + 1]``, equally spaced in mel up to
    ``top`` Hz.

    ``top`` is half the rate by default. A narrow band may have no bin. The values are equal to
    ``librosa.filters.mel`` (Slaney's Auditory Toolbox); the import of librosa would take a second.
    """
    top = rate / 2 if top is None else top
    mels = np.linspace(_mels(np.array(0.0)), _mels(np.array(top)), bands + 2)
    edges = _hertz(mels)  # lower edge, centre and upper edge of band k: edges[k : k + 3]
    bins = np.fft.rfftfreq(size, 1.0 / rate)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)
    triangles *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return triangles


LINEAR_HZ, LINEAR_MELS = 1000.0, 15.0
"""Up to here one mel is 200 / 3 Hz; above, 27 mels are a factor of 6.4."""
STEP = np.log(6.4) / 27.0


def _mels(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    above = np.maximum(hertz, LINEAR_HZ) / LINEAR_HZ
    return np.where(hertz < LINEAR_HZ, hertz / (200.0 / 3), LINEAR_MELS + np.log(above) / STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    above = LINEAR_HZ * np.exp(STEP * (mels - LINEAR_MELS))
    return np.where(mels < LINEAR_MELS, 200.0 / 3 * mels, above)


@dataclass(frozen=True)
class Bank:
    """Filters without zeros: for each band the weights from its first to its last bin."""

    firsts: NDArray[np.int64]
    """``[bands]``: the first bin."""
    ends: NDArray[np.int64]
    """``[bands + 1]``: the start of each band's weights, and the end of the last one's."""
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, filters: NDArray[np.float32]) -> Bank:
        """From filters ``[bands, bins]``; a band may have no bin."""
        firsts, weights = np.zeros(len(filters), np.int64), [np.zeros(0, np.float32)]
        for band, row in enumerate(filters):
            used = np.flatnonzero(row)
            firsts[band] = used[0] if len(used) else 0
            weights.append(row[used[0] : used[-1] + 1] if len(used) else row[:0])
        ends = np.cumsum([len(part) for part in weights])
        return cls(firsts, ends, np.concatenate(weights).astype(np.float32))
