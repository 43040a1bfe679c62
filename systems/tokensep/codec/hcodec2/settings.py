"""The published configuration file, read strictly, as a :class:`~tokensep.config.CodecConfig`.

The keys are those of ``large_12.5hz_config.yaml`` (github.com/alibaba/unified-audio, Apache-2.0).
What that network fixes in code is a constant here: 50 STFT frames a second, heads of 64 channels,
a feed-forward width of at most 4096, four ResNet blocks, HuBERT base as the teacher.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from tokensep.config import PUBLIC_SWITCHES, CodecConfig, Strict, TeacherConfig, load

STFT_RATE = 50
"""STFT frames a second, in whatever configuration."""
HEAD = 64
TEACHER = "bosonai/hubert_base"
"""The HuBERT whose features the published weights were trained with, on the Hugging Face hub."""


class BackboneSettings(Strict):
    """What the file says of the encoder and of the decoder."""

    dim: int
    intermediate_dim: int
    n_fft: int = 1920
    hop_length: int = 960
    convnext_layers: int = 12
    transformer_layers: int = 2
    target_frame_rate: float = 6.25
    causal: Literal[False] = False


class EncoderSettings(BackboneSettings):
    dimension: int


class DecoderSettings(BackboneSettings):
    input_channels: int


class QuantiserSettings(Strict):
    dim: int
    codebook_size: int
    num_quantizers: int
    decay: float = 0.8
    kmeans_init: bool = False
    kmeans_iters: int = 10
    quantize_dropout: bool = False


class SemanticEncoderSettings(Strict):
    input_channels: int
    encode_channels: int
    out_channels: int
    channel_ratios: tuple[Literal[1], ...]
    strides: tuple[int, ...]


class SemanticDecoderSettings(Strict):
    code_dim: int
    output_channels: int
    decode_channels: int
    channel_ratios: tuple[Literal[1], ...]
    strides: tuple[int, ...]


class PublicSettings(Strict):
    """The whole file. Parts that our codec has once must agree."""

    sampling_rate: int
    encoder_config: EncoderSettings
    decoder_config: DecoderSettings
    quantizer_config: QuantiserSettings
    semantic_encoder_config: SemanticEncoderSettings
    semantic_decoder_config: SemanticDecoderSettings

    @model_validator(mode="after")
    def _one_network(self) -> PublicSettings:
        e, d, q = self.encoder_config, self.decoder_config, self.quantizer_config
        s, t = self.semantic_encoder_config, self.semantic_decoder_config
        shared = ("dim", "intermediate_dim", "n_fft", "hop_length", "target_frame_rate")
        agree = [
            (f"encoder and decoder {name}", getattr(e, name), getattr(d, name)) for name in shared
        ]
        agree += [
            ("latents of encoder and quantiser", e.dimension, q.dim),
            ("latents of semantic encoder and quantiser", s.out_channels, q.dim),
            ("latents of semantic decoder and quantiser", t.code_dim, q.dim),
            ("decoder input and both latents", d.input_channels, 2 * q.dim),
            ("semantic input and output", s.input_channels, t.output_channels),
            ("semantic widths", s.encode_channels, t.decode_channels),
            ("semantic strides, of the decoder reversed", s.strides, t.strides[::-1]),
            ("semantic strides and frame rate", math.prod(s.strides), self.stride),
            ("hop_length at 50 frames a second", e.hop_length * STFT_RATE, self.sampling_rate),
        ]
        for what, one, other in agree:
            if one != other:
                raise ValueError(f"{what}: found {one} and {other}, expected equal values")
        if e.dim % HEAD:
            raise ValueError(
                f"dim is {e.dim}, expected a multiple of {HEAD}, the channels of a head"
            )
        return self

    @property
    def stride(self) -> int:
        """STFT frames per token frame."""
        return int(STFT_RATE / self.encoder_config.target_frame_rate)

    def codec(self, teacher: str = TEACHER) -> CodecConfig:
        """Our configuration of this network."""
        e, d, q = self.encoder_config, self.decoder_config, self.quantizer_config
        return CodecConfig(
            rate=self.sampling_rate,
            n_fft=e.n_fft,
            hop=e.hop_length,
            stride=self.stride,
            mels=0,
            dim=e.dim,
            ffn=e.intermediate_dim,
            encoder_blocks=e.convnext_layers,
            encoder_transformers=e.transformer_layers,
            decoder_blocks=d.convnext_layers,
            decoder_transformers=d.transformer_layers,
            decoder_resnets=4,
            heads=e.dim // HEAD,
            dropout=0.1,
            transformer_ffn=min(4 * e.dim, 4096),
            latent_dim=q.dim,
            codebook_size=q.codebook_size,
            acoustic_layers=q.num_quantizers,
            semantic_layers=q.num_quantizers,
            semantic_dim=self.semantic_encoder_config.encode_channels,
            semantic_strides=self.semantic_encoder_config.strides,
            ema_decay=q.decay,
            teacher=TeacherConfig(
                kind="hf", name=teacher, rate=self.sampling_rate, resampling="sinc"
            ),
            **PUBLIC_SWITCHES,
        )


def read_settings(path: Path) -> PublicSettings:
    """The published configuration file.

    Raises
    ------
    ConfigError
        It cannot be read, has a key that is not known here, or describes a network that ours
        cannot be (causal, other channel ratios, parts that do not agree).
    """
    return load(PublicSettings, path)
