"""Vocals for synthetic songs: phrases of given recordings; their key is not changed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from tokensep.errors import DataError
from tokensep.train.data import decode, loose_files, musdb_files, songs_in, validation_songs
from tokensep.train.synth.mixing import RATE, Wave, rms


def vocal_files(folder: Path) -> list[tuple[Path, int]]:
    """Vocals of a MUSDB folder without the validation songs, or every recording of a folder.

    Raises
    ------
    DataError
        there are no vocals.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected a folder of vocals")
    if songs_in(folder):
        kept = musdb_files(folder, None, set(validation_songs()))
        return [(path, stream) for _, stem, path, stream in kept if stem == "vocals"]
    return [(path, stream) for _, _, path, stream in loose_files(folder)]


def sing(files: list[tuple[Path, int]], rng: Generator, frames: int) -> Wave:
    """A vocal line ``[2, frames]``: phrases of random recordings with rests between them."""
    line = np.zeros((2, frames), np.float32)
    at, misses = int(rng.integers(RATE * 2)), 0
    while at < frames - RATE and misses < 20:
        path, stream = files[int(rng.integers(len(files)))]
        voice = np.asarray(decode(path, stream, RATE).astype(np.float32) / 32768, np.float32)
        length = min(int(rng.uniform(3, 12) * RATE), voice.shape[1], frames - at)
        start = int(rng.integers(voice.shape[1] - length + 1))
        piece = voice[:2, start : start + length]
        if rms(piece) < 3e-3:  # a rest of the singer's, as most songs have
            misses += 1
            continue
        line[:, at : at + length] = faded(piece)
        at += length + int(rng.uniform(0.2, 2.0) * RATE)
    return line


def faded(piece: Wave, seconds: float = 0.02) -> Wave:
    """``piece [C, T]`` with a fade-in and a fade-out."""
    count = min(int(seconds * RATE), piece.shape[1] // 2)
    ramp = np.ones(piece.shape[1], np.float32)
    ramp[:count] = np.linspace(0, 1, count)
    ramp[piece.shape[1] - count :] = np.linspace(1, 0, count)
    return np.asarray(piece * ramp, dtype=np.float32)


def voices_manifest(files: list[tuple[Path, int]]) -> dict[str, Any]:
    """A digest of the recordings (names, sizes, streams) and their number, for a manifest."""
    names = sorted(f"{path.name}:{path.stat().st_size}:{stream}" for path, stream in files)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest() if names else None
    return {"vocals": digest, "vocal_recordings": len(names)}
