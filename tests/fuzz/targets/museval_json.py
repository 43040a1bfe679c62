"""Museval's JSON files, as a run's table, and tables of results that others made."""

from __future__ import annotations

import contextlib
from pathlib import Path

from benchsep.errors import BenchsepError
from benchsep.imported.museval import import_runs
from benchsep.imported.table import read_table
from tests.fuzz.target import Target


def read(data: bytes, folder: Path) -> object:
    path = folder / "method" / "test" / "song.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    (folder / "table.csv").write_bytes(data)
    with contextlib.suppress(BenchsepError):
        read_table(folder / "table.csv")
    return import_runs(folder / "method")


TARGET = Target(
    read,
    (b'"targets"', b'"name"', b'"frames"', b'"metrics"', b'"time"', b'"duration"', b'"SDR"',
     b'"ISR"', b'"SIR"', b'"SAR"', b'"benchsep"', b'"track"', b'"edition"', b'"museval_version"',
     b"NaN", b"Infinity", b"null", b"1e999", b"\\ud800", b"[", b"]", b"{", b"}", b"true",
     b"system,track,stem,metric,value\n", b",vocals,SDR,1\n", b"\n"),
)  # fmt: skip
