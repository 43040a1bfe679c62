"""Cut recordings into pieces, and group the pieces into shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchsep._util.decode import SNDFILE
from tokensep.errors import DataError
from tokensep.train.pseudo_labels.recordings import Recording, decoded, find_recordings
from tokensep.train.pseudo_labels.settings import Settings


@dataclass(frozen=True)
class Piece:
    """``frames`` samples of a file from ``start`` on."""

    path: Path
    start: int
    frames: int
    rate: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def cut(recordings: Iterable[Recording], settings: Settings) -> Iterator[Piece]:
    """The pieces of the recordings, in their order."""
    for recording in recordings:
        step = int(settings.piece_seconds * recording.rate)
        for start in range(0, recording.frames, step):
            frames = min(step, recording.frames - start)
            piece = Piece(recording.path, start, frames, recording.rate)
            if piece.seconds >= settings.min_seconds:
                yield piece


def find_pieces(folder: Path, settings: Settings) -> tuple[list[Piece], list[str]]:
    """All pieces below ``folder`` in a fixed order, and the files that cannot be read."""
    recordings, unreadable = find_recordings(folder)
    return list(cut(recordings, settings)), unreadable


def into_shards(pieces: Iterable[Piece], seconds: float) -> Iterator[list[Piece]]:
    """Consecutive pieces, each shard holding about ``seconds`` of music."""
    shard: list[Piece] = []
    held = 0.0
    for piece in pieces:
        if shard and held + piece.seconds > seconds:
            yield shard
            shard, held = [], 0.0
        shard.append(piece)
        held += piece.seconds
    if shard:
        yield shard


def read_piece(piece: Piece) -> NDArray[np.float32]:
    """``[channels, T]``, mono made stereo, more channels cut to two.

    Raises
    ------
    DataError
        a file that cannot be decoded here, or ends before the piece does.
    """
    import soundfile

    try:
        if piece.path.suffix.lower() in SNDFILE:
            samples, _ = soundfile.read(
                str(piece.path), frames=piece.frames, start=piece.start, dtype="float32",
                always_2d=True,
            )  # fmt: skip
        else:
            samples = decoded(piece.path)[0][:, piece.start : piece.start + piece.frames].T
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"unreadable: {error}") from error
    if len(samples) < piece.frames:
        raise DataError(f"cut short: {len(samples)} frames of {piece.frames}")
    samples = samples.T[:2]
    return np.ascontiguousarray(np.repeat(samples, 2, 0) if len(samples) == 1 else samples)
