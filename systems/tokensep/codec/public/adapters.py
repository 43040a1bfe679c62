"""DAC, EnCodec and Mimi, as ``transformers`` has them, behind the ``Codec`` protocol.

Conventions
-----------
See :mod:`tokensep.codec.interface`. The models are used unchanged: no change of level, and only
zero padding on the right to whole frames (EnCodec 48 kHz: none). Bits per second are
``frame_rate * layers * log2(codebook_size)`` of one signal, whatever its channels.

========  =========  ========  ========  ========================================================
codec     rate       channels  frames/s  streams
========  =========  ========  ========  ========================================================
DAC       44,100 Hz  1         86.1      9 acoustic layers
EnCodec   48,000 Hz  2         150       16 acoustic layers; chunks of 1 s that overlap by 10 ms,
                                         each divided by its RMS
Mimi      24,000 Hz  1         12.5      1 semantic layer and 31 acoustic ones
========  =========  ========  ========  ========================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from tokensep.codec.interface import ChunkedCodes, Codes, check_wave
from tokensep.errors import UsageError


class PublicCodec(nn.Module):
    """What the adapters share.

    Parameters
    ----------
    model : a ``transformers`` model, in eval mode.
    """

    channels = 1
    chunked = False
    frame_hop: int
    codebook_size: int
    acoustic_layers: int
    semantic_layers = 0

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.rate = int(model.config.sampling_rate)
        self.codebook_size = int(model.config.codebook_size)

    @property
    def frame_rate(self) -> float:
        """Token frames per second."""
        return self.rate / self.frame_hop

    @property
    def bits_per_second(self) -> float:
        """Of one signal of ``channels`` channels."""
        layers = self.semantic_layers + self.acoustic_layers
        return self.frame_rate * layers * (self.codebook_size - 1).bit_length()

    def _padded(self, wave: Tensor) -> Tensor:
        """``[B, T]`` → ``[B, 1, F * frame_hop]``."""
        check_wave(wave, self.channels)
        return fn.pad(wave, (0, -wave.shape[-1] % self.frame_hop))[:, None]

    def encode(self, wave: Tensor) -> Codes:
        raise NotImplementedError

    def decode(self, codes: Codes) -> Tensor:
        raise NotImplementedError

    def latents(self, codes: Codes) -> Tensor:
        raise NotImplementedError

    def save_checkpoint(self, folder: Path) -> None:
        """As ``transformers`` writes it: a folder that :func:`open_public` reads again."""
        self.model.save_pretrained(folder)


def layers_asked(codebooks: int | None, available: int, name: str, least: int = 1) -> int:
    """How many codebooks to use.

    Raises
    ------
    UsageError
        More than the model has, or too few.
    """
    if codebooks is None:
        return available
    if not least <= codebooks <= available:
        raise UsageError(f"{name}: found codebooks={codebooks}, expected {least} to {available}")
    return codebooks


class DacCodec(PublicCodec):
    """Descript Audio Codec, mono."""

    def __init__(self, model: Any, codebooks: int | None = None) -> None:
        super().__init__(model)
        self.frame_hop = int(model.config.hop_length)
        self.acoustic_layers = layers_asked(codebooks, int(model.config.n_codebooks), "dac")

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Codes:
        x = self._padded(wave)
        codes = self.model.encode(x, n_quantizers=self.acoustic_layers).audio_codes  # [B, K, F]
        return Codes(acoustic=codes, semantic=codes[:, :0])

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        wave: Tensor = self.model.decode(audio_codes=codes.acoustic).audio_values  # [B, T]
        return wave

    @torch.no_grad()
    def latents(self, codes: Codes) -> Tensor:
        summed: Tensor = self.model.quantizer.from_codes(codes.acoustic)[0]  # [B, D, F]
        return summed.transpose(1, 2)


class MimiCodec(PublicCodec):
    """Mimi, mono; its first layers follow a self-supervised teacher: the semantic stream."""

    def __init__(self, model: Any, codebooks: int | None = None) -> None:
        super().__init__(model)
        config = model.config
        self.frame_hop = round(config.sampling_rate / config.frame_rate)
        self.semantic_layers = int(config.num_semantic_quantizers)
        available = int(config.num_quantizers)
        layers = layers_asked(codebooks, available, "mimi", self.semantic_layers)
        self.acoustic_layers = layers - self.semantic_layers

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Codes:
        layers = self.semantic_layers + self.acoustic_layers
        codes = self.model.encode(self._padded(wave), num_quantizers=layers).audio_codes
        return Codes.unstack(codes, self.semantic_layers)

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        wave: Tensor = self.model.decode(codes.stack()).audio_values  # [B, 1, T]
        return wave[:, 0]

    @torch.no_grad()
    def latents(self, codes: Codes) -> Tensor:
        summed: Tensor = self.model.quantizer.decode(codes.stack())  # [B, D, F]
        return summed.transpose(1, 2)


class EncodecCodec(PublicCodec):
    """EnCodec: 48 kHz, stereo, in chunks; or 24 kHz, mono, in one piece.

    ``bandwidth``: kbit/s, one of those that the model was trained for; the largest by default.
    """

    def __init__(self, model: Any, bandwidth: float | None = None) -> None:
        super().__init__(model)
        config = model.config
        self.channels = int(config.audio_channels)
        self.chunked = config.chunk_length is not None
        self.frame_hop = int(config.hop_length)
        offered = [float(b) for b in config.target_bandwidths]
        self.bandwidth = max(offered) if bandwidth is None else bandwidth
        if self.bandwidth not in offered:
            listed = ", ".join(f"{b:g}" for b in offered)
            raise UsageError(
                f"encodec: found bandwidth={self.bandwidth:g}, expected {listed} (kbit/s)"
            )
        layers = model.quantizer.get_num_quantizers_for_bandwidth(self.bandwidth)
        self.acoustic_layers = int(layers)

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Codes:
        check_wave(wave, self.channels)
        # chunks are not padded: zeros would lower the level that the last one is divided by
        whole = wave if wave.ndim == 3 else wave[:, None]
        x = whole if self.chunked else self._padded(wave)
        out = self.model.encode(x, None, self.bandwidth)
        codes = out.audio_codes  # [chunks, B, K, frames of a chunk]
        flat = codes.permute(1, 2, 0, 3).flatten(2)  # [B, K, F]
        if not self.chunked:
            return Codes(acoustic=flat, semantic=flat[:, :0])
        scales = None
        if out.audio_scales[0] is not None:
            scales = torch.cat(list(out.audio_scales), 1)  # [B, chunks]
        spare = int(out.last_frame_pad_length)
        return ChunkedCodes(flat, flat[:, :0], len(codes), scales, spare)

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        chunks, scales, spare = 1, None, 0
        if isinstance(codes, ChunkedCodes):
            chunks, scales, spare = codes.chunks, codes.scales, codes.spare
        parts = codes.acoustic.unflatten(2, (chunks, -1)).permute(2, 0, 1, 3)
        levels = [None] * chunks if scales is None else list(scales.split(1, 1))
        out = self.model.decode(parts, levels, last_frame_pad_length=spare)
        wave: Tensor = out.audio_values  # [B, C, T]
        return wave if self.channels > 1 else wave[:, 0]

    @torch.no_grad()
    def latents(self, codes: Codes) -> Tensor:
        summed: Tensor = self.model.quantizer.decode(codes.acoustic.transpose(0, 1))  # [B, D, F]
        return summed.transpose(1, 2)
