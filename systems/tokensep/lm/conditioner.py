"""The conditioner: mixture audio in, one embedding per token frame out.

Conventions
-----------
wave      float32 ``[B, T]`` at the codec's rate, ``T = F x frame_hop``
embedding ``[B, F, dim]``; bidirectional over the window

Two kinds. :class:`ConformerEncoder` is trained with the LM from log-mel frames, optionally with the
frozen codec's continuous encoding of the mixture (an option that shows the LM the target space
directly, for little training data). :class:`SSLEncoder` is the paper's ablation: frozen HuBERT
states and one linear layer. Conformer block after Gulati et al. 2020 (arXiv 2005.08100), sizes and
RoPE on some heads after UniSE (paper.md §3.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensep.errors import ConfigError
from tokensep.lm import rope
from tokensep.lm.config import EncoderConfig, TokenSepConfig
from tokensep.recompute import Stack

LOG_FLOOR = 1e-5
"""Band magnitude that counts as silence."""


def mel_filters(rate: int, n_fft: int, bands: int) -> Tensor:
    """Triangular HTK-mel filters ``[bands, n_fft // 2 + 1]`` from 0 to ``rate / 2``.

    A band narrower than an FFT bin would be empty: each filter is at least one bin wide on both
    sides, so that no feature is constant.
    """
    # HTK: mel(f) = 2595 log10(1 + f / 700); bands are equally spaced in mel
    top = 2595.0 * math.log10(1.0 + rate / 2 / 700.0)
    edges = 700.0 * (10 ** (torch.linspace(0, top, bands + 2) / 2595.0) - 1.0)
    bins = torch.linspace(0, rate / 2, n_fft // 2 + 1)
    width = rate / n_fft
    left = torch.minimum(edges[:-2], edges[1:-1] - width)[:, None]
    centre = edges[1:-1, None]
    right = torch.maximum(edges[2:], edges[1:-1] + width)[:, None]
    # triangle over (left, centre, right): the lower of its two sides, [bands, bins]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0)


class LogMel(nn.Module):
    """Log-mel frames ``[B, T] → [B, T / hop, bands]``, frame i centred on its own hop."""

    window: Tensor
    filters: Tensor

    def __init__(self, rate: int, n_fft: int, hop: int, bands: int) -> None:
        super().__init__()
        if n_fft < hop:
            raise ConfigError(
                f"n_fft {n_fft} is shorter than the hop {hop}: frames would miss audio"
            )
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("filters", mel_filters(rate, n_fft, bands), persistent=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Zero-padded at both ends by (n_fft - hop) / 2, so that T / hop frames come out."""
        left = (self.n_fft - self.hop) // 2
        padded = F.pad(wave, (left, self.n_fft - self.hop - left))
        frames = padded.unfold(-1, self.n_fft, self.hop) * self.window  # [B, T / hop, n_fft]
        magnitude = torch.fft.rfft(frames).abs()  # [B, T / hop, bins]
        # natural logarithms from -11.5 (the floor) to about 6: a quarter is of unit scale
        return torch.log((magnitude @ self.filters.T).clamp_min(LOG_FLOOR)) / 4.0


class FeedForward(nn.Module):
    """LayerNorm → linear → SiLU → linear."""

    def __init__(self, dim: int, mult: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, dim * mult), nn.Linear(dim * mult, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.down(self.dropout(F.silu(self.up(self.norm(x))))))


class SelfAttention(nn.Module):
    """Bidirectional attention; the first ``rope_heads`` heads rotate."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads, self.width = config.heads, config.dim // config.heads
        self.rotating = config.heads if config.rope_heads is None else config.rope_heads
        self.norm = nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, frames, 3, self.heads, self.width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [B, heads, F, width] each
        if self.rotating:
            cos, sin = rope.tables(torch.arange(frames, device=x.device), self.width, like=x.dtype)
            q, k = (self._rotate(part, cos, sin) for part in (q, k))
        y = F.scaled_dot_product_attention(q, k, v)
        return self.dropout(self.out(y.transpose(1, 2).reshape(batch, frames, dim)))

    def _rotate(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """``x [B, heads, F, width]``: the first heads know positions, the others do not."""
        rotated = rope.rotate(x[:, : self.rotating], cos, sin)
        return torch.cat([rotated, x[:, self.rotating :]], dim=1)


class ConvModule(nn.Module):
    """LayerNorm → pointwise GLU → depthwise → norm → SiLU → pointwise."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        dim = config.dim
        self.norm = nn.LayerNorm(dim)
        self.gate = nn.Linear(dim, 2 * dim, bias=False)
        self.depthwise = nn.Conv1d(dim, dim, config.kernel, padding="same", groups=dim, bias=False)
        self.inner: nn.Module = (
            nn.BatchNorm1d(dim) if config.conv_norm == "batch" else nn.LayerNorm(dim)
        )
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = F.glu(self.gate(self.norm(x)), dim=-1)  # a * sigmoid(b) of the two halves: [B, F, dim]
        y = self.depthwise(y.transpose(1, 2))  # along time: [B, dim, F]
        if isinstance(self.inner, nn.BatchNorm1d):
            y = self.inner(y).transpose(1, 2)
        else:
            y = self.inner(y.transpose(1, 2))
        return self.dropout(self.out(F.silu(y)))


class ConformerBlock(nn.Module):
    """½ FFN, attention, convolution, ½ FFN, LayerNorm; all residual.

    The two half-step feed-forward layers around attention are the Macaron structure of the paper.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.ffn1 = FeedForward(config.dim, config.ffn_mult, config.dropout)
        self.attention = SelfAttention(config)
        self.conv = ConvModule(config)
        self.ffn2 = FeedForward(config.dim, config.ffn_mult, config.dropout)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + 0.5 * self.ffn1(x)
        x = x + self.attention(x)
        x = x + self.conv(x)
        x = x + 0.5 * self.ffn2(x)
        return self.norm(x)


class ConformerEncoder(nn.Module):
    """Log-mel (and codec latents) → Conformer → one embedding per token frame."""

    def __init__(self, config: TokenSepConfig) -> None:
        super().__init__()
        own = config.encoder
        self.config, self.ratio = own, own.frames_per_token
        hop = config.frame_hop // self.ratio
        self.logmel = LogMel(config.rate, max(own.n_fft, hop), hop, own.mels)
        stacked = self.ratio if own.subsample == "before" else 1
        self.project = nn.Linear(own.mels * stacked, own.dim)
        self.latents = nn.Linear(own.latent_dim, own.dim) if own.codec_latents else None
        self.blocks = Stack(ConformerBlock(own) for _ in range(own.layers))
        if own.subsample == "after" and self.ratio > 1:
            self.pool = nn.Conv1d(own.dim, own.dim, self.ratio, stride=self.ratio)

    def forward(self, wave: Tensor, latents: Tensor | None = None) -> Tensor:
        """``wave [B, F x frame_hop]``, ``latents [B, F, latent_dim]`` → ``[B, F, dim]``."""
        mel = self.logmel(wave)
        batch, frames, bands = mel.shape
        before = self.config.subsample == "before"
        if before:
            # the `ratio` mel frames of a token frame side by side: [B, F, ratio x bands]
            mel = mel.reshape(batch, frames // self.ratio, self.ratio * bands)
        x = self.project(mel)  # [B, F or F x ratio, dim]
        if self.latents is not None:
            if latents is None:
                raise ConfigError(
                    "this encoder is configured with codec_latents, and none were passed"
                )
            y = self.latents(latents)
            x = x + (y if before else y.repeat_interleave(self.ratio, dim=1))
        x = self.blocks.run(x)
        if not before and self.ratio > 1:
            x = self.pool(x.transpose(1, 2)).transpose(1, 2)  # [B, F x ratio, dim] -> [B, F, dim]
        return x


class SSLEncoder(nn.Module):
    """Frozen self-supervised features and one linear layer (the paper's ablation).

    ``features(wave [B, T]) → [B, M, ssl_dim]`` at any frame rate is set by the owner
    (:meth:`attach`); it is averaged or repeated to the token rate. It never enters the checkpoint.
    """

    def __init__(self, config: TokenSepConfig) -> None:
        super().__init__()
        self.hop = config.frame_hop
        self.project = nn.Linear(config.encoder.ssl_dim, config.encoder.dim)
        self._features: tuple[Callable[[Tensor], Tensor], ...] = ()

    def attach(self, features: Callable[[Tensor], Tensor]) -> None:
        """Give the frozen feature function."""
        # In a tuple, or a frozen model would become a part of this one and of its checkpoint.
        self._features = (features,)

    def forward(self, wave: Tensor, latents: Tensor | None = None) -> Tensor:
        if not self._features:
            raise ConfigError("encoder.kind is 'ssl' but no frozen model was attached")
        with torch.no_grad():
            states = self._features[0](wave)
        frames = -(-wave.shape[-1] // self.hop)
        # [B, M, ssl_dim] -> [B, F, ssl_dim]
        pooled = F.adaptive_avg_pool1d(states.transpose(1, 2), frames).transpose(1, 2)
        return self.project(pooled)


def shuffled(embedding: Tensor, training: bool) -> Tensor:
    """Frames ``[B, F, dim]`` in random order, each row its own; outside training always the same.

    In training the order follows torch's global generator, so that no fixed permutation can be
    learned.
    """
    batch, frames, _ = embedding.shape
    generator = None if training else torch.Generator().manual_seed(frames)
    rows = 1 if generator else batch
    # the ranks of random numbers are a random permutation [rows, F]
    order = torch.rand(rows, frames, generator=generator).argsort(1).expand(batch, frames)
    return embedding.gather(1, order.to(embedding.device)[..., None].expand_as(embedding))


def build(config: TokenSepConfig) -> ConformerEncoder | SSLEncoder:
    """The encoder that a configuration names."""
    return SSLEncoder(config) if config.encoder.kind == "ssl" else ConformerEncoder(config)
