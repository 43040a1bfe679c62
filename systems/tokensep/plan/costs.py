"""Computes days, bytes and tokens from counts and rates.

Conventions
-----------
A row is a name, a value, its unit, and how the value came about:

``counted``     by running the network without data (:mod:`tokensep.plan.counts`)
``arithmetic``  from counted values, settings and the length of the music
``assumed``     a rate of :class:`tokensep.plan.rates.Rates` decides it

Units are decimal: 1 GB is 1e9 bytes, 1 TFLOP is 1e12 operations.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokensep.config import CodecConfig, CodecTrainConfig
from tokensep.errors import ConfigError
from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.plan import counts
from tokensep.plan.rates import Rates

STATE_BYTES = 24
"""Per trainable parameter, in fp32: weights, gradients, DDP's buckets of gradients, two moments of
AdamW and the moving average."""
CHECKPOINT_BYTES = 16
"""Per trainable parameter of a checkpoint to resume from: weights, moments, moving average."""
TOKEN_BYTES = 2
SAMPLE_BYTES = 2
RESERVED = 0.1
"""Share of a GPU's memory that is left to the allocator, the CUDA context and workspaces."""
DISCRIMINATOR_PASSES = 2 + 4 / 3
"""Per crop, in units of one forward and backward pass (1 + 2 forward passes) over one wave. The
discriminators' own step passes the real and the decoded wave forward and backward: 2 units. The
codec's step passes both forward (2 / 3) and back to the waves, without gradients of weights
(2 / 3)."""


@dataclass(frozen=True)
class Row:
    """One line of a plan."""

    name: str
    value: float
    unit: str
    how: str


@dataclass(frozen=True)
class Work:
    """The data and the hardware of a training."""

    hours: float
    gpus: int
    rates: Rates
    epochs: float | None = None
    """Of the LM; None: the steps of its settings."""

    @property
    def seconds(self) -> float:
        """Length of the music."""
        return 3600 * self.hours

    def __post_init__(self) -> None:
        if self.hours <= 0 or self.gpus < 1 or (self.epochs is not None and self.epochs <= 0):
            raise ConfigError(
                f"hours {self.hours:g}, gpus {self.gpus}, epochs {self.epochs}: expected hours and "
                "epochs above 0 and at least one GPU"
            )


def data_rows(work: Work, config: TokenSepConfig, channels: int = 1) -> list[Row]:
    """Labels, tokens and disk.

    ``channels`` of the audio that is stored; training is mono.
    """
    stems, rates = len(config.stems), work.rates
    tokens = work.seconds * config.frame_rate * config.layers * stems
    wave = work.seconds * config.rate * channels * SAMPLE_BYTES * rates.flac
    label_hours = work.hours * rates.teacher
    return [
        Row("music", work.hours, "h", "given"),
        Row("pseudo-labels", label_hours, "GPU hours", "assumed"),
        Row("pseudo-labels on all GPUs", label_hours / work.gpus / 24, "days", "assumed"),
        Row("tokens", tokens / 1e9, "billion", "arithmetic"),
        Row("disk, tokens (int16)", tokens * TOKEN_BYTES / 1e9, "GB", "arithmetic"),
        Row("disk, mixtures (FLAC)", wave / 1e9, "GB", "assumed"),
        Row("disk, mixtures and stems (FLAC)", wave * (1 + stems) / 1e9, "GB", "assumed"),
    ]


def tokenize_rows(work: Work, config: TokenSepConfig, codec: CodecConfig) -> list[Row]:
    """Encoding of the stems by the codec."""
    second = counts.encode_flops(codec, 1.0) * len(config.stems)
    hours = second * work.seconds / work.rates.flops / 3600
    return [
        Row("encoding, per second of music", second / 1e12, "TFLOP", "counted"),
        Row("encoding", hours, "GPU hours", "assumed"),
    ]


def lm_rows(work: Work, config: TokenSepConfig, train: LMTrainConfig) -> list[Row]:
    """The LM's training."""
    step = counts.count_lm(config, train)
    seconds = config.window_frames / config.frame_rate
    batch = train.batch * train.accumulate * work.gpus
    steps = train.max_steps
    per_epoch = work.seconds / seconds / batch
    if work.epochs is not None:
        steps = round(work.epochs * per_epoch)
    total = steps * batch * step.flops
    return [
        Row("parameters", step.parameters / 1e6, "million", "counted"),
        Row("crop", seconds, "s", "arithmetic"),
        Row("crop, forward and backward", step.flops / 1e12, "TFLOP", "counted"),
        Row("crops a step, all GPUs", batch, "crops", "arithmetic"),
        Row("steps of one epoch", per_epoch, "steps", "arithmetic"),
        Row("steps", steps, "steps", "given" if work.epochs is None else "arithmetic"),
        Row("epochs", steps / per_epoch, "epochs", "arithmetic"),
        *_time_rows(work, total, train.batch * step.flops),
        *_memory_rows(work, step, train.batch),
        Row(
            "crops that the loader must give, per GPU",
            work.rates.flops / step.flops,
            "crops/s",
            "assumed",
        ),
    ]


def codec_rows(work: Work, config: CodecConfig, train: CodecTrainConfig) -> list[Row]:
    """The codec's training, without its teacher."""
    step = counts.count_codec(
        config, train.crop_seconds, train.precision, recomputing=train.recompute
    )
    flops, parameters = float(step.flops), step.parameters
    rows = [Row("parameters", step.parameters / 1e6, "million", "counted")]
    if train.losses.adversarial:
        samples = round(train.crop_seconds * config.rate)
        adversary = counts.count_discriminators(train.losses, samples, train.precision)
        parameters += adversary.parameters
        flops += DISCRIMINATOR_PASSES * adversary.flops
        rows.append(
            Row("parameters of discriminators", adversary.parameters / 1e6, "million", "counted")
        )
        step = counts.Step(
            parameters,
            step.forward_flops,
            round(flops),
            step.activations + 2 * adversary.activations,
            step.overhead + adversary.overhead,
        )
    batch = train.batch * train.accumulate * work.gpus
    total = train.max_steps * batch * flops
    return [
        *rows,
        Row("crop", train.crop_seconds, "s", "given"),
        Row("crop, forward and backward", flops / 1e12, "TFLOP", "counted"),
        Row("crops a step, all GPUs", batch, "crops", "arithmetic"),
        Row("steps", train.max_steps, "steps", "given"),
        *_time_rows(work, total, train.batch * flops),
        *_memory_rows(work, step, train.batch),
    ]


def _time_rows(work: Work, total: float, batch: float) -> list[Row]:
    hours = total / work.rates.flops / 3600
    return [
        Row("work", total / 1e18, "EFLOP", "arithmetic"),
        Row("one batch on one GPU", batch / work.rates.flops, "s", "assumed"),
        Row("training", hours, "GPU hours", "assumed"),
        Row("training on all GPUs", hours / work.gpus / 24, "days", "assumed"),
    ]


def _memory_rows(work: Work, step: counts.Step, batch: int) -> list[Row]:
    """Memory of one GPU under DDP: each holds the whole state."""
    states = step.parameters * STATE_BYTES + step.overhead
    room = work.rates.memory_gb * 1e9 * (1 - RESERVED) - states
    return [
        Row("memory, weights and optimizer", states / 1e9, "GB a GPU", "arithmetic"),
        Row("memory, activations of a crop", step.activations / 1e9, "GB a GPU", "counted"),
        Row(
            "memory, at the batch of the settings",
            (states + batch * step.activations) / 1e9,
            "GB a GPU",
            "arithmetic",
        ),
        Row("largest batch", max(0, int(room / step.activations)), "crops a GPU", "assumed"),
        Row("checkpoint", step.parameters * CHECKPOINT_BYTES / 1e9, "GB", "arithmetic"),
    ]
