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

from benchsep._util.absent import package_absent, weights_absent
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


def sinc_kernels(source: int, target: int, zeros: int = 6, rolloff: float = 0.99) -> Tensor:
    """Kernels of a windowed-sinc resampler ``[target, 1, taps]``, for rates in lowest terms.

    Output sample ``n target + p`` is the inner product of kernel ``p`` with the input around
    sample ``n source``. The sinc's cutoff is ``rolloff`` times the lower Nyquist frequency, its
    window a squared cosine over ``zeros`` zero crossings: torchaudio's default resampler.
    """
    cutoff = rolloff * min(source, target)
    reach = math.ceil(zeros * source / cutoff)  # input samples on either side
    taps = torch.arange(-reach, reach + source, dtype=torch.float64) / source
    phases = torch.arange(target, dtype=torch.float64) / target
    # distance of each tap from the output's place, in zero crossings
    distance = ((taps[None] - phases[:, None]) * cutoff).clamp(-zeros, zeros)
    window = torch.cos(distance * math.pi / zeros / 2) ** 2
    return (torch.sinc(distance) * window * (cutoff / source)).float()[:, None]


def sinc_resample(wave: Tensor, source: int, target: int) -> Tensor:
    """Resampling by a short windowed sinc, ``[B, T]`` → ``[B, ceil(T target / source)]``."""
    divisor = math.gcd(source, target)
    down, up = source // divisor, target // divisor
    if down == up:
        return wave
    kernels = sinc_kernels(down, up).to(wave.device)
    reach = (kernels.shape[-1] - down) // 2
    padded = fn.pad(wave[:, None], (reach, reach + down))
    phases = fn.conv1d(padded, kernels, stride=down)  # [B, up, N]
    length = math.ceil(wave.shape[-1] * up / down)
    return phases.transpose(1, 2).flatten(1)[:, :length]


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
                    package_absent(
                        "teacher kind 'hf' needs transformers: pip install 'benchsep[train]'"
                    )
                ) from e
            try:
                model = HubertModel.from_pretrained(config.name)
            except OSError as e:
                reason = (str(e).strip().splitlines() or [type(e).__name__])[0][:120]
                raise Unavailable(
                    weights_absent(
                        f"no HuBERT at {config.name!r} ({reason}); on a machine with a network, "
                        f"run: hf download {config.name}. Or set teacher.name to a local folder, "
                        "or teacher.kind to 'mini'"
                    )
                ) from e
        self.model: nn.Module = model.eval()
        self.dim = int(model.config.hidden_size)

    @torch.no_grad()
    def forward(self, wave: Tensor) -> Tensor:
        to_rate = sinc_resample if self.config.resampling == "sinc" else resample
        wave = fn.pad(to_rate(wave, self.config.rate, 16000), (160, 160))
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
            f"the teacher has {config.rate} Hz and hop {config.hop}, the codec {rate} Hz and hop "
            f"{hop}; expected the same"
        )
    if config.kind == "hf" and (config.rate != rate or hop * 50 != rate):
        raise ConfigError(
            "HuBERT has 50 frames a second; "
            f"the codec's hop {hop} at {rate} Hz gives {rate / hop:g}"
        )
    teacher = MiniTeacher(config) if config.kind == "mini" else HuggingFaceTeacher(config)
    return teacher.eval().requires_grad_(False)
