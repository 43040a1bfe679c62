"""Configurations of all sizes, from the 20 MB ``mini`` to ``paper``.

Conventions
-----------
Pydantic models in which unknown keys are errors. Times are in samples at ``rate`` unless stated
otherwise. The LM's and the conditioner's models live in :mod:`tokensep.lm.config`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from benchsep._util import invalid
from benchsep._util.reason import without_path
from benchsep._util.suggest import did_you_mean
from benchsep._util.yamlfile import read_yaml
from tokensep.errors import ConfigError

T = TypeVar("T", bound="Strict")

SEED: Any = Field(default=0, ge=0, lt=2**63)
Beta = Annotated[float, Field(ge=0, lt=1)]
"""Of AdamW."""
Minutes = Annotated[float | None, Field(gt=0)]
"""A budget; None: no limit."""
Weight = Annotated[float, Field(ge=0)]
"""Weight of a loss term; 0 disables it."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A probability or a share, 0 to 1."""


class Strict(BaseModel):
    """Base of every configuration: frozen, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


LARGEST_COUNT = 2**20
"""Upper limit for integers (widths, rates, windows, layers)."""


def check_counts(config: Strict, *may_be_zero: str) -> None:
    """Raise for integers out of range.

    Raises
    ------
    ValueError
        A field below 1 (below 0, if it may be zero) or above :data:`LARGEST_COUNT`.
    """
    for name, value in config:
        least = 0 if name in may_be_zero else 1
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) is int and not least <= number <= LARGEST_COUNT:
                raise ValueError(f"{name} is {value!r:.60}, expected {least} to {LARGEST_COUNT:,}")


class TeacherConfig(Strict):
    """The frozen self-supervised teacher of the semantic branch.

    ``kind="mini"``: :class:`tokensep.codec.hubert.HubertMini` (its sizes are below);
    ``kind="hf"``: a ``transformers`` HuBERT, named by ``name`` (hub id or local folder).
    """

    kind: Literal["mini", "hf"] = "mini"
    name: str = ""
    rate: int = 44100
    n_fft: int = 1764
    hop: int = 882
    mels: int = 80
    dim: int = 192
    heads: int = 4
    layers: int = 4
    ffn: int = 576
    conv_pos: int = 31
    conv_pos_groups: int = 16
    classes: int = 100
    power: float = 0.3
    """Exponent of the signed power compression of the averaged hidden states."""
    resampling: Literal["fourier", "sinc"] = "fourier"
    """Resampling to the 16 kHz of an ``hf`` teacher: exact for band-limited signals, or by a short
    windowed sinc, as the public H-Codec-2.0 does it."""

    @model_validator(mode="after")
    def _counts(self) -> TeacherConfig:
        check_counts(self)
        return self


class BandsConfig(Strict):
    """Sizes of the design ``bands`` (:mod:`tokensep.codec.bands` and ``harmonic``)."""

    n_fft: int = 2048
    upsample: int = 4
    """Spectra per token frame."""
    bands: int = 128
    context: int = 2
    """Context in frames of semantic tokens on either side for the prediction of band levels."""
    pitch_fft: int = 4096
    pitch_low: float = 41.2
    pitch_octaves: float = 5.5
    pitch_per_octave: int = 48
    pitch_dims: int = 16
    """Number of acoustic latents for pitch; the others are for band levels."""
    search: int = 8
    """Beam width of the search for codebook entries (1: greedy)."""
    sources: int = 2
    """Number of harmonic combs with their own envelope."""
    envelope_bands: int = 48
    dim: int = 320
    ffn: int = 640
    blocks: int = 2
    heads: int = 5
    transformer_ffn: int = 448
    fine_dim: int = 224
    fine_ffn: int = 448
    fine_blocks: int = 3
    phase_steps: int = 4
    """Steps of fast Griffin-Lim after the initial phase from spectral peaks."""

    @model_validator(mode="after")
    def _counts(self) -> BandsConfig:
        check_counts(self, "context", "blocks", "fine_blocks", "phase_steps")
        return self


class CodecConfig(Strict):
    """H-Codec, dual path: acoustic and semantic branches, two residual quantisers, one decoder."""

    rate: int = 44100
    n_fft: int = 1764
    hop: int = 882
    stride: int = 2
    """STFT frames per token frame."""
    mels: int = 128
    """Log-mel bands given to the encoder next to the STFT (0: none)."""
    phase_input: bool = True
    entry_kernel: int = 3
    input_bins: int | None = None
    """STFT bins that the encoder sees (lowest first); None: all."""
    dim: int = 256
    ffn: int = 768
    encoder_blocks: int = 4
    encoder_transformers: int = 1
    decoder_blocks: int = 8
    decoder_transformers: int = 1
    decoder_resnets: int = 0
    heads: int = 4
    kernel: int = 7
    dropout: float = 0.0
    transformer_ffn: int = 512
    latent_dim: int = 64
    codebook_size: int = 512
    acoustic_layers: int = 12
    semantic_layers: int = 4
    semantic_dim: int = 128
    semantic_strides: tuple[int, ...] = (1, 2)
    quantizer_dropout: float = 0.0
    ema_decay: float = 0.99
    dead_threshold: float = 0.05
    """An entry with a lower running use per step is replaced by a vector of the batch."""
    teacher: TeacherConfig = TeacherConfig()
    # Where the public H-Codec-2.0 differs; the defaults are those of the shipped weights.
    norm_eps: float = 1e-5
    """Added to the variance in LayerNorm and GroupNorm (RMSNorm: 1e-6 always)."""
    log_scale: float = 0.25
    """Factor of the log-magnitudes that the encoder sees."""
    exit_padding: Literal["minimal", "centred"] = "minimal"
    """Zeros around the encoder's last convolution: ``kernel - stride`` in all, or ``kernel // 2``
    on both sides, which centres the kernel on a token frame's first STFT frame."""
    recurrence: bool = False
    """An LSTM between the norm and the attention of each transformer layer."""
    attention_bias: bool = False
    """Query, key and value have a bias."""
    decoder_entry: Literal["subpixel", "repeat"] = "subpixel"
    """From token frames to STFT frames: a convolution of 3 that makes ``stride`` frames of each, or
    each repeated ``stride`` times and a convolution of ``stride + 1``."""
    prior_norm: bool = False
    """A GroupNorm after the decoder's last ResNet block."""
    log_magnitude_floor: float | None = -14.0
    """Lowest natural-log magnitude of the output; None: no limit."""
    log_magnitude_ceiling: float = 6.1
    """Highest natural-log magnitude of the output."""
    semantic_bias: bool = True
    """First and last convolution and residual units of the semantic branch have a bias."""
    semantic_up: Literal["subpixel", "transposed"] = "subpixel"
    """Upsampling of the semantic decoder: as ``decoder_entry`` or a transposed convolution."""
    design: Literal["spectrum", "bands"] = "spectrum"
    """``spectrum``: encoder and decoder of HCodec-2.0, learned. ``bands``: a linear code of band
    energies and pitch, and a decoder of magnitudes; it follows ``bands`` and, of the fields above,
    ``rate``, ``hop``, ``stride``, ``kernel``, ``latent_dim`` and those of the quantisers and the
    semantic branch."""
    bands: BandsConfig = BandsConfig()

    @property
    def frame_hop(self) -> int:
        """Samples per token frame."""
        return self.hop * self.stride

    @property
    def frame_rate(self) -> float:
        """Token frames per second."""
        return self.rate / self.frame_hop

    @model_validator(mode="after")
    def _consistent(self) -> CodecConfig:
        parts = ("encoder_blocks", "decoder_blocks", "decoder_resnets")
        check_counts(self, "mels", *parts, "encoder_transformers", "decoder_transformers")
        if self.n_fft < self.hop or (self.n_fft - self.hop) % 2:
            raise ValueError(
                f"found n_fft {self.n_fft} and hop {self.hop}, expected n_fft larger than hop by "
                "an even number"
            )
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is not divisible by heads {self.heads}")
        if self.design == "bands":
            self._bands_consistent()
        return self

    def _bands_consistent(self) -> None:
        b = self.bands
        if self.frame_hop % b.upsample:
            raise ValueError(
                f"a frame of {self.frame_hop} samples cannot be divided into {b.upsample} equal "
                "hops"
            )
        if not 0 < b.pitch_dims < self.latent_dim:
            raise ValueError(f"found pitch_dims {b.pitch_dims}, expected 0 to latent_dim")
        if b.dim % b.heads:
            raise ValueError(f"bands.dim {b.dim} is not divisible by bands.heads {b.heads}")


PUBLIC_SWITCHES: dict[str, Any] = {
    "norm_eps": 1e-6,
    "log_scale": 1.0,
    "exit_padding": "centred",
    "recurrence": True,
    "attention_bias": True,
    "decoder_entry": "repeat",
    "prior_norm": True,
    "log_magnitude_floor": None,
    "log_magnitude_ceiling": math.log(100),
    "semantic_bias": False,
    "semantic_up": "transposed",
}
"""The differences between our ``paper`` network and the published H-Codec-2.0 (``tokensep
import-hcodec``)."""

PRESETS: dict[str, CodecConfig] = {
    "mini": CodecConfig(
        encoder_blocks=3,
        decoder_blocks=7,
        ffn=512,
        entry_kernel=1,
        transformer_ffn=256,
        semantic_dim=96,
    ),
    "small": CodecConfig(
        dim=512,
        ffn=1536,
        encoder_blocks=8,
        decoder_blocks=12,
        encoder_transformers=2,
        decoder_transformers=2,
        heads=8,
        transformer_ffn=1408,
        latent_dim=128,
        codebook_size=1024,
        acoustic_layers=8,
        semantic_layers=8,
        semantic_dim=384,
        quantizer_dropout=0.25,
        teacher=TeacherConfig(dim=384, heads=6, layers=8, ffn=1536, classes=500),
    ),
    "paper": CodecConfig(
        rate=48000,
        n_fft=1920,
        hop=960,
        stride=4,
        mels=0,
        dim=1536,
        ffn=4608,
        encoder_blocks=24,
        encoder_transformers=2,
        decoder_blocks=32,
        decoder_transformers=2,
        decoder_resnets=4,
        heads=24,
        dropout=0.1,
        transformer_ffn=4096,
        latent_dim=512,
        codebook_size=1024,
        acoustic_layers=16,
        semantic_layers=16,
        semantic_dim=1536,
        semantic_strides=(2, 1, 2),
        teacher=TeacherConfig(kind="hf", name="facebook/hubert-base-ls960", rate=48000),
    ),
}
PRESETS["hcodec-2"] = CodecConfig(
    **{
        **PRESETS["paper"].model_dump(),
        **PUBLIC_SWITCHES,
        "teacher": TeacherConfig(
            kind="hf", name="bosonai/hubert_base", rate=48000, resampling="sinc"
        ),
    }
)
"""The codecs of configs/tokensep/*-codec.yaml (a test keeps the two equal)."""


class LossConfig(Strict):
    """Weights of the codec's training losses (0 switches a term off)."""

    mel: Weight = 1.0
    mel_windows: tuple[int, ...] = (256, 1024, 2048, 4096)
    mel_bands: tuple[int, ...] = (24, 64, 96, 128)
    erb: Weight = 0.5
    """Log energies of 32 gammatone-shaped bands, 80 ms windows every 20 ms."""
    convergence: Weight = 0.3
    """Relative error of linear band magnitudes, for correct levels of loud parts."""
    bass: Weight = 0.0
    """Complex STFT distance below ``bass_hz``."""
    bass_hz: float = 250.0
    commit: Weight = 0.25
    semantic: Weight = 0.2
    adversarial: Weight = 0.0
    feature_match: Weight = 0.0
    discriminator_start: int = 0
    mpd_periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    mrd_windows: tuple[int, ...] = (2048, 1024, 512)
    discriminator_channels: int = 32

    @model_validator(mode="after")
    def _consistent(self) -> LossConfig:
        check_counts(self, "discriminator_start")
        windows, bands = len(self.mel_windows), len(self.mel_bands)
        if windows != bands:
            raise ValueError(
                f"found {windows} mel_windows and {bands} mel_bands, expected equal numbers"
            )
        return self


class SpectrogramLossConfig(Strict):
    """Weights in :class:`tokensep.codec.spectrogram_loss.SpectrogramLoss` (design ``bands``)."""

    quantile: Weight = 0.58
    bins: Weight = 0.7
    loud: Weight = 0.5
    erb: Weight = 1.0
    mel: Weight = 0.7
    patches: Weight = 0.5
    fine: Weight = 0.5
    convergence: Weight = 0.3


class CodecTrainConfig(Strict):
    """Settings of the codec's training."""

    seed: int = SEED
    batch: int = Field(default=12, ge=1)
    crop_seconds: float = Field(default=1.0, gt=0, le=3600)
    lr: float = Field(default=1e-3, gt=0)
    lr_min: float = Field(default=2e-5, ge=0)
    betas: tuple[Beta, Beta] = (0.8, 0.98)
    weight_decay: float = Field(default=1e-3, ge=0)
    warmup: int = Field(default=100, ge=0)
    clip: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.995, ge=0, lt=1)
    accumulate: int = Field(default=1, ge=1)
    precision: Literal["no", "bf16"] = "no"
    recompute: bool = False
    """Activation checkpointing: see :mod:`tokensep.recompute`."""
    continuous_steps: int = Field(default=200, ge=0)
    """Steps without quantisation before the codebooks start (by k-means on the latents)."""
    cpu_minutes: Minutes = None
    wall_minutes: Minutes = None
    max_steps: int = Field(default=1_000_000, ge=1)
    save_every: int = Field(default=100, ge=1)
    eval_every: int = Field(default=200, ge=1)
    shuffle_shards: int = Field(default=16, ge=1)
    """Number of shards in a window of the stream (``--shards``); crops are shuffled among the clips
    of a window."""
    workers: int = Field(default=0, ge=0, le=1024)
    """Processes that read shards ahead, beside each training process; any number gives the same
    crops."""
    losses: LossConfig = LossConfig()
    spectrogram: SpectrogramLossConfig = SpectrogramLossConfig()
    """Replaces ``losses`` for a codec of the design ``bands``."""
    pitch: Weight = 0.1
    """Weight of the pitch loss (design ``bands``)."""


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(path.read_text(encoding="utf-8"))
        return read_yaml(path)
    except (OSError, ValueError, RecursionError) as e:
        raise ConfigError(f"{path}: cannot be read as a configuration ({without_path(e)})") from e


def load(model: type[T], source: Path | dict[str, Any]) -> T:
    """A validated configuration from a dict, a JSON or a YAML file.

    Raises
    ------
    ConfigError
        A key is unknown, a type is wrong, or parts do not fit together; the message names each of
        them.
    """
    data = source
    if isinstance(source, Path):
        data = _read(source)
    try:
        return model.model_validate(data)
    except ValidationError as e:
        where = f"{source}: " if isinstance(source, Path) else ""
        faults = invalid.settings(e).items()
        parts = "; ".join(_told(model, name, fault) for name, fault in faults)
        raise ConfigError(f"{where}{parts}") from e


def _told(model: type[Strict], name: str, fault: str) -> str:
    """The name of a setting and its fault; for an unknown name, the known ones."""
    if not name:
        return fault
    unknown = fault == invalid.UNKNOWN and "." not in name
    return f"{name}: {fault}{did_you_mean(name, sorted(model.model_fields)) if unknown else ''}"
