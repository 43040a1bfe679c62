"""Contamination: the songs of a run that a system was trained on, according to its declared
training data.

Conventions
-----------
dataset   the data set of the songs: ``musdb18`` for its editions and for the embedded clip (one of
          its test songs); for other data sets their name; empty for a folder of stems, whose data
          set is unknown
seen      a system was trained on a song if an entry of ``SystemInfo.trained_on`` includes the
          song's split
unknown   a system that declares ``unknown`` or nothing, and is not a reference system
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchsep.stats.keys import last_of_each
from benchsep.systems.reference import REFERENCE_FAMILIES
from benchsep.systems.training import UNKNOWN, saw

if TYPE_CHECKING:
    import pandas as pd

TEST_SEEN, TRAIN_SEEN = "‡", "§"
"""Marks of a system that was trained on test songs, or on training songs, of a table."""

_DATASETS = dict.fromkeys(("hq", "aac", "aac-7s", "clip"), "musdb18")
"""Edition to the data set of its songs."""


@dataclass(frozen=True)
class Seen:
    """The songs of a run that its systems were trained on."""

    dataset: str = ""
    songs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Label of a system to the songs that it was trained on, each with its split."""
    unknown: tuple[str, ...] = ()
    """Labels of ranked systems with unknown training data."""

    def mark(self, system: str) -> str:
        """The marks after the name of a system; empty if no training song is known."""
        splits = set(self.songs.get(system, {}).values())
        return (TEST_SEEN if "test" in splits else "") + (TRAIN_SEEN if splits - {"test"} else "")


def seen_in(trained_on: Iterable[str], edition: str, split: str) -> dict[str, str]:
    """``{split: split}`` if the declared training data include the edition's songs of it; else
    empty.
    """
    return {split: split} if saw(trained_on, _DATASETS.get(edition, ""), split) else {}


def seen_songs(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> Seen:
    """The songs of one edition that each system was trained on.

    Parameters
    ----------
    frame
        Cells with columns ``system``, ``family``, ``track``, ``edition`` and, if known, ``split``.
    manifest
        The run's manifest; a system that it does not describe is unknown.
    """
    dataset = _dataset_of(frame, manifest)
    splits = _splits(frame, manifest)
    families = last_of_each(frame, "system", "family")
    songs, unknown = {}, []
    for label, family in sorted(families.items()):
        declared = declared_training(manifest, label)
        found = {song: split for song, split in splits.items() if saw(declared, dataset, split)}
        if dataset and found:
            songs[label] = found
        elif UNKNOWN in declared and family not in REFERENCE_FAMILIES:
            unknown.append(label)
    return Seen(dataset, songs, tuple(unknown))


def declared_training(manifest: Mapping[str, Any], label: str) -> tuple[str, ...]:
    """``trained_on`` of a system in the manifest; ``unknown`` if there is none."""
    info = (manifest.get("systems") or {}).get(label, {}).get("info", {})
    return tuple(info.get("trained_on", (UNKNOWN,)))


def without_seen(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """The cells without songs that the system was trained on, as far as declared."""
    keep = frame["system"].notna()
    for edition in set(frame["edition"]):
        inside = frame["edition"] == edition
        for label, songs in seen_songs(frame[inside], manifest).songs.items():
            keep &= ~(inside & (frame["system"] == label) & frame["track"].isin(list(songs)))
    return frame[keep].reset_index(drop=True)


def _dataset_of(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> str:
    edition = next(map(str, frame["edition"]), "")
    name = str((manifest.get("dataset") or {}).get("name", "")).partition(":")[0]
    return _DATASETS.get(edition, "" if name == "folder" else name)


def _splits(frame: pd.DataFrame, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Song to its split."""
    if "split" in frame:
        different = frame[["track", "split"]].drop_duplicates()
        pairs = zip(different["track"], different["split"], strict=True)
        return {str(track): str(split) for track, split in pairs if isinstance(split, str)}
    asked = str((manifest.get("suite") or {}).get("split", ""))
    return dict.fromkeys(map(str, frame["track"].unique()), asked)
