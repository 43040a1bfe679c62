"""Ratings of listeners: a study's CSV, and a MUSHRA test's."""

from __future__ import annotations

import contextlib
from pathlib import Path

from benchsep.errors import UsageError
from benchsep.listeners import mushra
from benchsep.listeners.study import read_study
from tests.fuzz.target import Target


def read(data: bytes, folder: Path) -> object:
    path = folder / "ratings.csv"
    path.write_bytes(data)
    with contextlib.suppress(UsageError):
        mushra.is_listening_test(path)
        mushra.ratings_csv(mushra.screen(mushra.read_ratings(path))[0])
    with contextlib.suppress(UsageError):
        mushra.read_ratings(path, key=path)
    study = read_study(path)
    return [study.clips(question) for question in study.questions]


TARGET = Target(
    read,
    (b"song", b"system", b"family", b"rating", b"stem", b"rater", b"question", b"trial", b"kind",
     b"file_id", b"model_name", b"model_type", b"DMOS", b"trial_id", b"rating_stimulus",
     b"rating_score", b"condition", b"session_uuid", b"hidden_reference", b"generative",
     b"quality", b",", b"\n", b"\r\n", b'"', b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"nan",
     b"1e999"),
)  # fmt: skip
