"""ViSQOL's filter bank with torch on a device: levels as :mod:`~benchsep.metrics.visqol.gammatone`.

A recursive filter is sequential, so each band is computed here as a product of spectra: the filters
are reset before each window, so its :data:`WINDOW` outputs are the convolution with the first
:data:`WINDOW` samples of the band's impulse response. All in float64.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.device import uploaded
from benchsep.metrics.visqol.gammatone import (
    BANDS,
    HOP,
    WINDOW,
    filter_coefficients,
    frame_count,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOGETHER = 16
"""Windows per batch: their filtered bands take 65 MB."""


class DeviceBank:
    """The filter bank on a device; its functions are those of the module ``gammatone``."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def spectrogram(self, signal: NDArray[np.float32], scale: float = 1.0) -> NDArray[np.float64]:
        """Levels ``[bands, frames]`` of all windows that fit."""
        starts = HOP * np.arange(frame_count(len(signal)), dtype=np.int64)
        return self.levels_at(signal, starts, scale)

    def levels_at(
        self, signal: NDArray[np.float32], starts: NDArray[np.int64], scale: float = 1.0
    ) -> NDArray[np.float64]:
        """Levels ``[bands, len(starts)]`` of the windows of ``scale * signal`` at ``starts``.

        ``starts`` are ascending. Every window must lie within the signal.
        """
        if len(starts) and (starts.min() < 0 or starts.max() + WINDOW > len(signal)):
            raise IndexError(f"a window reaches outside of the {len(signal)} samples")
        groups = [starts[k : k + TOGETHER] for k in range(0, len(starts), TOGETHER)]
        found = [self._levels(signal, group, scale) for group in groups]
        return np.concatenate([np.empty((BANDS, 0)), *found], axis=1)

    def _levels(
        self, signal: NDArray[np.float32], starts: NDArray[np.int64], scale: float
    ) -> NDArray[np.float64]:
        import torch

        hann, responses, factor = _tables(self.device)
        first, length = int(starts[0]), int(starts[-1] - starts[0]) + WINDOW
        piece = uploaded([signal], first, length, self.device)[0] * scale
        places = torch.from_numpy(starts - first).to(self.device)
        frames = piece.unfold(0, WINDOW, 1)[places] * hann  # [windows, samples]
        bands = torch.fft.rfft(frames, 2 * WINDOW)[:, None] * responses
        filtered = torch.fft.irfft(bands, 2 * WINDOW)[..., :WINDOW]  # [windows, bands, samples]
        levels = (filtered.square().sum(-1) * factor).sqrt()
        found: NDArray[np.float64] = levels.T.contiguous().cpu().numpy()
        return found


@functools.lru_cache(maxsize=4)
def _tables(device: Any) -> tuple[Any, Any, Any]:
    """The Hann window, the bands' spectra ``[bands, bins]``, the factors of their energies."""
    import torch
    from scipy.signal import sosfilt

    coefficients, gain = filter_coefficients()
    impulse = np.zeros(WINDOW)
    impulse[0] = 1.0
    responses = np.empty((BANDS, WINDOW))
    for band, (*zeros, minus_a1, minus_a2) in enumerate(coefficients.T):
        stages = np.array([[1.0, b1, 0.0, 1.0, -minus_a1, -minus_a2] for b1 in zeros])
        responses[band] = sosfilt(stages, impulse)
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    spectra = torch.fft.rfft(torch.from_numpy(responses), 2 * WINDOW)
    factor = torch.from_numpy(gain**2 / WINDOW)
    return torch.from_numpy(hann).to(device), spectra.to(device), factor.to(device)
