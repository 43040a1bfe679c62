"""Encoded clips on disk: waves and codes in two flat arrays, with an index."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchsep._util.atomic import write_atomically
from benchsep._util.reason import without_path
from benchsep.errors import StoreError
from tokensep.errors import DataError
from tokensep.lm.config import TokenSepConfig
from tokensep.train.encoding import Clip
from tokensep.train.flat_file import FlatFile, damaged, read_flat
from tokensep.train.own_json import read_json


def write_clips(folder: Path, clips: Iterable[Clip], silence: NDArray[np.int16]) -> None:
    """Write clips one at a time; memory holds one clip.

    Raises
    ------
    DataError
        naming the folder when there is no room in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        entries = []
        with (
            FlatFile(folder / "waves.npy", np.float16) as waves,
            FlatFile(folder / "codes.npy", np.int16) as codes,
        ):
            for clip in clips:
                waves.append(clip.wave)
                codes.append(clip.codes)
                entries.append([clip.song, clip.stem, clip.variant, clip.frames])
        np.save(folder / "silence.npy", silence)
        # Last and whole: a folder with an index is complete.
        write_atomically(folder / "index.json", json.dumps(entries))
    except (OSError, StoreError) as error:
        raise DataError(
            f"{folder}: cannot be written ({without_path(error)}); free some space"
        ) from error


def read_clips(folder: Path, config: TokenSepConfig) -> list[Clip]:
    """The clips of a folder, memory-mapped.

    Raises
    ------
    DataError
        A file is damaged, or they do not belong together.
    """
    waves = read_flat(folder / "waves.npy", np.float16)
    codes = read_flat(folder / "codes.npy", np.int16)
    index = folder / "index.json"
    clips, at, hop, layers = [], 0, config.frame_hop, config.layers
    try:
        for song, stem, variant, frames in read_json(index):
            wave = waves[at * hop : (at + frames) * hop]
            block = codes[at * layers : (at + frames) * layers].reshape(layers, frames)
            clips.append(Clip(song, stem, variant, wave, block))
            at += frames
    except (TypeError, ValueError) as error:
        raise damaged(index, error) from error
    if at * hop != len(waves) or at * layers != len(codes):
        found = (
            f"{at} frames, the waves have {len(waves) / hop:g}, the codes {len(codes) / layers:g}"
        )
        raise damaged(index, found)
    return clips
