"""The inputs of tokenizing: shards of labelled recordings, and songs with true stems.

Each input becomes one token shard, under a name that stands for its content.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tokensep.errors import ConfigError, DataError
from tokensep.train import cache
from tokensep.train.data import check_lengths, decode, musdb_folders, validation_songs
from tokensep.train.pseudo_labels import Settings, shards_in, stream
from tokensep.train.pseudo_labels.quality import refusal
from tokensep.train.pseudo_labels.reading import Sample, folder_mark

SPLITS = ("train", "valid", "all")
PIECES = Settings()
"""Songs are cut as ``tokensep pseudo-label`` cuts recordings: 30 s, and none that are silent."""


class Input(Protocol):
    """A source of samples; it must be picklable, since it is sent to another process."""

    @property
    def name(self) -> str:
        """Name of the token shard, without suffix."""

    def samples(self, rate: int) -> Iterator[tuple[str, Sample]]:
        """Samples with keys that no other input has; songs are decoded at ``rate`` Hz."""


@dataclass(frozen=True)
class LabelledShard:
    """A shard of ``tokensep pseudo-label``; ``mark`` is that of its folder's job."""

    path: Path
    mark: str

    @property
    def name(self) -> str:
        """The mark and the name of the shard."""
        return f"{self.mark}-{self.path.stem}"

    def samples(self, rate: int) -> Iterator[tuple[str, Sample]]:
        """The samples of the shard, unchanged."""
        for sample in stream([self.path]):
            # a key may hold folders; they are part of the name here
            yield f"{self.mark}-{sample.key.replace('/', '-').lstrip('.')}", sample


@dataclass(frozen=True)
class Song:
    """A song of a MUSDB folder: (stem, file, stream) of each stem."""

    title: str
    files: tuple[tuple[str, Path, int], ...]

    @property
    def name(self) -> str:
        """A digest of the title and of the names and sizes of the files."""
        rows = [(self.title, *row) for row in self.files]
        return f"song-{cache.fingerprint(rows)}"

    def samples(self, rate: int) -> Iterator[tuple[str, Sample]]:
        """Its pieces."""
        stems = {stem: decode(path, stream, rate) for stem, path, stream in self.files}
        lengths = {stem: wave.shape[1] for stem, wave in stems.items()}
        check_lengths(self.files[-1][1], lengths)
        length = next(iter(lengths.values()))
        step = int(PIECES.piece_seconds * rate)
        for number, start in enumerate(range(0, length, step)):
            stop = min(start + step, length)
            if stop - start < PIECES.min_seconds * rate:
                continue
            piece = {stem: _float(wave[:, start:stop]) for stem, wave in stems.items()}
            mixture = np.asarray(np.sum(list(piece.values()), axis=0), np.float32)
            if refusal(mixture, None, PIECES):
                continue
            facts = {"file": self.title, "start": start}
            name = f"{self.name}-{number:05d}"
            yield name, Sample(name, mixture, piece, rate, facts)


def _float(audio: NDArray[np.int16]) -> NDArray[np.float32]:
    """Stereo, nominal range +-1."""
    audio = np.repeat(audio, 2, 0) if len(audio) == 1 else audio[:2]
    return np.asarray(audio.astype(np.float32) / 32768, np.float32)


def find_inputs(shards: list[Path], musdb: list[Path], split: str) -> list[Input]:
    """All inputs in a fixed order.

    Parameters
    ----------
    shards : folders of labelled shards.
    musdb : folders of songs with stems, of which ``split`` says which: the 14 validation songs of
        the ``musdb`` package, those that are not, or all.

    Raises
    ------
    ConfigError
        No folder is given, or ``split`` is none.
    DataError
        A folder holds no shard, or no song of the split is there.
    """
    if not shards and not musdb:
        raise ConfigError("no input was given; pass --shards FOLDER or --musdb FOLDER")
    if split not in SPLITS:
        raise ConfigError(f"unknown split {split!r}, expected {', '.join(SPLITS)}")
    found: list[Input] = []
    for folder in shards:
        paths, mark = shards_in(folder), folder_mark(folder)
        if not paths:
            raise DataError(
                f"{folder}: found no shards (*.tar), expected a folder of `tokensep pseudo-label`"
            )
        found += [LabelledShard(path, mark) for path in paths]
    songs = list(_songs(musdb, split)) if musdb else []
    if musdb and not songs:
        raise DataError(
            f"{', '.join(map(str, musdb))}: found no songs with stems (--split {split})"
        )
    return [*found, *songs]


def _songs(folders: list[Path], split: str) -> Iterator[Song]:
    held_out = set(validation_songs()) if split != "all" else set()
    for title, rows in itertools.groupby(musdb_folders(folders), key=lambda row: row[0]):
        if split == "all" or (title in held_out) == (split == "valid"):
            yield Song(title, tuple((stem, path, stream) for _, stem, path, stream in rows))
