"""The interface of a codec for the language model.

Conventions
-----------
Waves are float32 ``[B, T]`` at ``rate`` Hz, mono, nominal range +-1; a codec whose ``channels`` is
2 takes and returns ``[B, 2, T]``. Codes are int64. A token frame lasts ``frame_hop`` samples;
``encode`` pads on the right to a whole number of frames, so ``F = ceil(T / frame_hop)``, and
``decode`` returns exactly ``F * frame_hop`` samples: cut to ``T``.
Layer 0 of a stream is the coarsest. A codec of overlapping chunks gives :class:`ChunkedCodes`: more
frames than that, and at least ``T`` samples back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tokensep.errors import AudioError


@dataclass(frozen=True)
class Codes:
    """Tokens of a batch of mono signals.

    Attributes
    ----------
    acoustic : int64 ``[B, Ka, F]``, entries in ``[0, codebook_size)``.
    semantic : int64 ``[B, Ks, F]``, entries in the same range; ``Ks`` may differ from ``Ka``.
    """

    acoustic: Tensor
    semantic: Tensor

    def stack(self) -> Tensor:
        """Both streams on one axis, semantic (coarse) first: ``[B, Ks + Ka, F]``."""
        return torch.cat([self.semantic, self.acoustic], dim=1)

    @classmethod
    def unstack(cls, codes: Tensor, semantic_layers: int) -> Codes:
        """Inverse of :meth:`stack`."""
        return cls(acoustic=codes[:, semantic_layers:], semantic=codes[:, :semantic_layers])


@dataclass(frozen=True)
class ChunkedCodes(Codes):
    """Tokens of overlapping chunks; the frames of all chunks are concatenated.

    Attributes
    ----------
    chunks : how many; each has ``F / chunks`` frames.
    scales : levels by which the chunks were divided, ``[B, chunks]``, or None. They must be
        transmitted, but are not tokens.
    spare : padding frames at the end of the last chunk.
    """

    chunks: int
    scales: Tensor | None
    spare: int


class Codec(Protocol):
    """The public interface of :class:`tokensep.codec.model.HCodec`.

    ``HCodec.from_checkpoint(folder)`` reads ``config.json``, ``codec.safetensors`` and, for the
    mini teacher, ``hubert.safetensors``, and returns a frozen model in eval mode.
    """

    rate: int
    channels: int
    frame_hop: int
    frame_rate: float
    codebook_size: int
    acoustic_layers: int
    semantic_layers: int

    def encode(self, wave: Tensor) -> Codes:
        """``[B, T]`` at ``rate`` → codes with ``F = ceil(T / frame_hop)`` frames. No gradient."""

    def decode(self, codes: Codes) -> Tensor:
        """Codes → wave ``[B, F * frame_hop]``. No gradient."""

    def latents(self, codes: Codes) -> Tensor:
        """Codes → the summed codebook vectors, both streams joined: ``[B, F, 2 * latent_dim]``."""

    def to(self, device: torch.device | str) -> Codec:
        """Move to a device, in place."""

    def save_checkpoint(self, folder: Path) -> None:
        """Write safetensors and JSON."""


def check_wave(wave: Tensor, channels: int) -> None:
    """Check a wave for a codec with ``channels`` channels.

    Raises
    ------
    AudioError
        Wrong shape, no samples, or samples that are not finite.
    """
    expected = "[batch, samples]" if channels == 1 else f"[batch, {channels}, samples]"
    fits = wave.ndim == 2 if channels == 1 else wave.ndim == 3 and wave.shape[1] == channels
    if not fits or not wave.shape[-1]:
        raise AudioError(f"found a wave of shape {tuple(wave.shape)}, expected {expected}")
    if not torch.isfinite(wave).all():
        raise AudioError("the wave has NaN or infinite samples; remove them first")


def device_of(codec: Any) -> torch.device:
    """Device of a codec; the CPU for a codec without parameters."""
    return next((p.device for p in getattr(codec, "parameters", list)()), torch.device("cpu"))
