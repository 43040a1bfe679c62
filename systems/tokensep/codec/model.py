"""H-Codec, dual path: a mono wave into acoustic and semantic tokens, and back.

The design of HCodec-2.0 (arXiv 2512.20151; facts in the project's notes): STFT → ConvNeXt →
transformer → strided convolution → RVQ for the acoustic stream; a frozen self-supervised teacher →
strided encoder → its own RVQ for the semantic stream; both joined → transformer → ConvNeXt →
inverse STFT. Additions for small models: log-mel bands besides the STFT at the input, and an output
bias initialised with a mean spectrum.

Conventions
-----------
See :mod:`tokensep.codec.interface`. ``[B, F, C]`` inside. Training goes through ``forward``.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchsep._util.atomic import write_atomically
from benchsep._util.model_bounds import built
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import load_strictly, read_tensors, save_tensors
from tokensep.codec.bands import BandEncoder
from tokensep.codec.harmonic import HarmonicDecoder
from tokensep.codec.interface import Codes, check_wave
from tokensep.codec.layers import (
    ChannelGroupNorm,
    Conv,
    ConvNeXt,
    RepeatConv,
    ResNet,
    TransformerLayer,
    TransposedConv,
    UpConv,
    mel_filters,
    same_istft,
    same_stft,
)
from tokensep.codec.rvq import ResidualVQ
from tokensep.codec.teacher import feature_width, make_teacher
from tokensep.config import CodecConfig, load
from tokensep.errors import CheckpointError, ConfigError
from tokensep.recompute import Stack

TRAINING_STATISTICS = (".counts", ".sums")
"""Ends of the names of tensors that only training needs: running counts and sums of codebooks."""


def convnexts(c: CodecConfig, count: int) -> Stack:
    """The ConvNeXt blocks of an encoder or a decoder, each scaled by ``1 / count`` at first."""
    blocks = (ConvNeXt(c.dim, c.ffn, c.kernel, 1 / count, c.norm_eps) for _ in range(count))
    return Stack(blocks)


def transformer_layers(c: CodecConfig, count: int) -> Stack:
    """The transformer layers of an encoder or a decoder."""
    return Stack(
        TransformerLayer(c.dim, c.heads, c.transformer_ffn, c.recurrence, c.attention_bias)
        for _ in range(count)
    )


class AcousticEncoder(nn.Module):
    """Log-magnitude and phase (and log-mel) → token-rate latents ``[B, F / stride, latent]``."""

    window: Tensor
    filters: Tensor

    def __init__(self, c: CodecConfig) -> None:
        super().__init__()
        self.config = c
        self.bins = c.input_bins or c.n_fft // 2 + 1
        self.register_buffer("window", torch.hann_window(c.n_fft), persistent=False)
        if c.mels:
            filters = mel_filters(c.rate, c.n_fft, c.mels)
            self.register_buffer("filters", filters, persistent=False)
        width = self.bins * (2 if c.phase_input else 1) + c.mels
        self.entry = Conv(width, c.dim, c.entry_kernel)
        self.norm = nn.LayerNorm(c.dim, c.norm_eps)
        self.blocks = convnexts(c, c.encoder_blocks)
        self.transformers = transformer_layers(c, c.encoder_transformers)
        self.exit_norm = nn.LayerNorm(c.dim, c.norm_eps)
        kernel = 2 * c.stride + 1 if c.stride > 2 else 4
        centred = c.exit_padding == "centred"
        self.exit = Conv(c.dim, c.latent_dim, kernel, c.stride, centred=centred)

    def features(self, spec: Tensor) -> Tensor:
        """Network input from the complex STFT ``[B, F, bins]``."""
        magnitude = spec.abs()
        low = magnitude[..., : self.bins]
        # Natural-log magnitudes go from -11.5 (1e-5, 153 dB below a full-scale sine's n_fft / 4)
        # to 6; a quarter of that, and phase over pi, give inputs of about unit scale.
        parts = [torch.log(low.clamp_min(1e-5)) * self.config.log_scale]
        if self.config.phase_input:
            parts.append(torch.angle(spec[..., : self.bins]) / torch.pi)
        if self.config.mels:
            parts.append(torch.log(magnitude**2 @ self.filters + 1e-8) * self.config.log_scale)
        return torch.cat(parts, -1)

    def forward(self, wave: Tensor) -> Tensor:
        c = self.config
        spec = same_stft(wave, c.n_fft, c.hop, self.window)  # [B, F, bins]
        x = self.norm(self.entry(self.features(spec)))  # [B, F, dim]
        x = self.transformers.run(self.blocks.run(x))
        return self.exit(self.exit_norm(x))  # [B, F / stride, latent_dim]


class ResidualUnit(nn.Module):
    """ELU, k3, ELU, k1 around a residual (semantic branch)."""

    def __init__(self, dim: int, bias: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = (Conv(dim, dim, kernel, bias=bias) for kernel in (3, 1))
        self.act = nn.ELU()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.act(self.conv1(self.act(x))))


class SemanticEncoder(nn.Module):
    """Teacher features → token-rate latents."""

    def __init__(self, c: CodecConfig, teacher_dim: int) -> None:
        super().__init__()
        dim, bias = c.semantic_dim, c.semantic_bias
        parts: list[nn.Module] = [Conv(teacher_dim, dim, 3, bias=bias)]
        for stride in c.semantic_strides:
            parts += [ResidualUnit(dim, bias), ResidualUnit(dim, bias)]
            parts.append(Conv(dim, dim, 2 * stride if stride > 1 else 3, stride))
        self.layers = nn.Sequential(*parts, Conv(dim, c.latent_dim, 3, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class SemanticDecoder(nn.Module):
    """Semantic latents → teacher features; only the training loss uses it."""

    def __init__(self, c: CodecConfig, teacher_dim: int) -> None:
        super().__init__()
        dim, bias = c.semantic_dim, c.semantic_bias
        up = TransposedConv if c.semantic_up == "transposed" else UpConv
        parts: list[nn.Module] = [Conv(c.latent_dim, dim, 3, bias=bias)]
        for stride in reversed(c.semantic_strides):
            parts += [up(dim, dim, stride) if stride > 1 else Conv(dim, dim, 3)]
            parts += [ResidualUnit(dim, bias), ResidualUnit(dim, bias)]
        self.layers = nn.Sequential(*parts, Conv(dim, teacher_dim, 3, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Decoder(nn.Module):
    """Joined latents → wave, by predicted log-magnitude and phase (Vocos head)."""

    window: Tensor

    def __init__(self, c: CodecConfig) -> None:
        super().__init__()
        self.config = c
        self.register_buffer("window", torch.hann_window(c.n_fft), persistent=False)
        entry = RepeatConv if c.decoder_entry == "repeat" else UpConv
        self.entry = entry(2 * c.latent_dim, c.dim, c.stride)
        self.resnets = nn.ModuleList(
            ResNet(c.dim, c.dropout, c.norm_eps) for _ in range(c.decoder_resnets)
        )
        self.transformers = transformer_layers(c, c.decoder_transformers)
        self.prior_norm = ChannelGroupNorm(c.dim, c.norm_eps) if c.prior_norm else nn.Identity()
        self.norm = nn.LayerNorm(c.dim, c.norm_eps)
        self.blocks = convnexts(c, c.decoder_blocks)
        self.exit_norm = nn.LayerNorm(c.dim, c.norm_eps)
        self.head = nn.Linear(c.dim, 2 * (c.n_fft // 2 + 1))

    def start_at(self, log_magnitude: Tensor) -> None:
        """Start the output at a mean log-magnitude spectrum ``[bins]``.

        The head's bias is this spectrum with phase 0, and its weights are halved, so that the first
        outputs are near it: training starts at the average level instead of magnitude 1.
        """
        bins = log_magnitude.shape[0]
        with torch.no_grad():
            self.head.weight.mul_(0.5)
            self.head.bias[:bins] = log_magnitude
            self.head.bias[bins:] = 0

    def forward(self, x: Tensor) -> Tensor:
        c = self.config
        x = self.entry(x)  # [B, F / stride, 2 latent_dim] -> [B, F, dim]
        half = len(self.resnets) // 2
        for block in self.resnets[:half]:
            x = block(x)
        x = self.transformers.run(x)
        for block in self.resnets[half:]:
            x = block(x)
        x = self.blocks.run(self.norm(self.prior_norm(x)))
        # ISTFT head (Vocos, arXiv 2306.00814): one linear layer gives log-magnitude m and phase p
        # of every bin, [B, F, bins] each, and the spectrum is e^m (cos p + i sin p). The phase
        # needs no wrapping: sine and cosine do it.
        log_magnitude, phase = self.head(self.exit_norm(x)).float().chunk(2, -1)
        # Above, e^6.1 = 446 is a full-scale sine (n_fft / 4 = 441 at n_fft 1764; the public codec
        # clips at 100): an early decoder cannot overflow. Below, e^-14 = 8e-7 is silence.
        limits = c.log_magnitude_floor, c.log_magnitude_ceiling
        magnitude = torch.exp(log_magnitude.clamp(*limits))
        return same_istft(torch.polar(magnitude, phase), c.n_fft, c.hop, self.window)


@dataclass
class Pass:
    """The output of one training pass.

    ``output`` is the input of the decoder's losses: the wave, or log-magnitudes (design ``bands``,
    whose first comb's weights are ``pitch``).
    """

    output: Tensor
    commit: Tensor
    semantic: Tensor
    codes: Codes | None
    pitch: Tensor | None = None


class HCodec(nn.Module):
    """The codec.

    Parameters
    ----------
    config : see :class:`tokensep.config.CodecConfig`.
    teacher : a teacher; by default the one of ``config.teacher`` (``hf`` teachers are downloaded or
        read from a folder).
    """

    def __init__(self, config: CodecConfig, teacher: nn.Module | None = None) -> None:
        super().__init__()
        c = self.config = config
        strides = math.prod(c.semantic_strides)
        if strides != c.stride:
            raise ConfigError(
                f"semantic_strides {c.semantic_strides} multiply to {strides}; stride is {c.stride}"
            )
        self.teacher = teacher or make_teacher(c.teacher, c.rate, c.hop)
        dim = feature_width(self.teacher)
        bands = c.design == "bands"
        self.encoder: AcousticEncoder | BandEncoder
        self.encoder = BandEncoder(c) if bands else AcousticEncoder(c)
        self.semantic_encoder = SemanticEncoder(c, dim)
        self.semantic_decoder = SemanticDecoder(c, dim)
        self.acoustic_rvq, self.semantic_rvq = (
            ResidualVQ(
                c.latent_dim,
                c.codebook_size,
                layers,
                c.ema_decay,
                c.dead_threshold,
                c.quantizer_dropout,
            )
            for layers in (c.acoustic_layers, c.semantic_layers)
        )
        self.decoder: Decoder | HarmonicDecoder
        self.decoder = HarmonicDecoder(c) if bands else Decoder(c)
        self.tokens_fixed = bands  # a linear code is fitted once, before the training
        self.source: Path | None = None
        """Folder of the codec whose decoder is trained further."""

    channels = 1
    rate = property(lambda self: self.config.rate)
    frame_hop = property(lambda self: self.config.frame_hop)
    frame_rate = property(lambda self: self.config.frame_rate)
    codebook_size = property(lambda self: self.config.codebook_size)
    acoustic_layers = property(lambda self: self.config.acoustic_layers)
    semantic_layers = property(lambda self: self.config.semantic_layers)

    def train(self, mode: bool = True) -> HCodec:
        super().train(mode)
        self.teacher.eval()
        if self.tokens_fixed:  # in training mode, the codebooks would move
            self.acoustic_rvq.eval()
            self.semantic_rvq.eval()
        return self

    def forward(self, wave: Tensor, quantise: bool = True) -> Pass:
        """One training pass over ``[B, F * frame_hop]``; ``quantise=False`` skips the RVQs.

        The design ``bands`` is always quantised: its acoustic code builds on the semantic tokens.
        """
        if isinstance(self.encoder, BandEncoder):
            return self._bands_pass(wave, self.encoder)
        acoustic = self.encoder(wave)  # [B, F, latent_dim]
        target = self.teacher(wave)  # [B, F x stride, teacher_dim]
        semantic = self.semantic_encoder(target)  # [B, F, latent_dim]
        commit, codes = wave.new_zeros(()), None
        if quantise:
            acoustic, a_codes, a_loss = self.acoustic_rvq(acoustic)
            semantic, s_codes, s_loss = self.semantic_rvq(semantic)
            commit, codes = a_loss + s_loss, Codes(a_codes, s_codes)
        # the semantic tokens must be enough to predict the teacher's features
        distance = (self.semantic_decoder(semantic) - target).pow(2).mean()
        return Pass(self.decoder(torch.cat([acoustic, semantic], -1)), commit, distance, codes)

    def _bands_pass(self, wave: Tensor, encoder: BandEncoder) -> Pass:
        """Train only the decoder: encoder, semantic branch and codebooks are fixed."""
        assert isinstance(self.decoder, HarmonicDecoder)
        with torch.no_grad():
            target = self.teacher(wave)
            semantic, s_codes, _ = self.semantic_rvq(self.semantic_encoder(target))
            distance = (self.semantic_decoder(semantic) - target).pow(2).mean()
            latents = encoder(wave, semantic)
            acoustic, a_codes = self.acoustic_rvq.search(latents, self.config.bands.search)
        parts = self.decoder.parts(torch.cat([acoustic, semantic], -1))
        output, codes = self.decoder.spectrum(parts), Codes(a_codes, s_codes)
        commit = (latents - acoustic).pow(2).mean()
        return Pass(output, commit, distance, codes, parts[2][:, :, 0])

    @torch.no_grad()
    def quantised_semantic(self, wave: Tensor) -> Tensor:
        """Quantised semantic latents ``[B, F, latent_dim]`` of ``[B, F * frame_hop]``."""
        quantised: Tensor = self.semantic_rvq(self.semantic_encoder(self.teacher(wave)))[0]
        return quantised

    @torch.no_grad()
    def encode(self, wave: Tensor) -> Codes:
        """Codes of ``[B, T]``, padded on the right to whole frames.

        Raises
        ------
        AudioError
            Wrong shape, no samples, or samples that are not finite.
        """
        check_wave(wave, self.channels)
        wave = torch.nn.functional.pad(wave, (0, -wave.shape[-1] % self.frame_hop))
        was = self.training
        self.eval()  # otherwise encoding would update the codebooks
        known, semantic, _ = self.semantic_rvq(self.semantic_encoder(self.teacher(wave)))
        if isinstance(self.encoder, BandEncoder):
            width = self.config.bands.search
            _, acoustic = self.acoustic_rvq.search(self.encoder(wave, known), width)
        else:
            _, acoustic, _ = self.acoustic_rvq(self.encoder(wave))
        self.train(was)
        return Codes(acoustic, semantic)

    @torch.no_grad()
    def latents(self, codes: Codes) -> Tensor:
        """Summed codebook vectors of both streams, ``[B, F, 2 * latent_dim]``."""
        acoustic = self.acoustic_rvq.decode(codes.acoustic)
        return torch.cat([acoustic, self.semantic_rvq.decode(codes.semantic)], -1)

    @torch.no_grad()
    def decode(self, codes: Codes) -> Tensor:
        """Wave ``[B, F * frame_hop]`` of codes."""
        return self.decoder(self.latents(codes))

    def save_checkpoint(self, folder: Path, extra: dict[str, Any] | None = None) -> None:
        """Write ``config.json``, ``codec.safetensors`` (fp16) and the mini teacher's weights.

        Entry counts and sums of the codebooks are left out: inference does not need them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            k: (v.half() if v.is_floating_point() else v).contiguous()
            for k, v in self.state_dict().items()
            if not k.endswith(TRAINING_STATISTICS)
        }
        parts = {"codec": {k: v for k, v in state.items() if not k.startswith("teacher.")}}
        if self.config.teacher.kind == "mini":
            prefix = "teacher.model."
            parts["hubert"] = {
                k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)
            }
        for name, tensors in parts.items():
            save_tensors(folder / f"{name}.safetensors", tensors)
        data = {"codec": self.config.model_dump(mode="json"), **(extra or {})}
        write_atomically(folder / "config.json", json.dumps(data, indent=1) + "\n")

    @classmethod
    def from_checkpoint(cls, folder: Path | str, teacher: nn.Module | None = None) -> HCodec:
        """A frozen codec in eval mode; ``teacher`` as in the constructor.

        Raises
        ------
        CheckpointError
            A file is missing, corrupt, or made for another configuration.
        ConfigError
            ``config.json`` has an unknown key.
        """
        folder = Path(folder)
        path = folder / "config.json"
        if not path.is_file():
            raise CheckpointError(f"{path} does not exist: expected a codec checkpoint folder")
        try:
            data = parse_json(path.read_text())["codec"]
        except (ValueError, KeyError, TypeError) as e:
            raise CheckpointError(f"{path} is not a codec configuration: {e!r}") from e
        config = load(CodecConfig, data)
        tensors = read_tensors(folder / "codec.safetensors")
        # What the files leave out stays as it was made: statistics of the codebooks' training, and
        # a Hugging Face teacher, which comes from its own files.
        if config.teacher.kind == "mini":
            hubert = read_tensors(folder / "hubert.safetensors")
            tensors |= {f"teacher.model.{k}": v for k, v in hubert.items()}
        else:
            teacher = teacher or make_teacher(config.teacher, config.rate, config.hop)
        codec = built(lambda: cls(config, teacher), data, tensors, path)
        own = {
            k: v
            for k, v in codec.state_dict().items()
            if k.endswith(TRAINING_STATISTICS)
            or (codec.config.teacher.kind == "hf" and k.startswith("teacher."))
        }
        load_strictly(codec, tensors | own, folder)
        return codec.eval().requires_grad_(False)
