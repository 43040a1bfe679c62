"""Building blocks of the codec: channels-last layers and the STFT pair without centring.

Conventions
-----------
Sequences are ``[B, F, C]`` (channels last: every heavy operation is then a plain matrix product,
which is what CPUs do best). "Same" STFT: ``(n_fft - hop) / 2`` zeros on both sides and no centring,
so a wave of ``F * hop`` samples has exactly ``F`` frames (HCodec-2.0, Vocos).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as fn


def frame(x: Tensor, size: int, hop: int) -> Tensor:
    """Overlapping frames of the last axis: ``[B, T]`` → ``[B, N, size]``.

    Equal to ``x.unfold(-1, size, hop)``; for whole multiples it is built from slices, because the
    gradient of ``unfold`` is many times slower than the network on a CPU.
    """
    if size % hop:
        return x.unfold(-1, size, hop)
    ratio, blocks = size // hop, x.shape[-1] // hop
    count = blocks - ratio + 1
    chunks = x[:, : blocks * hop].reshape(len(x), blocks, hop)
    return torch.cat([chunks[:, i : i + count] for i in range(ratio)], -1)


def overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Sum of overlapping frames: ``[B, N, size]`` → ``[B, (N - 1) * hop + size]``."""
    # frame i begins at sample i hop, so sample t is the sum of frames[i, t - i hop] over i
    batch, count, size = frames.shape
    if size % hop:
        total = (count - 1) * hop + size
        return fn.fold(frames.transpose(1, 2), (1, total), (1, size), stride=(1, hop))[:, 0, 0]
    # cut each frame into `ratio` pieces of a hop; piece i of frame n belongs to hop n + i
    ratio = size // hop
    out = frames.new_zeros(batch, count + ratio - 1, hop)
    parts = frames.reshape(batch, count, ratio, hop)
    for i in range(ratio):
        out = out + fn.pad(parts[:, :, i], (0, 0, i, ratio - 1 - i))
    return out.reshape(batch, -1)


def same_stft(wave: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """``[B, F*hop]`` → complex ``[B, F, n_fft//2+1]``."""
    pad = (n_fft - hop) // 2
    return torch.fft.rfft(frame(fn.pad(wave, (pad, n_fft - hop - pad)), n_fft, hop) * window)


def same_istft(spec: Tensor, n_fft: int, hop: int, window: Tensor) -> Tensor:
    """Inverse of :func:`same_stft` by weighted overlap-add: ``[B, F, bins]`` → ``[B, F*hop]``."""
    frames = spec.shape[1]
    pad = (n_fft - hop) // 2
    # analysis and synthesis window multiply to window^2; dividing by their sum undoes both, so
    # same_istft(same_stft(x)) = x wherever that sum is not small
    wave = overlap_add(torch.fft.irfft(spec, n=n_fft) * window, hop)
    envelope = overlap_add((window**2).expand(1, frames, n_fft), hop)
    span = slice(pad, pad + frames * hop)
    return wave[:, span] / envelope[:, span].clamp_min(1e-4)


def mel_filters(rate: int, n_fft: int, bands: int, low: float = 0.0) -> Tensor:
    """Slaney-free triangular HTK-mel filters of unit sum: ``[bins, bands]``.

    A band narrower than one bin takes the nearest bin, so that no band is ever empty.
    """

    def to_mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    # On the CPU whatever the default device: sizes are counted on "meta", which has no values.
    place: dict[str, Any] = {"dtype": torch.float64, "device": "cpu"}
    edges = torch.linspace(to_mel(low), to_mel(rate / 2), bands + 2, **place)
    hz = 700 * (10 ** (edges / 2595) - 1)
    bins = torch.arange(n_fft // 2 + 1, **place) * rate / n_fft
    up = (bins[:, None] - hz[None, :-2]) / (hz[1:-1] - hz[:-2])
    down = (hz[None, 2:] - bins[:, None]) / (hz[2:] - hz[1:-1])
    weights = torch.minimum(up, down).clamp_min(0)
    for band in torch.nonzero(weights.sum(0) < 1e-3).flatten().tolist():
        nearest = int((bins - hz[band + 1]).abs().argmin())
        weights[nearest, band] = 1.0
    return (weights / weights.sum(0, keepdim=True)).float()


class DepthwiseConv(nn.Module):
    """Depthwise convolution over time, "same" length, on ``[B, F, C]``."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim, 1, kernel) / math.sqrt(kernel))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.kernel = kernel

    def forward(self, x: Tensor) -> Tensor:
        y = fn.conv1d(
            x.transpose(1, 2), self.weight, self.bias, padding=self.kernel // 2, groups=x.shape[-1]
        )
        return y.transpose(1, 2)


class Conv(nn.Module):
    """Full convolution on ``[B, F, C]`` as one matrix product over the gathered taps.

    Zeros around the input: ``kernel - stride`` in all, the larger half at the end; with
    ``centred``, ``kernel // 2`` at either end.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        *,
        bias: bool = True,
        centred: bool = False,
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        before = (kernel - stride) // 2
        self.padding = (kernel // 2,) * 2 if centred else (before, kernel - stride - before)
        self.linear = nn.Linear(inputs * kernel, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel == 1 and self.stride == 1:
            return self.linear(x)
        # "same" length: F / stride frames out
        x = fn.pad(x, (0, 0, *self.padding))
        count = (x.shape[1] - self.kernel) // self.stride + 1
        span = (count - 1) * self.stride + 1
        # tap k of every output frame, [B, F', C] each: side by side they are the rows of a product
        taps = [x[:, k : k + span : self.stride] for k in range(self.kernel)]
        return self.linear(torch.cat(taps, -1))


class UpConv(nn.Module):
    """Sub-pixel upsampling in time by ``stride`` with one frame of context on either side."""

    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int = 3) -> None:
        super().__init__()
        self.stride = stride
        self.conv = Conv(inputs, outputs * stride, kernel)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, _ = x.shape
        # [B, F, stride x C] -> [B, F x stride, C]: a frame's channels become consecutive frames
        return self.conv(x).reshape(batch, frames * self.stride, -1)


class RepeatConv(nn.Module):
    """Upsampling in time: every frame ``stride`` times, then a convolution of ``stride + 1``."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = Conv(inputs, outputs, stride + 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.repeat_interleave(self.stride, 1))


class TransposedConv(nn.Module):
    """Upsampling in time by a transposed convolution of ``2 stride``, on ``[B, F, C]``."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        # (F - 1) stride + 2 stride - 2 padding + output padding = F stride
        self.conv = nn.ConvTranspose1d(
            inputs,
            outputs,
            2 * stride,
            stride,
            padding=(stride + 1) // 2,
            output_padding=stride % 2,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.transpose(1, 2)).transpose(1, 2)


class ConvNeXt(nn.Module):
    """ConvNeXt block: depthwise, LayerNorm, expand, GELU, shrink, layer scale, residual."""

    def __init__(self, dim: int, ffn: int, kernel: int, scale: float, eps: float = 1e-5) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv(dim, kernel)
        self.norm = nn.LayerNorm(dim, eps)
        self.up = nn.Linear(dim, ffn)
        self.down = nn.Linear(ffn, dim)
        self.scale = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(fn.gelu(self.up(self.norm(self.depthwise(x)))))
        return x + self.scale * y


class ChannelGroupNorm(nn.GroupNorm):
    """GroupNorm of at most 32 groups over ``[B, F, C]``; a group's statistics span all frames."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__(math.gcd(32, dim), dim, eps)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class ResNet(nn.Module):
    """GroupNorm, swish, k3 convolution, twice, around a residual (HCodec-2.0's decoder entry)."""

    def __init__(self, dim: int, dropout: float, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelGroupNorm(dim, eps), ChannelGroupNorm(dim, eps)
        self.conv1, self.conv2 = Conv(dim, dim, 3), Conv(dim, dim, 3)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(fn.silu(self.norm1(x)))
        y = fn.silu(self.norm2(y))
        return x + self.conv2(self.dropout(y))


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with a learned gain."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rope(frames: int, head_dim: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``[F, head_dim]`` of rotary positions (halves rotated, base 10 000).

    They are on the device of ``like``, in float32 or its type where that is wider.
    """
    device, dtype = like.device, torch.promote_types(like.dtype, torch.float32)
    inverse = 10000 ** (-torch.arange(0, head_dim, 2, device=device, dtype=dtype) / head_dim)
    angle = torch.arange(frames, device=device, dtype=dtype)[:, None] * inverse
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary positions to ``[B, H, F, D]``."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class TransformerLayer(nn.Module):
    """Non-causal pre-norm layer: RMSNorm, RoPE attention, SwiGLU.

    ``recurrence`` puts an LSTM in front of the attention: it reads the frames from first to last.
    """

    def __init__(
        self, dim: int, heads: int, ffn: int, recurrence: bool = False, bias: bool = False
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = RMSNorm(dim), RMSNorm(dim)
        self.lstm = nn.LSTM(dim, dim, batch_first=True) if recurrence else None
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.out = nn.Linear(dim, dim, bias=False)
        self.gate_up = nn.Linear(dim, 2 * ffn, bias=False)
        self.down = nn.Linear(ffn, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        seen = self.norm1(x)
        if self.lstm is not None:
            seen, _ = self.lstm(seen)
        qkv = self.qkv(seen).reshape(batch, frames, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [B, heads, F, dim / heads] each
        cos, sin = rope(frames, dim // self.heads, x)
        y = fn.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + self.out(y.transpose(1, 2).reshape(batch, frames, dim))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, -1)
        return x + self.down(fn.silu(gate) * up)
