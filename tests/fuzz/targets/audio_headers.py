"""WAV, FLAC and Ogg: lengths without decoding, samples, and recordings of a folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tokensep.train.pseudo_labels import Settings, find_pieces

from benchsep.audio import read_audio, seconds_in
from benchsep.errors import AudioError
from tests.fuzz.target import Target

SUFFIXES = {b"fLaC": ".flac", b"OggS": ".ogg"}


def read(data: bytes, folder: Path) -> object:
    path = folder / f"input{SUFFIXES.get(data[:4], '.wav')}"
    path.write_bytes(data)
    try:
        with contextlib.suppress(AudioError):
            assert seconds_in(path) >= 0
        find_pieces(folder, Settings(piece_seconds=0.01, min_seconds=0.001))
        return read_audio(path)
    finally:
        path.unlink()


TARGET = Target(
    read,
    (b"RIFF", b"RIFX", b"RF64", b"WAVE", b"fmt ", b"data", b"ds64", b"fact", b"LIST", b"fLaC",
     b"\xff\xff\xff\xff", b"\x01\x00\x02\x00", b"\xfe\xff", b"\x44\xac\x00\x00"),
)  # fmt: skip
