"""The frozen self-supervised teacher of the semantic branch: ``hubert-mini`` or a real HuBERT.

Conventions
-----------
A teacher maps a mono wave ``[B, T]`` at the codec's rate to ``[B, F, dim]``, one frame per STFT
hop: the mean of all hidden states (embedding included), compressed as ``sign(x) |x|^power``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from tokensep.codec.hubert import HubertMini
from tokensep.config import TeacherConfig
from tokensep.errors import ConfigError, Unavailable


def compress(states: list[Tensor] | tuple[Tensor, ...], power: float) -> Tensor:
    """Mean over layers, then signed power compression."""
    mean = torch.stack(list(states)).mean(0)
    return mean.sign() * mean.abs().clamp_min(1e-12) ** power


def resample(wave: Tensor, source: int, target: int) -> Tensor:
    """Band-limited resampling by the Fourier method, ``[B, T]`` → ``[B, T * target / source]``.

    Exact for band-limited input; a quarter of a second of mirrored signal hides the circular wrap.
    """
    # rate ratio up / down in lowest terms; a multiple of `down` samples becomes one of `up`
    divisor = math.gcd(source, target)
    up, down = target // divisor, source // divisor
    length = wave.shape[-1]
    margin = min(source // 4, length - 1) // down * down
    body = -(-length // down) * down
    x = fn.pad(wave[:, None], (0, body - length))
    x = fn.pad(x, (margin, margin), mode="reflect")[:, 0] if margin else x[:, 0]
    size = x.shape[-1] // down * up
    # the same spectrum on a longer or shorter time grid: bins are added as zeros or dropped
    spectrum = torch.fft.rfft(x)
    bins = size // 2 + 1
    spectrum = (
        spectrum[:, :bins]
        if bins <= spectrum.shape[-1]
        else fn.pad(spectrum, (0, bins - spectrum.shape[-1]))
    )
    y = torch.fft.irfft(spectrum, n=size) * (up / down)  # irfft divides by the new length
    start = margin // down * up
    return y[:, start : start + math.ceil(length * up / down)]


class MiniTeacher(nn.Module):
    """``hubert-mini`` as a teacher; its rate and hop are the codec's."""

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.dim = config.dim
        self.model = HubertMini(config)

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        return compress(self.model.hidden(wave), self.config.power)


class HuggingFaceTeacher(nn.Module):
    """A ``transformers`` HuBERT from the hub or a folder: 16 kHz, 160 zeros on both sides."""

    def __init__(self, config: TeacherConfig, model: Any = None) -> None:
        super().__init__()
        self.config = config
        if model is None:
            try:
                from transformers import HubertModel
            except ImportError as e:
                raise Unavailable(
                    "teacher kind 'hf' needs transformers: pip install 'benchsep[train]'"
                ) from e
            try:
                model = HubertModel.from_pretrained(config.name)
            except OSError as e:
                raise Unavailable(
                    f"no HuBERT at {config.name!r} ({str(e)[:120]}): "
                    "give teacher.name a local folder "
                    "or a hub id that this machine can reach, or use teacher.kind 'mini'"
                ) from e
        self.model: nn.Module = model.eval()
        self.dim = int(model.config.hidden_size)

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        wave = fn.pad(resample(wave, self.config.rate, 16000), (160, 160))
        states = self.model(wave, output_hidden_states=True).hidden_states
        return compress(states, self.config.power)


def feature_width(teacher: nn.Module) -> int:
    """Width of a teacher's features, its ``dim``."""
    return int(getattr(teacher, "dim"))  # noqa: B009 (torch types attributes as tensors)


def make_teacher(config: TeacherConfig, rate: int, hop: int) -> MiniTeacher | HuggingFaceTeacher:
    """A frozen teacher in eval mode.

    Raises
    ------
    ConfigError
        The teacher's frames do not fall on the codec's STFT frames.
    """
    if config.kind == "mini" and (config.rate, config.hop) != (rate, hop):
        raise ConfigError(
            f"teacher works at {config.rate} Hz, hop {config.hop}; the codec at {rate} Hz, "
            f"hop {hop}: make them equal"
        )
    if config.kind == "hf" and (config.rate != rate or hop * 50 != rate):
        raise ConfigError(
            "HuBERT has 50 frames a second; "
            f"the codec's hop {hop} at {rate} Hz gives {rate / hop:g}"
        )
    teacher = MiniTeacher(config) if config.kind == "mini" else HuggingFaceTeacher(config)
    return teacher.eval().requires_grad_(False)
