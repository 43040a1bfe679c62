"""``tokensep train codec``: configuration and data in, a trained codec of either design out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from benchsep_training.processes import leave_group

from tokensep.codec.model import HCodec
from tokensep.config import CodecConfig, CodecTrainConfig, load
from tokensep.errors import ConfigError
from tokensep.train.bands import BandsTrainer, take_semantic
from tokensep.train.codec import CodecSettings, CodecTrainer, crop_length, load_hubert
from tokensep.train.codec_sources import Options, codec_data
from tokensep.train.decoder import BandsDecoderTrainer, DecoderTrainer, load_for_decoder


def main(options: Options) -> dict[str, Any]:
    """Read configuration and data, train, and return the last scores.

    Raises
    ------
    ConfigError
        There is nothing to train on.
    """
    torch.set_num_threads(1)
    settings = load(CodecSettings, options.config)
    given = {**settings.codec_train.model_dump(), **options.changes()}
    config = load(CodecTrainConfig, given)
    codec, trainer = codec_of(options, settings.codec)
    batches, valid = codec_data(options, config, codec.rate, crop_length(codec, config))
    result = trainer(codec, config, batches, valid, options.work, options.out).run()
    leave_group()
    return result


def codec_of(options: Options, config: CodecConfig) -> tuple[HCodec, type[CodecTrainer]]:
    """A codec to train and its trainer: a new codec, or the decoder of the one in ``init``.

    Raises
    ------
    ConfigError
        As :func:`trainer_of`; or a part of another codec for ``init``, which has all parts.
    CheckpointError
        A folder has no codec or no teacher.
    """
    if options.init is None:
        codec = HCodec(config)
        if options.hubert:
            load_hubert(codec, options.hubert)
        return codec, trainer_of(codec, options.semantic)
    for name in ("hubert", "semantic"):
        if getattr(options, name):
            raise ConfigError(
                f"--init has a whole codec, so --{name} cannot be used with it; leave one out"
            )
    codec = load_for_decoder(options.init)
    return codec, BandsDecoderTrainer if codec.config.design == "bands" else DecoderTrainer


def trainer_of(codec: HCodec, semantic: Path | None) -> type[CodecTrainer]:
    """The trainer of the codec's design; takes the semantic branch that it needs.

    Raises
    ------
    ConfigError
        A design ``bands`` without a codec to take that branch from, or a codec that does not fit.
    """
    if codec.config.design != "bands":
        return CodecTrainer
    if semantic is None:
        raise ConfigError(
            "a codec of the design 'bands' takes the semantic branch of a trained codec; give "
            "the folder of that codec (--semantic)"
        )
    take_semantic(codec, semantic)
    return BandsTrainer
