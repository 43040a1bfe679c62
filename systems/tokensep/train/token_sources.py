"""The LM's training and validation sets: songs and pseudo-labels, encoded once into a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsep_training.processes import Processes

from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.train import cache, pseudo_labels
from tokensep.train.data import StemStore, validation_songs
from tokensep.train.encoding import Song, encode_songs, silence_codes, store_songs
from tokensep.train.token_dataset import TokenDataset
from tokensep.train.token_files import write_clips
from tokensep.train.tokenizing.job import codec_mark


@dataclass(frozen=True)
class TokenSource:
    """How a folder of encoded songs is made, and what it is made from.

    ``source`` is written into the folder; a folder with other contents there is refused.
    """

    folder: Path
    codec: Any
    config: TokenSepConfig
    source: dict[str, Any]
    seed: int

    def load(self, name: str, songs: Iterable[Song], variants: int, **more: Any) -> TokenDataset:
        """The data set ``name``, encoded now if it is not there yet.

        Raises
        ------
        DataError
            The folder holds data made from other songs, shards, codec or settings.
        """
        folder, source = self.folder / name, {**self.source, "variants": variants, **more}
        if not cache.is_ready(folder, source):
            cache.declare(folder, source)
            clips = encode_songs(songs, self.codec, self.config, variants=variants, seed=self.seed)
            write_clips(folder, clips, silence_codes(self.codec, self.config))
        return TokenDataset.load(folder, self.config)


def load_datasets(
    store: StemStore | None,
    shards: list[Path],
    codec: Any,
    config: TokenSepConfig,
    train: LMTrainConfig,
    folder: Path,
) -> tuple[TokenDataset, TokenDataset | None]:
    """Training and validation data, encoded once into ``folder``.

    The validation songs are known by their names and only ever come from ``store``. The codec is
    moved to where the LM will be trained, and encodes there.

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
    # in the source of a bank only where it changes it: songs with stems have no other mixture
    recorded = {"mixture": train.mixture} if shards and train.mixture == "recorded" else {}
    training = encoded.load(
        "bank-train",
        _training_songs(store, names - held_out, shards, config.rate, train.mixture),
        train.variants,
        seed=train.seed,
        shards=cache.fingerprint([(path,) for path in shards]),
        **recorded,
    )
    return training, valid


def _training_songs(
    store: StemStore | None, names: set[str], shards: list[Path], rate: int, mixture: str
) -> Iterator[Song]:
    if store is not None:
        yield from store_songs(store, names)
    yield from pseudo_labels.songs(shards, rate, mixture=mixture)
