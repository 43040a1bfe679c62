"""The recordings below a folder and their lengths, read once and kept.

Conventions
-----------
The lengths are stored in ``recordings.json`` of the folder of shards, with the size and
modification time of each file; an unchanged file is not opened again. Reading a million headers
takes hours, and what FFmpeg reads must be decoded to know its length.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsep._util.atomic import write_atomically
from benchsep._util.decode import SNDFILE, decode, duration
from tokensep.errors import DataError

SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".m4a"}
CACHE = "recordings.json"

Row = list[Any]
"""Cached values of one file: size, modification time (ns), samples, rate in Hz, error text."""


@dataclass(frozen=True)
class Recording:
    """A file that can be read: ``frames`` samples at ``rate`` Hz."""

    path: Path
    frames: int
    rate: int


def find_recordings(folder: Path, cache: Path | None = None) -> tuple[list[Recording], list[str]]:
    """All recordings below ``folder`` in a fixed order, and the files that cannot be read.

    Parameters
    ----------
    cache : folder where the lengths are kept between runs; None: they are not kept.
    """
    known = _read_cache(cache) if cache else {}
    rows: dict[str, Row] = {}
    found: list[Recording] = []
    unreadable: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        name = str(path.relative_to(folder))
        row = rows[name] = _row(path, known.get(name))
        _, _, frames, rate, error = row
        if error:
            unreadable.append(f"{name}: {error}")
        else:
            found.append(Recording(path, frames, rate))
    if cache and rows != known:
        write_atomically(cache / CACHE, json.dumps(rows))
    return found, unreadable


def _read_cache(folder: Path) -> dict[str, Row]:
    try:
        rows = json.loads((folder / CACHE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return rows if isinstance(rows, dict) else {}


def _row(path: Path, known: Row | None) -> Row:
    try:
        facts = path.stat()
        if known and len(known) == 5 and known[:2] == [facts.st_size, facts.st_mtime_ns]:
            return known
        return [facts.st_size, facts.st_mtime_ns, *_length(path), ""]
    except (RuntimeError, OSError, ValueError, DataError) as error:
        return [*_stamp(path), 0, 0, str(error) or type(error).__name__]


def _stamp(path: Path) -> tuple[int, int]:
    """Size and modification time; zeros for a broken link."""
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def _length(path: Path) -> tuple[int, int]:
    """Samples and rate. What FFmpeg reads is decoded: an mp3's header may only guess its length."""
    import soundfile

    if path.suffix.lower() not in SNDFILE:
        samples, rate = decoded(path)
        return samples.shape[1], rate
    facts = soundfile.info(str(path))
    _refuse_absurd(facts, path.stat().st_size)
    duration(path)  # raises where the file ends before its header says
    return int(facts.frames), int(facts.samplerate)


def decoded(path: Path) -> tuple[NDArray[np.float32], int]:
    """The last file that FFmpeg decoded, ``[channels, samples]``: its pieces follow each other."""
    return _decoded(path, _stamp(path))


@lru_cache(maxsize=1)
def _decoded(path: Path, stamp: tuple[int, int]) -> tuple[NDArray[np.float32], int]:
    return decode(path)


def _refuse_absurd(facts: Any, size: int) -> None:
    """Refuse an impossible length: a damaged header may claim years of music."""
    if facts.frames * facts.channels > max(size, 1) * 10_000:
        raise DataError(f"its header claims {facts.frames} frames in {size} bytes")
    if not 1_000 <= facts.samplerate <= 768_000:
        raise DataError(f"sample rate {facts.samplerate} Hz")
