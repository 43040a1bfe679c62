"""Training and validation data of the codec: decoded songs, or streamed shards."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchsep_training.batches import BatchSource
from torch import Tensor

from tokensep.config import CodecTrainConfig
from tokensep.errors import ConfigError
from tokensep.train.batches import StemBatches
from tokensep.train.data import StemStore, loose_files, musdb_files, validation_songs
from tokensep.train.stream.audio_crops import AudioCrops, HeldOut, held_out_stems
from tokensep.train.stream.loader import StreamBatches
from tokensep.train.stream.shards import find_shards

VALIDATION_SECONDS, VALIDATION_CLIPS = 3.0, 16
"""Seconds of each clip of ``--valid-shards`` used for validation, and the largest number of
clips."""


@dataclass(frozen=True)
class Options:
    """What ``tokensep train codec`` is called with.

    ``workers``, ``cpu_minutes`` and ``max_steps`` replace those of the configuration file.
    """

    config: Path
    musdb: Path | None
    work: Path
    out: Path
    extra: Path | None = None
    hubert: Path | None = None
    semantic: Path | None = None
    init: Path | None = None
    cpu_minutes: float | None = None
    max_steps: int | None = None
    shards: list[Path | str] = field(default_factory=list)
    valid_shards: list[Path | str] = field(default_factory=list)
    workers: int | None = None

    def changes(self) -> dict[str, Any]:
        """What replaces values of the configuration file."""
        given = {n: getattr(self, n) for n in ("cpu_minutes", "max_steps", "workers")}
        return {name: value for name, value in given.items() if value is not None}


def codec_data(
    options: Options, config: CodecTrainConfig, rate: int, length: int
) -> tuple[BatchSource[Tensor], StemStore | HeldOut | None]:
    """Batches of crops of ``length`` samples at ``rate``, and stems to validate on.

    Raises
    ------
    ConfigError
        There is nothing to train on, or songs and shards at once.
    """
    if not options.shards:
        train, valid = stores(options, rate)
        return StemBatches(train, config, length), valid
    if options.extra:
        raise ConfigError(
            "--extra needs --musdb; with --shards, turn those recordings into shards first "
            "(tokensep pseudo-label)"
        )
    crops = AudioCrops(
        find_shards(options.shards),
        length=length,
        rate=rate,
        seed=config.seed,
        window=config.shuffle_shards,
    )
    batches = StreamBatches(crops, config.batch, config.accumulate, workers=config.workers)
    return batches, _held_out(options, rate)


def _held_out(options: Options, rate: int) -> StemStore | HeldOut | None:
    """The stems of ``--valid-shards``, else the validation songs of ``--musdb``, else nothing."""
    if options.valid_shards:
        shards = find_shards(options.valid_shards)
        return HeldOut(held_out_stems(shards, rate, VALIDATION_SECONDS, VALIDATION_CLIPS))
    if options.musdb:
        files = musdb_files(options.musdb, set(validation_songs()), set())
        return StemStore.build(options.work / "audio-valid", files, rate)
    return None


def stores(options: Options, rate: int) -> tuple[StemStore, StemStore]:
    """Stems to train and to validate on, decoded once into the work folder."""
    if options.musdb is None:
        raise ConfigError("no training data was given; pass --musdb FOLDER or --shards FOLDER")
    held_out = set(validation_songs())
    files = list(musdb_files(options.musdb, None, held_out))
    name = "audio-train"
    if options.extra:
        files += list(loose_files(options.extra))
        name = "audio-train-extra"
    valid = musdb_files(options.musdb, held_out, set())
    return (
        StemStore.build(options.work / name, files, rate),
        StemStore.build(options.work / "audio-valid", valid, rate),
    )
