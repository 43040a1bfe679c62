"""Short-time spectra of signals of any length, a block of frames at a time.

Conventions
-----------
frames    ``FFT`` samples every ``HOP``, Hann, centred, reflected at both ends, as
          ``torch.stft(center=True)`` has them: a block holds exactly its frames
length    a wave shorter than one window is filled up with zeros
inverse   weighted overlap-add over the sum of the squared windows, as ``torch.istft``

An hour of stereo is 1.2 GB of samples and 4.8 GB of spectrum: no function here holds the latter.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

FFT, HOP = 2048, 512
BINS = FFT // 2 + 1
BLOCK = 1024
"""Frames of a block: 12 s at 44.1 kHz, 17 MB a channel."""


def frames_of(length: int) -> int:
    """Frames of a wave of ``length`` samples."""
    return 1 + max(length, FFT) // HOP


def blocks(waves: list[Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
    """First frame and spectra ``[C, BINS, frames]`` of each of ``waves [C, T]``, block by block."""
    padded = [_padded(wave) for wave in waves]
    window = torch.hann_window(FFT)
    count = frames_of(waves[0].shape[-1])
    for first in range(0, count, BLOCK):
        held = min(BLOCK, count - first)
        cut = _samples(first, held)
        yield (
            first,
            [
                torch.stft(p[:, cut], FFT, HOP, window=window, center=False, return_complex=True)
                for p in padded
            ],
        )


def _padded(wave: Tensor) -> Tensor:
    """Zeros up to one window, then the reflection at both ends."""
    filled = functional.pad(wave, (0, max(0, FFT - wave.shape[-1])))
    return functional.pad(filled[None], (FFT // 2, FFT // 2), mode="reflect")[0]


class Synthesis:
    """Spectra, block by block, back to waves ``[…, T]``.

    Parameters
    ----------
    shape : of the waves without their last dimension.
    length : T.
    """

    def __init__(self, shape: tuple[int, ...], length: int) -> None:
        self.length, self.window = length, torch.hann_window(FFT)
        self.sums = torch.zeros(*shape, (frames_of(length) - 1) * HOP + FFT)

    def add(self, first: int, at: tuple[int, ...], spectrum: Tensor) -> None:
        """Add the block ``[C, BINS, frames]`` that begins with frame ``first`` to wave ``at``."""
        frames = torch.fft.irfft(spectrum.transpose(-1, -2), FFT) * self.window
        self.sums[at][..., _samples(first, frames.shape[-2])] += _overlapped(frames)

    def finish(self) -> Tensor:
        """The waves."""
        cut = slice(FFT // 2, FFT // 2 + self.length)
        waves = self.sums[..., cut]
        waves /= self._weights()[cut]
        return waves

    def _weights(self) -> Tensor:
        """The squared windows of all frames, added up."""
        weights, count = torch.zeros(self.sums.shape[-1]), frames_of(self.length)
        for first in range(0, count, BLOCK):
            held = min(BLOCK, count - first)
            windows = (self.window**2).expand(1, held, FFT)
            weights[_samples(first, held)] += _overlapped(windows)[0]
        return weights


def _samples(first: int, frames: int) -> slice:
    """Where ``frames`` frames from ``first`` on lie in the padded wave."""
    return slice(first * HOP, (first + frames - 1) * HOP + FFT)


def _overlapped(frames: Tensor) -> Tensor:
    """``[C, frames, FFT]`` laid ``HOP`` apart and added up: ``[C, samples]``."""
    count = frames.shape[-2]
    samples = (count - 1) * HOP + FFT
    folded = functional.fold(
        frames.transpose(-1, -2), (1, samples), kernel_size=(1, FFT), stride=(1, HOP)
    )
    return folded[:, 0, 0]
