"""Encodes and decodes a true stem with a codec: the upper bound for any language model over its
tokens.

Conventions
-----------
stem      float32 ``[channels, T]`` at any rate; it comes back with the same shape and rate
channels  a mono codec codes each channel separately; a stereo codec codes both together, and a mono
          stem as two equal channels
level     for the codec of an LM, the stem is scaled to the LM's level; otherwise it is unchanged
pieces    20 s with cross-fades, to limit memory; not needed for codecs that work in chunks
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from benchsep.audio import Audio, fit_length
from tokensep.codec.interface import device_of
from tokensep.decode.render import piece_samples
from tokensep.dsp.stereo import SILENT, rms
from tokensep.dsp.windows import cross_faded
from tokensep.errors import AudioError

Samples = NDArray[np.float32]


class Ceiling:
    """Encodes and decodes stems.

    Parameters
    ----------
    codec : a :class:`tokensep.codec.interface.Codec`, frozen.
    loudness : RMS in dB that the mixture is brought to before, and the stem back after; None: no
        change of level.
    """

    def __init__(self, codec: Any, loudness: float | None = None) -> None:
        self.codec, self.loudness = codec, loudness

    def __call__(self, stem: ArrayLike, rate: int, level: float | None = None) -> Samples:
        """The decoded stem.

        ``level`` is the RMS of the mono mixture, which sets the gain (default: the stem's own).

        Raises
        ------
        AudioError
            Samples that are not finite, or more than two channels for a stereo codec.
        """
        audio = Audio.of(stem, rate)
        own = rms(audio.samples)
        level = own if level is None or self.loudness is None else level
        if min(level, own) < SILENT:
            return np.zeros_like(audio.samples)
        gain = 1.0 if self.loudness is None else float(10 ** (self.loudness / 20) / level)
        at_rate = Audio(gain * audio.samples, rate).resampled(self.codec.rate)
        with torch.no_grad():
            wave = self._through(torch.from_numpy(at_rate.samples))
        back = Audio(wave.cpu().numpy(), self.codec.rate).resampled(rate).samples
        return fit_length(back, audio.samples.shape[1]) / np.float32(gain)

    def _through(self, wave: Tensor) -> Tensor:
        """``[C, T]`` at the codec's rate, all channels."""
        if self.codec.channels == 1:
            return torch.cat([self._pieces(channel[None]) for channel in wave])
        if len(wave) > self.codec.channels:
            raise AudioError(
                f"found {len(wave)} channels, and this codec takes {self.codec.channels}; mix "
                "them down"
            )
        decoded = self._pieces(wave.expand(self.codec.channels, -1))
        return decoded if len(wave) > 1 else decoded.mean(0, keepdim=True)

    def _pieces(self, wave: Tensor) -> Tensor:
        """As many channels as the codec codes together, ``[C, T]``."""
        length = wave.shape[1]
        if getattr(self.codec, "chunked", False):
            return self._code(wave)[:, :length]
        window, overlap = piece_samples(self.codec.frame_hop, self.codec.frame_rate)
        padded = torch.nn.functional.pad(wave, (0, window))
        return cross_faded(
            length, window, overlap, lambda start, end: self._code(padded[:, start:end])
        )

    def _code(self, wave: Tensor) -> Tensor:
        """``[C, T]`` → at least as long, on the codec's device."""
        batch = wave if self.codec.channels == 1 else wave[None]
        decoded: Tensor = self.codec.decode(self.codec.encode(batch.to(device_of(self.codec))))
        return decoded if self.codec.channels == 1 else decoded[0]
