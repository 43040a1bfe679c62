"""Museval's JSON files, as a run's table."""

from __future__ import annotations

from pathlib import Path

from benchsep.museval.io import import_runs
from tests.fuzz.target import Target


def read(data: bytes, folder: Path) -> object:
    path = folder / "method" / "test" / "song.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return import_runs(folder / "method")


TARGET = Target(
    read,
    (b'"targets"', b'"name"', b'"frames"', b'"metrics"', b'"time"', b'"duration"', b'"SDR"',
     b'"ISR"', b'"SIR"', b'"SAR"', b'"benchsep"', b'"track"', b'"edition"', b'"museval_version"',
     b"NaN", b"Infinity", b"null", b"1e999", b"\\ud800", b"[", b"]", b"{", b"}", b"true"),
)  # fmt: skip
