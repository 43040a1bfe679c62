"""The decoder of the design ``bands``: noise in bands plus combs of harmonics, phase by rule.

A spectrum is ``|X|^2 = N + sum_s E_s (p_s C)``: ``N`` a smooth spectrum given in mel bands; ``C``
the fixed combs of a grid of pitches, ``p_s`` weights over the grid (sum 1), and ``E_s`` a smooth
envelope, for each of a few sources ``s``. The network only predicts the pitch; harmonics need not
be learned. The bands are initialised as a linear map of the latents, the inverse of the encoder's.
The phase is computed from the magnitudes (:mod:`tokensep.codec.phase`).

Conventions
-----------
``[B, F, C]``; token frames in, ``upsample`` spectra each out; natural-log amplitudes, a full-scale
sine is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tokensep.codec.bands import neighbours, pitch_grid
from tokensep.codec.layers import Conv, ConvNeXt, TransformerLayer, mel_filters, same_stft
from tokensep.codec.phase import griffin_lim, spsi
from tokensep.codec.pitch import combs
from tokensep.config import CodecConfig
from tokensep.recompute import Stack

FLOOR = 1e-6
"""Amplitude that counts as silence (-120 dB re a full-scale sine).

ViSQOL is sensitive to bands at -90 dB, where bins are at about -105 dB: a floor or a gate there
lowers it by 0.1 to 0.9.
"""
START_BELOW = -1.0
"""Natural-log level of the combs below the noise, at the start."""


def interpolation(bands: int, n_fft: int, rate: int) -> Tensor:
    """Band centres to bins, linear between centres and constant beyond: ``[bands, bins]``."""
    filters = mel_filters(rate, n_fft, bands)
    bins = torch.arange(n_fft // 2 + 1, dtype=torch.float32)
    centres = (bins[:, None] * filters).sum(0)
    left = (torch.searchsorted(centres, bins) - 1).clamp(0, bands - 2)
    share = (bins - centres[left]) / (centres[left + 1] - centres[left]).clamp_min(1e-3)
    share = share.clamp(0, 1)
    out = torch.zeros(bands, len(bins))
    k = torch.arange(len(bins))
    out[left, k] += 1 - share
    out[left + 1, k] += share
    return out


class HarmonicDecoder(nn.Module):
    """Joined latents → log-magnitudes → wave."""

    window: Tensor
    noise_to_bins: Tensor
    envelope_to_bins: Tensor
    combs: Tensor

    def __init__(self, c: CodecConfig) -> None:
        super().__init__()
        b = self.config = c.bands
        self.hop, self.latent_dim = c.frame_hop // b.upsample, c.latent_dim
        grid = pitch_grid(c)
        self.grid = grid.count
        self.register_buffer("window", torch.hann_window(b.n_fft), persistent=False)
        for name, table in (
            ("noise_to_bins", interpolation(b.bands, b.n_fft, c.rate)),
            ("envelope_to_bins", interpolation(b.envelope_bands, b.n_fft, c.rate)),
            ("combs", combs(grid, b.n_fft, c.rate)),
        ):
            self.register_buffer(name, table, persistent=False)
        self.scale = float(2 / self.window.sum())
        self.linear = nn.Linear((2 + 2 * b.context) * c.latent_dim, b.upsample * b.bands)
        self.entry = Conv(2 * c.latent_dim, b.dim, 3)
        self.transformer = TransformerLayer(b.dim, b.heads, b.transformer_ffn)
        self.norm = nn.LayerNorm(b.dim)
        self.blocks = Stack(ConvNeXt(b.dim, b.ffn, c.kernel, 1 / b.blocks) for _ in range(b.blocks))
        self.up = nn.Linear(b.dim, b.upsample * b.fine_dim)
        self.fine = Stack(
            ConvNeXt(b.fine_dim, b.fine_ffn, c.kernel, 1 / b.fine_blocks)
            for _ in range(b.fine_blocks)
        )
        self.exit_norm = nn.LayerNorm(b.fine_dim)
        self.split = [b.bands, b.sources * b.envelope_bands, b.sources * self.grid]
        self.head = nn.Linear(b.fine_dim, sum(self.split))
        with torch.no_grad():
            self.head.weight.mul_(0.3)
            self.head.bias.zero_()
            self.head.bias[b.bands : b.bands + self.split[1]] = START_BELOW

    @torch.no_grad()
    def target(self, wave: Tensor) -> Tensor:
        """Log-magnitudes of ``[B, F * frame_hop]``: ``[B, upsample * F, bins]``."""
        spec = same_stft(wave, self.config.n_fft, self.hop, self.window)
        return torch.log(spec.abs() * self.scale + FLOOR)

    def base(self, x: Tensor) -> Tensor:
        """Band levels by the linear map alone: ``[B, upsample * F, bands]``."""
        acoustic, semantic = x.float().split(self.latent_dim, -1)
        with torch.autocast(x.device.type, enabled=False):
            near = neighbours(semantic, self.config.context)
            levels = self.linear(torch.cat([acoustic, near], -1))
        return levels.reshape(len(x), -1, self.config.bands)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Noise levels, envelopes and pitch weights of latents ``[B, F, 2 * latent_dim]``.

        Returns
        -------
        noise : ``[B, N, bands]`` with ``N = upsample * F``.
        envelope : ``[B, N, sources, envelope_bands]``, relative to the noise.
        weights : ``[B, N, sources, grid]``, sum 1.
        """
        b, base = self.config, self.base(x)
        x = self.norm(self.transformer(self.entry(x)))
        x = self.blocks.run(x)
        x = self.up(x).reshape(*base.shape[:2], -1)
        x = self.fine.run(x)
        noise, envelope, pitch = self.head(self.exit_norm(x)).float().split(self.split, -1)
        envelope = envelope.unflatten(-1, (b.sources, b.envelope_bands))
        weights = pitch.unflatten(-1, (b.sources, self.grid)).softmax(-1)
        return base + noise, envelope, weights

    def spectrum(self, parts: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Log-magnitudes ``[B, N, bins]`` of :meth:`parts`."""
        noise, envelope, weights = parts
        level = (noise @ self.noise_to_bins).float()
        power = (2 * level.clamp(-16.0, 3.0)).exp()
        for source in range(self.config.sources):
            above = (envelope[:, :, source] @ self.envelope_to_bins).float()
            comb = (weights[:, :, source] @ self.combs).float()
            power = power + (2 * (level + above).clamp(-16.0, 3.0)).exp() * comb
        return 0.5 * torch.log(power + FLOOR**2)

    def wave(self, log_magnitude: Tensor, steps: int | None = None) -> Tensor:
        """Log-magnitudes → wave ``[B, F * frame_hop]``. No gradient passes the phase."""
        n_fft = self.config.n_fft
        magnitude = (log_magnitude.clamp_max(3.0).exp() - FLOOR).clamp_min(0) / self.scale
        phase = spsi(magnitude, n_fft, self.hop)
        steps = self.config.phase_steps if steps is None else steps
        return griffin_lim(magnitude, phase, n_fft, self.hop, self.window, steps)

    def forward(self, x: Tensor) -> Tensor:
        return self.wave(self.spectrum(self.parts(x)))
