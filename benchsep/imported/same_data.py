"""Checks whether imported values belong to the audio of the run: edition, length, samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep._util.escape import visible
from benchsep._util.words import amount
from benchsep.errors import UsageError
from benchsep.imported.museval import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

MOST_WINDOWS_APART = 1
"""Allowed difference, because rounding may drop the last window."""
DIGITS = 16
"""Compared digits of a hash."""
AUDIO = {"mixture_sha256": "mixture", "reference_sha256": "true stem"}


def check_edition(imported: pd.DataFrame, own: str) -> None:
    other = imported[~imported["edition"].isin(["", own])]
    if not other.empty:
        row = other.iloc[0]
        raise UsageError(
            f"{row['track']!r} of {row['system']} was scored on edition {row['edition']}, the run "
            f"on {own}; one table never has two editions; compare with a run on {row['edition']}"
        )


def check_lengths(
    imported: pd.DataFrame, cells: pd.DataFrame, declared: Collection[int]
) -> list[str]:
    """Check that songs are as long as the run's, because all folders of songs have the same edition
    name.

    Parameters
    ----------
    declared
        Index of the rows whose edition the caller declares: their lengths are noted only.

    Raises
    ------
    UsageError
        a song of another length, in rows that are not declared.
    """
    expected = {track: windows for (_, track), windows in _windows(cells).items()}
    believed = set(imported.loc[imported.index.isin(list(declared)), "system"])
    noted: dict[str, str] = {}
    for (system, track), windows in _windows(imported).items():
        there = expected.get(track, windows)
        if abs(windows - there) > MOST_WINDOWS_APART:
            if system in believed:
                noted.setdefault(
                    track, f"{track!r} has {windows} windows of 1 s, in the run {there}"
                )
                continue
            raise UsageError(
                f"{track!r} has {windows} windows of 1 s in the results of {system} and {there} "
                "in the run: the editions or excerpts differ; compare with a run on the same "
                "audio, or name the edition with --import-edition if the files do not name it"
            )
    if not noted:
        return []
    first = visible(min(noted.values()))
    return [f"{amount(len(noted), 'song')} of another length than the run's: {first}"]


def other_splits(imported: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """A sentence, if the file says another split of songs that the run has."""
    if "split" not in cells:
        return []
    own = dict(zip(cells["track"], cells["split"], strict=True))
    pairs = zip(imported["track"], imported["split"], strict=True)
    found = {
        (str(split), str(own[track]))
        for track, split in pairs
        if isinstance(split, str) and split and own.get(track) and own[track] != split
    }
    return [f"files of the split {there}, in the run {here}" for there, here in sorted(found)]


def check_audio(imported: pd.DataFrame, cells: pd.DataFrame) -> None:
    """Check that songs with the same name have the same samples, if the file has hashes.

    Raises
    ------
    UsageError
        the hash of a mixture or a true stem differs from the run's.
    """
    for column, what in AUDIO.items():
        own = {(t, s): text for _, t, s, text in _hashes(cells, column)}
        for system, track, stem, text in _hashes(imported, column):
            there = own.get((track, stem), text)
            if text[:DIGITS] != there[:DIGITS]:
                raise UsageError(
                    f"{track!r}, {stem}: {system} was scored on another {what} than the run's "
                    f"(sha256 {text[:DIGITS]}, in the run {there[:DIGITS]}); songs with one name "
                    "and different audio cannot be compared; score both on the same files"
                )


def _hashes(cells: pd.DataFrame, column: str) -> list[tuple[str, str, str, str]]:
    """System, track, stem and hash, for rows with a hash."""
    if column not in cells:
        return []
    rows = cells[["system", "track", "stem", column]].drop_duplicates()
    found = rows.itertuples(index=False, name=None)
    return [(a, b, c, text) for a, b, c, text in found if isinstance(text, str) and text]


def _windows(cells: pd.DataFrame) -> dict[tuple[str, str], int]:
    """``(system, track)`` to the number of its BSSEval windows; reference systems included."""
    counts: dict[tuple[str, str], int] = {}
    part = cells[cells["metric"].isin(list(COLUMNS))]
    for system, track, frames in zip(part["system"], part["track"], part["frames"], strict=True):
        if isinstance(frames, list | tuple) and frames:
            key = str(system), str(track)
            counts[key] = max(counts.get(key, 0), len(frames))
    return counts
