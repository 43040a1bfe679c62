"""Mel filters, as librosa defines them, and their product with spectra."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchsep.metrics.librosa_once import import_librosa

if TYPE_CHECKING:
    import torch

TOGETHER = 16
"""Bands of one product. Bands are narrow: a product of all bands with all bins is mostly zeros."""


def mel_filters(rate: int, size: int, bands: int) -> NDArray[np.float32]:
    """The Slaney filters of librosa ``[bands, size // 2 + 1]``; a narrow band may hold no bin."""
    librosa = import_librosa()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        return np.asarray(librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands))


def magnitudes(spectrum: torch.Tensor) -> torch.Tensor:
    """Of complex numbers; a third of the time of torch's own, which guards against overflow."""
    return (spectrum.real.square() + spectrum.imag.square()).sqrt()


@dataclass(frozen=True)
class Bank:
    """Filters cut into groups of neighbouring bands, with the bins that a group reads."""

    bands: int
    groups: tuple[tuple[slice, slice, NDArray[np.float32]], ...]
    """Bands, bins, and the filters ``[bins, bands]`` between them."""

    @classmethod
    def of(cls, filters: NDArray[np.float32]) -> Bank:
        """From filters ``[bands, bins]``."""
        groups = []
        for first in range(0, len(filters), TOGETHER):
            part = filters[first : first + TOGETHER]
            used = np.flatnonzero(part.any(0))
            bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
            weights = np.ascontiguousarray(part[:, bins].T, dtype=np.float32)
            groups.append((slice(first, first + len(part)), bins, weights))
        return cls(len(filters), tuple(groups))

    def __call__(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[frames, bands]`` of ``[frames, bins]``."""
        out = np.empty((len(spectra), self.bands), np.float32)
        for bands, bins, weights in self.groups:
            np.matmul(spectra[:, bins], weights, out=out[:, bands])
        return out
