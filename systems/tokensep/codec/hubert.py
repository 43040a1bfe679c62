"""``hubert-mini``: a small HuBERT over log-mel frames, trained by masked prediction.

Same idea and same transformer as HuBERT (Hsu et al. 2021, arXiv 2106.07447): hidden units are
k-means classes of an earlier representation (here log-mel frames), spans of the input are masked,
and the model predicts the classes of the masked frames. The convolutional waveform encoder is
replaced by a log-mel front end, which a CPU can afford. The encoder's layers carry the names of
``transformers``' ``HubertEncoder``, so its weights load there one to one (tests/systems/tokensep).

Conventions
-----------
``[B, F, C]``; 50 frames a second; ``F = T / hop`` for a wave of ``F * hop`` samples.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn
from torch.nn.utils.parametrizations import weight_norm

from tokensep.codec.layers import mel_filters, same_stft
from tokensep.config import TeacherConfig


class Attention(nn.Module):
    """Multi-head self-attention with the parameter names of ``HubertAttention``."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.q_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, frames, dim = x.shape
        q, k, v = (
            p(x).reshape(batch, frames, self.heads, -1).transpose(1, 2)
            for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        y = fn.scaled_dot_product_attention(q, k, v)
        return self.out_proj(y.transpose(1, 2).reshape(batch, frames, dim))


class FeedForward(nn.Module):
    """Two linear layers around a GELU, named as in ``HubertFeedForward``."""

    def __init__(self, dim: int, ffn: int) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(dim, ffn)
        self.output_dense = nn.Linear(ffn, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(fn.gelu(self.intermediate_dense(x)))


class EncoderLayer(nn.Module):
    """Post-norm transformer layer, as in HuBERT base."""

    def __init__(self, dim: int, heads: int, ffn: int) -> None:
        super().__init__()
        self.attention = Attention(dim, heads)
        self.layer_norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, ffn)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.attention(x))
        return self.final_layer_norm(x + self.feed_forward(x))


class PositionalConv(nn.Module):
    """Grouped convolution in place of position embeddings."""

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        conv = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=groups)
        self.conv = weight_norm(conv, name="weight", dim=2)
        self.trim = 1 if kernel % 2 == 0 else 0

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.transpose(1, 2))
        y = y[:, :, : y.shape[-1] - self.trim]
        return fn.gelu(y).transpose(1, 2)


class Encoder(nn.Module):
    """Positions, LayerNorm, then the layers; returns every hidden state, input first."""

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.pos_conv_embed = PositionalConv(config.dim, config.conv_pos, config.conv_pos_groups)
        self.layer_norm = nn.LayerNorm(config.dim)
        self.layers = nn.ModuleList(
            EncoderLayer(config.dim, config.heads, config.ffn) for _ in range(config.layers)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.layer_norm(x + self.pos_conv_embed(x))
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1]))
        return states


class HubertMini(nn.Module):
    """Log-mel front end, HuBERT encoder, class head.

    Parameters
    ----------
    config : sizes; see :class:`tokensep.config.TeacherConfig`.
    """

    window: Tensor
    filters: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, config: TeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)
        filters = mel_filters(config.rate, config.n_fft, config.mels)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("mean", torch.zeros(config.mels))
        self.register_buffer("std", torch.ones(config.mels))
        self.project = nn.Linear(config.mels, config.dim)
        self.mask_embedding = nn.Parameter(torch.randn(config.dim) * 0.1)
        self.encoder = Encoder(config)
        self.head = nn.Linear(config.dim, config.classes)

    def log_mel(self, wave: Tensor) -> Tensor:
        """``[B, F*hop]`` → unnormalised natural-log mel power ``[B, F, mels]``."""
        c = self.config
        power = same_stft(wave, c.n_fft, c.hop, self.window).abs() ** 2
        return torch.log(power @ self.filters + 1e-5)

    def hidden(self, wave: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """Hidden states, the embedding first; ``mask`` ``[B, F]`` (bool) hides frames."""
        x = self.project((self.log_mel(wave) - self.mean) / self.std)
        if mask is not None:
            x = torch.where(mask[..., None], self.mask_embedding, x)
        return self.encoder(x)

    def forward(self, wave: Tensor, mask: Tensor | None = None) -> Tensor:
        """Class logits ``[B, F, classes]``."""
        return self.head(self.hidden(wave, mask)[-1])
