"""Adversaries of the codec: multi-period, and multi-band complex STFT.

After HiFi-GAN (arXiv 2010.05646) for the first and the Descript codec (arXiv 2306.06546) for the
second: the complex spectrum is cut into bands, each with its own convolutions.

Conventions
-----------
Waves ``[B, T]``. A discriminator returns its scores (near 1 for real, near 0 for decoded audio) and
the feature maps of its layers; a set of discriminators returns one such pair each.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils.parametrizations import weight_norm

from tokensep.codec.layers import frame
from tokensep.config import LossConfig

DiscriminatorOutput = tuple[Tensor, list[Tensor]]
BANDS = ((0.0, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


def _conv(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding))


class PeriodDiscriminator(nn.Module):
    """Sees the wave folded at one period: ``[B, 1, T / period, period]``."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = [1, channels, 4 * channels, 16 * channels, 32 * channels]
        self.layers = nn.ModuleList(_conv(a, b, (5, 1), (3, 1)) for a, b in pairwise(widths))
        self.layers.append(_conv(widths[-1], widths[-1], (5, 1)))
        self.judge = _conv(widths[-1], 1, (3, 1))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        x = fn.pad(wave[:, None], (0, -wave.shape[-1] % self.period), mode="reflect")
        x = x.reshape(len(wave), 1, -1, self.period)
        features = []
        for layer in self.layers:
            x = fn.leaky_relu(layer(x), 0.1)
            features.append(x)
        return self.judge(x), features


class BandDiscriminator(nn.Module):
    """Sees the complex STFT at one resolution, in five bands."""

    window: Tensor

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        bins = size // 2 + 1
        self.edges = [(round(low * bins), round(high * bins)) for low, high in BANDS]
        self.bands = nn.ModuleList(
            nn.ModuleList(
                [
                    _conv(2, channels, (3, 9)),
                    _conv(channels, channels, (3, 9), (1, 2)),
                    _conv(channels, channels, (3, 9), (1, 2)),
                    _conv(channels, channels, (3, 9), (1, 2)),
                    _conv(channels, channels, (3, 3)),
                ]
            )
            for _ in self.edges
        )
        self.judge = _conv(channels, 1, (3, 3))

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        spec = torch.fft.rfft(frame(wave, self.size, self.size // 4) * self.window)
        image = torch.stack([spec.real, spec.imag], 1)
        features, outputs = [], []
        for (low, high), layers in zip(self.edges, self.bands, strict=True):
            x = image[..., low:high]
            assert isinstance(layers, nn.ModuleList)
            for layer in layers:
                x = fn.leaky_relu(layer(x), 0.1)
                features.append(x)
            outputs.append(x)
        return self.judge(torch.cat(outputs, -1)), features


class Discriminators(nn.Module):
    """All discriminators that a :class:`tokensep.config.LossConfig` asks for."""

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        channels = config.discriminator_channels
        self.members = nn.ModuleList(
            [
                *(PeriodDiscriminator(p, channels) for p in config.mpd_periods),
                *(BandDiscriminator(s, channels) for s in config.mrd_windows),
            ]
        )

    def forward(self, wave: Tensor) -> list[DiscriminatorOutput]:
        # Zero mean and one peak: the adversary judges the sound, not its level.
        wave = wave - wave.mean(-1, keepdim=True)
        wave = 0.8 * wave / (wave.abs().amax(-1, keepdim=True) + 1e-5)
        return [member(wave) for member in self.members]


def discriminator_loss(real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]) -> Tensor:
    """Least squares: real towards 1, fake towards 0; mean over the discriminators."""
    terms = [
        (1 - r).pow(2).mean() + f.pow(2).mean() for (r, _), (f, _) in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()


def generator_losses(
    real: list[DiscriminatorOutput], fake: list[DiscriminatorOutput]
) -> tuple[Tensor, Tensor]:
    """(adversarial, feature matching): fakes towards 1; L1 between the feature maps."""
    adversarial = torch.stack([(1 - f).pow(2).mean() for f, _ in fake]).mean()
    distances = [
        fn.l1_loss(b, a.detach())
        for (_, from_real), (_, from_fake) in zip(real, fake, strict=True)
        for a, b in zip(from_real, from_fake, strict=True)
    ]
    return adversarial, torch.stack(distances).mean()
