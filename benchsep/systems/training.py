"""The training data of a checkpoint in machine-readable form: data sets and splits.

Conventions
-----------
entry     ``DATASET`` (all of it) or ``DATASET:SPLIT``, lower case: ``musdb18:train``,
          ``musdb18:train-less-validation``, ``musdb18:test``, ``moisesdb``. Editions of one data
          set (HQ, AAC, 7 seconds) have the same songs and one name
unknown   ``unknown``: further or all training data are unknown, so no song can be ruled out
none      the empty tuple: nothing was trained
musdb18   ``train`` are the 100 songs, ``train-less-validation`` the 86 without the 14 validation
          songs of the ``musdb`` package, ``validation`` those 14, ``test`` the other 50
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from benchsep.errors import UsageError

UNKNOWN = "unknown"

_SPLITS = {
    "train": ("train", "valid"),
    "train-less-validation": ("train",),
    "validation": ("valid",),
}
"""A declared split to the splits of tracks; any other declared split means itself."""

_ENTRY = re.compile(r"[a-z0-9][a-z0-9._-]*(:[a-z0-9][a-z0-9._-]*)?")


def parse_training(text: str) -> tuple[str, ...]:
    """``musdb18:train+moisesdb`` as its entries; ``none`` as the empty tuple.

    Raises
    ------
    UsageError
        an entry is not a data set with an optional split.
    """
    if text == "none":
        return ()
    entries = tuple(part.strip() for part in text.split("+"))
    for entry in entries:
        if not _ENTRY.fullmatch(entry):
            raise UsageError(
                f"training data {text!r}: {entry!r} is not a data set; expected e.g. "
                "musdb18:train, musdb18:train-less-validation+moisesdb, unknown or none"
            )
    return entries


def saw(trained_on: Iterable[str], dataset: str, split: str) -> bool:
    """Whether one of the entries contains the songs of a split of ``dataset``.

    ``split`` is that of the tracks: ``train``, ``valid`` or ``test``.
    """
    for entry in trained_on:
        name, _, part = entry.partition(":")
        if name == dataset and (not part or split in _SPLITS.get(part, (part,))):
            return True
    return False
