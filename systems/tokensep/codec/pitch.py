"""Pitch on a logarithmic grid: salience of each candidate, and its harmonic spectrum.

Conventions
-----------
A grid has ``count`` fundamental frequencies in Hz, a fixed number per octave. Kernels and combs are
float32 matrices that turn spectra into candidates, ``[bins, count]``, and back, ``[count, bins]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from tokensep.codec.layers import same_stft

KERNEL_TOP = 5000.0
"""Hz up to which pitch is read from a spectrum."""
COMB_TOP = 16000.0
"""Hz up to which a comb has partials."""


@dataclass(frozen=True)
class Grid:
    """``octaves`` octaves above ``low`` Hz in steps of ``1 / per_octave`` octave."""

    low: float = 41.2
    octaves: float = 5.5
    per_octave: int = 48

    @property
    def count(self) -> int:
        """Number of candidates."""
        return int(self.octaves * self.per_octave)

    def hz(self) -> NDArray[np.float64]:
        """Fundamental frequencies ``[count]``."""
        return np.asarray(self.low * 2.0 ** (np.arange(self.count) / self.per_octave))


def hann_lobe(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitude of the Hann window's main lobe, ``distance`` bins from its centre; 1 at 0.

    ``|sinc(d) / (1 - d^2)|`` for ``|d| < 2`` (0.5 at 1), and 0 beyond.
    """
    d = np.abs(distance)
    near_one = np.abs(1 - d**2) < 1e-6
    value = np.abs(np.sinc(d) / np.where(near_one, 1.0, 1 - d**2))
    return np.where(d < 2, np.where(near_one, 0.5, value), 0.0)


def combs(grid: Grid, n_fft: int, rate: int) -> Tensor:
    """Power spectra of equally loud harmonics, peak 1: ``[count, bins]``.

    Each is a mean over its cell of the grid (triangle weights): high partials, which the grid
    cannot place exactly, come out broad.
    """
    bins = np.arange(n_fft // 2 + 1)
    out = np.zeros((grid.count, len(bins)))
    for i, hz in enumerate(grid.hz()):
        for shift, weight in ((-0.5, 0.5), (-0.25, 0.75), (0, 1), (0.25, 0.75), (0.5, 0.5)):
            f0 = hz * 2 ** (shift / grid.per_octave)
            centres = np.arange(1, int(COMB_TOP / f0) + 1) * f0 * n_fft / rate  # in bins
            first = np.maximum(0, np.ceil(centres - 2)).astype(int)
            for j in range(5):
                k = np.minimum(first + j, len(bins) - 1)
                np.add.at(out[i], k, weight * hann_lobe(k - centres) ** 2)
    return torch.from_numpy(out / out.max(1, keepdims=True)).float()


def kernels(grid: Grid, n_fft: int, rate: int) -> Tensor:
    """Pitch kernels ``[bins, count]`` below :data:`KERNEL_TOP`, zero mean and unit norm.

    After SWIPE (Camacho & Harris, JASA 2008): positive at harmonics, negative between them,
    falling as ``1 / sqrt(f)``.
    """
    hz = np.arange(int(KERNEL_TOP * n_fft / rate)) * rate / n_fft
    out = np.zeros((len(hz), grid.count))
    for i, f0 in enumerate(grid.hz()):
        ratio = hz / f0
        inside = ratio > 0.5
        kernel = np.cos(2 * np.pi * ratio[inside]) / np.sqrt(ratio[inside])
        kernel -= kernel.mean()
        out[inside, i] = kernel / np.linalg.norm(kernel)
    return torch.from_numpy(out).float()


class Salience(nn.Module):
    """Salience of each candidate of the grid, one frame per ``hop`` samples."""

    window: Tensor
    kernels: Tensor

    def __init__(self, grid: Grid, rate: int, n_fft: int, hop: int) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        # bins of 520 Hz: a partial of a voice stands above its neighbours' mean
        self.span = 2 * round(260 * n_fft / rate) + 1
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("kernels", kernels(grid, n_fft, rate), persistent=False)

    @torch.no_grad()
    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Salience and confidence of ``[B, F * hop]``.

        Returns
        -------
        salience : ``[B, F, count]``, sharpened (sixth power, mean of three candidates), not
            negative, sum 1 where anything sounds.
        confidence : ``[B, F]``, 0 to 1, by the best candidate's correlation with the whitened
            spectrum (0.22 to 0.42: drums stay mostly below); 0 for frames below -60 dB.
        """
        bins = self.kernels.shape[0]
        magnitude = same_stft(wave, self.n_fft, self.hop, self.window).abs()
        magnitude = magnitude * (2 / self.window.sum())
        log = torch.log(magnitude[..., : bins + self.span // 2] + 1e-5)
        local = fn.avg_pool1d(log, self.span, 1, self.span // 2, count_include_pad=False)
        white = (log - local)[..., :bins].clamp(-1.5, 3.0)
        match = (white @ self.kernels).clamp_min(0)  # [B, F, count]
        top = match.amax(-1, keepdim=True)
        sharp = fn.avg_pool1d((match / (top + 1e-6)) ** 6, 3, 1, 1)
        sharp = sharp / (sharp.sum(-1, keepdim=True) + 1e-6)
        correlation = top[..., 0] / (white.norm(dim=-1) + 1e-3)
        sure = ((correlation - 0.22) / 0.2).clamp(0, 1)
        return sharp, sure * (magnitude.amax(-1) > 1e-3)
