"""A small U-Net over time and frequency, which predicts masks and gates per bin for the guided
decoder.

The decoder's other network (:class:`tokensep.decode.guide.Guide`) represents each spectrum as one
vector of 192 numbers, which cannot locate partials in 1,025 bins. This network compares
neighbouring bins in both channels, so it can use partials, onsets and stereo positions.

Conventions
-----------
maps       ``[B, K, N, bins]``: K maps over N spectra (time) and bins (frequency)
levels     time / 1, 1, 2, 4 and frequency / 4, 8, 16, 32; channels W, 2 W, 4 W, 6 W
edges      time is padded to a multiple of the coarsest step; the highest bin (of ``n_fft / 2 + 1``)
           gets the values of the bin below it
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stride(NamedTuple):
    """Of a level against the finer one; kernels are twice that in frequency."""

    time: int
    bins: int


STRIDES = (Stride(1, 4), Stride(1, 2), Stride(2, 2), Stride(2, 2))
TIME_STEP = math.prod(stride.time for stride in STRIDES)
BIN_STEP = math.prod(stride.bins for stride in STRIDES)
"""Spectra and bins of a cell of the coarsest level."""
WIDTHS = (1, 2, 4, 6)


class FineMask(nn.Module):
    """Input maps → maps of corrections; initialised so that all outputs are 0.

    Parameters
    ----------
    maps_in, maps_out : numbers of maps.
    bins : of a spectrum, ``n_fft / 2 + 1``; ``bins - 1`` is a multiple of :data:`BIN_STEP`.
    width : channels of the finest level.
    context : additional inputs per spectrum for the coarsest level.
    """

    def __init__(self, maps_in: int, maps_out: int, bins: int, width: int, context: int) -> None:
        super().__init__()
        sizes = [maps_in, *(w * width for w in WIDTHS)]
        pairs = list(zip(sizes[:-1], sizes[1:], STRIDES, strict=True))
        self.down = nn.ModuleList(_down(a, b, stride) for a, b, stride in pairs)
        self.up = nn.ModuleList(_up(b, a, stride) for a, b, stride in reversed(pairs[1:]))
        coarsest = (bins - 1) // BIN_STEP
        self.context = nn.Linear(context, sizes[-1] * coarsest)
        self.middle = nn.Sequential(*(Mixer(sizes[-1], coarsest) for _ in range(2)))
        self.exit = _up_conv(width, maps_out, STRIDES[0])
        self.direct = nn.Conv2d(maps_in, maps_out, 1)
        for parameter in (*self.exit.parameters(), *self.direct.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, maps: Tensor, context: Tensor) -> Tensor:
        """``[B, maps_in, N, bins]`` and ``[B, N, context]`` → ``[B, maps_out, N, bins]``."""
        count = maps.shape[2]
        x = functional.pad(maps[..., :-1], (0, 0, 0, -count % TIME_STEP))
        heard, levels = x.contiguous(memory_format=torch.channels_last), []
        x = heard
        for down in self.down:
            x = down(x)  # [B, K, N / time, (bins - 1) / frequency]
            levels.append(x)
        x = self.middle(x + self._at_coarsest(context, x))
        for up, finer in zip(self.up, reversed(levels[:-1]), strict=True):
            x = up(x) + finer
        x = self.exit(x) + self.direct(heard)
        return functional.pad(x[:, :, :count], (0, 1, 0, 0), mode="replicate")

    def _at_coarsest(self, context: Tensor, x: Tensor) -> Tensor:
        """Means of the context over the coarsest time step, as maps of the size of ``x``."""
        padded = functional.pad(context, (0, 0, 0, -context.shape[1] % TIME_STEP))
        means = padded.unflatten(1, (-1, TIME_STEP)).mean(2)
        return self.context(means).unflatten(-1, (x.shape[1], -1)).transpose(1, 2)


class Mixer(nn.Module):
    """Residual: neighbours in time and frequency, then all frequencies of a channel (TFC-TDF)."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(ChannelNorm(channels) for _ in range(2))
        self.near = nn.Conv2d(channels, channels, (7, 3), padding=(3, 1))
        self.far = nn.Linear(bins, bins)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, channels, N, bins]`` of the same shape."""
        x = x + functional.gelu(self.near(self.norms[0](x)))
        return x + self.out(functional.gelu(self.far(self.norms[1](x))))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each cell of ``[B, channels, N, bins]``."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; views only, where memory holds channels last."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _down(a: int, b: int, stride: Stride) -> nn.Module:
    conv = nn.Conv2d(a, b, _kernel(stride), stride, padding=(1, stride.bins // 2))
    return nn.Sequential(conv, ChannelNorm(b), nn.GELU())


def _up(a: int, b: int, stride: Stride) -> nn.Module:
    return nn.Sequential(_up_conv(a, b, stride), ChannelNorm(b), nn.GELU())


def _up_conv(a: int, b: int, stride: Stride) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(a, b, _kernel(stride), stride, padding=(1, stride.bins // 2))


def _kernel(stride: Stride) -> tuple[int, int]:
    """Twice the stride, so that cells overlap by half; three spectra where time is not strided."""
    return (4 if stride.time == 2 else 3, 2 * stride.bins)
