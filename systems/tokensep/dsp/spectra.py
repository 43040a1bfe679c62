"""Short-time spectra of signals of any length, a block of frames at a time.

Conventions
-----------
frames    ``FFT`` samples every ``HOP``, Hann, centred, reflected at both ends, as
          ``torch.stft(center=True)`` has them: a block holds exactly its frames
length    a wave shorter than one window is filled up with zeros
inverse   weighted overlap-add over the sum of the squared windows, as ``torch.istft``
device    that of the waves

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
"""Frames of a block: 12 s at 44.1 kHz, 8 MB a channel."""
PIECE = 64
"""Frames that a CPU transforms back at a time."""


def frames_of(length: int) -> int:
    """Frames of a wave of ``length`` samples."""
    return 1 + max(length, FFT) // HOP


def blocks(waves: list[Tensor]) -> Iterator[tuple[int, list[Tensor]]]:
    """First frame and spectra ``[C, BINS, frames]`` of each of ``waves [C, T]``, block by block."""
    padded = [_padded(wave) for wave in waves]
    window = torch.hann_window(FFT, device=waves[0].device)
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
    if wave.shape[-1] < FFT:
        wave = functional.pad(wave, (0, FFT - wave.shape[-1]))
    return functional.pad(wave[None], (FFT // 2, FFT // 2), mode="reflect")[0]


def magnitude(spectrum: Tensor) -> Tensor:
    """``|spectrum|``: the values of ``spectrum.abs()``, a third of its time on a CPU.

    ``abs`` makes complex numbers of the magnitudes first and copies their real parts.
    """
    return torch.hypot(spectrum.real, spectrum.imag)


class Synthesis:
    """Spectra, block by block, back to waves ``[…, T]``.

    Parameters
    ----------
    shape : of the waves without their last dimension.
    length : T.
    device : of the spectra and the waves.
    """

    def __init__(self, shape: tuple[int, ...], length: int, device: torch.device) -> None:
        self.length, self.window = length, torch.hann_window(FFT, device=device)
        self.sums = torch.zeros(*shape, (frames_of(length) - 1) * HOP + FFT, device=device)

    def add(self, first: int, at: tuple[int, ...], spectrum: Tensor, factor: Tensor) -> None:
        """Add ``spectrum * factor`` to wave ``at``: the block that begins with frame ``first``.

        The product of the two is ``[C, BINS, frames]``; ``factor`` is real, and its last dimension
        may be 1.
        On a CPU a few frames at a time, which stay in its cache; the last ones first, as
        :func:`_lay` wants.
        """
        count, wave = spectrum.shape[-1], self.sums[at]  # wave [C, samples]
        out = wave.new_zeros(len(wave), count + FFT // HOP - 1, HOP)
        size = PIECE if wave.device.type == "cpu" else count
        for start in reversed(range(0, count, size)):
            cut = slice(start, start + size)
            scale = factor if factor.shape[-1] == 1 else factor[..., cut]
            product = (scale * spectrum[..., cut]).transpose(-1, -2)
            _lay(out[:, start:], torch.fft.irfft(product, FFT).mul_(self.window))
        wave[:, _samples(first, count)] += out.flatten(1)

    def finish(self) -> Tensor:
        """The waves."""
        cut = slice(FFT // 2, FFT // 2 + self.length)
        waves = self.sums[..., cut]
        waves /= self._weights()[cut]
        return waves

    def _weights(self) -> Tensor:
        """The squared windows of all frames, added up."""
        weights, count = self.window.new_zeros(self.sums.shape[-1]), frames_of(self.length)
        for first in range(0, count, BLOCK):
            held = min(BLOCK, count - first)
            out = weights.new_zeros(1, held + FFT // HOP - 1, HOP)
            _lay(out, (self.window**2).expand(1, held, FFT))
            weights[_samples(first, held)] += out.flatten()
        return weights


def _samples(first: int, frames: int) -> slice:
    """Where ``frames`` frames from ``first`` on lie in the padded wave."""
    return slice(first * HOP, (first + frames - 1) * HOP + FFT)


def _lay(out: Tensor, frames: Tensor) -> None:
    """Add ``frames [C, n, FFT]``, laid ``HOP`` apart, to ``out [C, n + FFT / HOP - 1 …, HOP]``.

    A frame is ``FFT / HOP`` pieces of a hop; piece j of all frames is added at once, j hops on. A
    sample thus gets its latest frame first: the order, and so the bits, of ``functional.fold``.
    """
    pieces = frames.unflatten(-1, (-1, HOP))  # [C, n, FFT / HOP, HOP]
    for j in range(pieces.shape[2]):
        out[:, j : j + pieces.shape[1]] += pieces[:, :, j]
