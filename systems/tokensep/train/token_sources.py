"""The LM's training and validation sets: encoded once into a folder, or streamed token shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchsep_training import once
from benchsep_training.batches import BatchSource
from benchsep_training.processes import Processes
from torch import Tensor

from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.train import cache, pseudo_labels
from tokensep.train.batches import LMBatch, TokenBatches
from tokensep.train.data import StemStore, validation_songs
from tokensep.train.encoding import Song, encode_songs, silence_codes, store_songs
from tokensep.train.pseudo_labels.reading import folder_mark
from tokensep.train.stream.loader import StreamBatches
from tokensep.train.stream.shards import find_shards
from tokensep.train.stream.token_crops import TokenCrops
from tokensep.train.token_dataset import Crop, TokenDataset
from tokensep.train.token_files import write_clips
from tokensep.train.tokenizing.job import check_codec, codec_mark, common_job

VALIDATION_CROPS = 64
"""Largest number of clips used from the folders of validation tokens."""


@dataclass(frozen=True)
class TokenSource:
    """The settings and the source of a folder of encoded songs.

    ``source`` is written into the folder; a folder with other contents there is refused.
    """

    folder: Path
    codec: Any
    config: TokenSepConfig
    source: dict[str, Any]
    seed: int

    def load(self, name: str, songs: Iterable[Song], variants: int, **more: Any) -> TokenDataset:
        """The data set ``name``; it is encoded if it does not exist yet.

        Of several processes one encodes and the others wait (:mod:`benchsep_training.once`).

        Raises
        ------
        DataError
            The folder holds data made from other songs, shards, codec or settings.
        """
        folder, source = self.folder / name, {**self.source, "variants": variants, **more}

        def make() -> None:
            cache.declare(folder, source)
            clips = encode_songs(songs, self.codec, self.config, variants=variants, seed=self.seed)
            write_clips(folder, clips, silence_codes(self.codec, self.config))

        once.prepare(folder, lambda: cache.is_ready(folder, source), make)
        return TokenDataset.load(folder, self.config)


@dataclass(frozen=True)
class Tokens:
    """Folders or addresses of token shards for training and for validation (may be empty)."""

    train: list[Path | str]
    valid: list[Path | str] = field(default_factory=list)


@dataclass(frozen=True)
class LMData:
    """The data of one training of the LM; ``code_sample [N, K]`` holds the codes of some frames."""

    batches: BatchSource[LMBatch]
    code_sample: Tensor
    valid: list[Crop]


def stream_data(tokens: Tokens, codec: Any, config: TokenSepConfig, train: LMTrainConfig) -> LMData:
    """Token shards, see :mod:`tokensep.train.stream`.

    Raises
    ------
    DataError
        They were made with another codec or other settings, or do not hold what ``train`` needs.
    """
    codec.to(Processes(train.precision).device)
    job = common_job([*tokens.train, *tokens.valid])
    check_codec(job, codec, config)
    crops = TokenCrops(find_shards(tokens.train), job, config, train)
    valid = []
    if tokens.valid:
        held_out = TokenCrops(find_shards(tokens.valid), job, config, train)
        valid = held_out.windows(VALIDATION_CROPS)
    batches = StreamBatches(crops, train.batch, train.accumulate, workers=train.workers)
    return LMData(batches, crops.code_sample(), valid)


def encoded_data(
    store: StemStore | None,
    shards: list[Path],
    codec: Any,
    config: TokenSepConfig,
    train: LMTrainConfig,
    folder: Path,
) -> LMData:
    """Songs and pseudo-labels, encoded into ``folder``; as :func:`load_datasets`."""
    dataset, held_out = load_datasets(store, shards, codec, config, train, folder)
    valid = held_out.windows(3) if held_out is not None else []
    return LMData(TokenBatches(dataset, train), dataset.code_sample(), valid)


def load_datasets(
    store: StemStore | None,
    shards: list[Path],
    codec: Any,
    config: TokenSepConfig,
    train: LMTrainConfig,
    folder: Path,
) -> tuple[TokenDataset, TokenDataset | None]:
    """Training and validation data, encoded once into ``folder``.

    The validation songs are identified by name and come only from ``store``. The codec is moved to
    the device of the LM training, and encodes there.

    Raises
    ------
    DataError
        The folder holds data made from other songs, shards, codec or settings.
    """
    source = {
        "songs": store.facts if store is not None else None,
        "codec": codec_mark(codec),
        "rate": config.rate,
        "frame_hop": config.frame_hop,
        "loudness": config.loudness,
    }
    codec.to(Processes(train.precision).device)
    encoded = TokenSource(folder, codec, config, source, train.seed)
    held_out = set(validation_songs()) if store is not None else set()
    names = set(store.songs()) if store is not None else set()
    valid = None
    if store is not None and names & held_out:
        valid = encoded.load("bank-valid", store_songs(store, names & held_out), 1)
    songs = _training_songs(store, names - held_out, shards, config.rate, train.mixture)
    more = _shard_facts(shards, train)
    return encoded.load("bank-train", songs, train.variants, seed=train.seed, **more), valid


def _shard_facts(shards: list[Path], train: LMTrainConfig) -> dict[str, Any]:
    """What a bank is made from besides songs with stems; optional parts only where they matter."""
    facts: dict[str, Any] = {"shards": cache.fingerprint([(path,) for path in shards])}
    folders = dict.fromkeys(path.parent for path in shards)
    if len(folders) > 1:  # earlier versions lost songs of all folders but the last
        facts["folders"] = [folder_mark(folder) for folder in folders]
    if shards and train.mixture == "recorded":  # songs with stems have no other mixture
        facts["mixture"] = "recorded"
    return facts


def _training_songs(
    store: StemStore | None, names: set[str], shards: list[Path], rate: int, mixture: str
) -> Iterator[Song]:
    if store is not None:
        yield from store_songs(store, names)
    yield from pseudo_labels.songs(shards, rate, mixture=mixture)
