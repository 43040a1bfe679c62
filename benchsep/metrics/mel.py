"""Mel filters, as librosa defines them."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from benchsep.metrics.librosa_once import import_librosa


def mel_filters(rate: int, size: int, bands: int) -> NDArray[np.float32]:
    """The Slaney filters of librosa ``[bands, size // 2 + 1]``; a narrow band may hold no bin."""
    librosa = import_librosa()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters detected")
        return np.asarray(librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands))
