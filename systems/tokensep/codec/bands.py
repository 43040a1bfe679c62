"""The acoustic encoder of the design ``bands``: a linear code of band energies and of pitch.

Nothing here is trained by gradient descent: :mod:`tokensep.codec.fit` sets the matrices. A linear
prediction from a few frames of semantic tokens explains most of the band energies. The first
principal components of the residual, and of the pitch salience, are the acoustic code.

Conventions
-----------
``[B, F, C]``; ``u`` = ``upsample`` spectra per token frame; log-amplitudes are natural logarithms
and a full-scale sine is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from tokensep.codec.layers import mel_filters, same_stft
from tokensep.codec.pitch import Grid, Salience
from tokensep.config import CodecConfig

SENT_FLOOR = 3e-6
"""Amplitude floor of bands (-110 dB re a full-scale sine)."""


def neighbours(x: Tensor, reach: int) -> Tensor:
    """Each frame with ``reach`` frames on either side: ``[B, F, C]`` → ``[B, F, (2 reach + 1) C]``.

    Frames beyond the ends are zeros.
    """
    count = x.shape[1]
    x = fn.pad(x, (0, 0, reach, reach))
    return torch.cat([x[:, i : i + count] for i in range(2 * reach + 1)], -1)


def pitch_grid(c: CodecConfig) -> Grid:
    """The grid of the configuration."""
    return Grid(c.bands.pitch_low, c.bands.pitch_octaves, c.bands.pitch_per_octave)


class BandEncoder(nn.Module):
    """Wave and quantised semantic latents → acoustic latents, by fixed matrices."""

    window: Tensor
    filters: Tensor

    def __init__(self, c: CodecConfig) -> None:
        super().__init__()
        b = self.config = c.bands
        self.hop = c.frame_hop // b.upsample
        self.register_buffer("window", torch.hann_window(b.n_fft), persistent=False)
        filters = mel_filters(c.rate, b.n_fft, b.bands)
        self.register_buffer("filters", filters, persistent=False)
        grid = pitch_grid(c)
        self.pitch = Salience(grid, c.rate, b.pitch_fft, c.hop)
        self.per_token = c.stride
        stacked = b.upsample * b.bands
        self.hint = nn.Linear((2 * b.context + 1) * c.latent_dim, stacked)
        self.project = nn.Linear(stacked, c.latent_dim - b.pitch_dims, bias=False)
        self.tone = nn.Linear(grid.count, b.pitch_dims)
        self.requires_grad_(False)

    @torch.no_grad()
    def band_levels(self, wave: Tensor) -> Tensor:
        """Log-amplitudes of a token's bands, ``u`` spectra side by side: ``[B, F, u * bands]``."""
        spec = same_stft(wave, self.config.n_fft, self.hop, self.window)
        power = (spec.abs() * (2 / self.window.sum())) ** 2 @ self.filters
        levels = 0.5 * torch.log(power + SENT_FLOOR**2)  # [B, u F, bands]
        return levels.reshape(len(wave), -1, self.config.upsample * self.config.bands)

    @torch.no_grad()
    def tones(self, wave: Tensor) -> Tensor:
        """Root of the salience, blurred over five candidates, times confidence: ``[B, F, grid]``.

        With the root, the distance of two tones is the Hellinger distance of distributions.
        """
        salience, sure = self.pitch(wave)  # [B, F stride, grid], [B, F stride]
        root = fn.avg_pool1d(salience, 5, 1, 2).sqrt() * sure[..., None]
        return root.unflatten(1, (-1, self.per_token)).mean(2)

    def rest(self, wave: Tensor, semantic: Tensor) -> Tensor:
        """Band levels minus their prediction from the semantic latents ``[B, F, D]``."""
        return self.band_levels(wave) - self.hint(neighbours(semantic, self.config.context))

    @torch.no_grad()
    def forward(self, wave: Tensor, semantic: Tensor) -> Tensor:
        with torch.autocast(wave.device.type, enabled=False):
            rest = self.rest(wave.float(), semantic.float())
            return torch.cat([self.project(rest), self.tone(self.tones(wave))], -1)
