"""Merges run folders into a board: a folder that all commands read like a run.

Conventions
-----------
all or nothing  if there is any conflict, nothing is written; nothing is dropped without a note
inputs          are only read. An existing board is one of the inputs
repeat          the bytes of a board depend only on its content, not on the order of the runs or on
                the number of merges
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchsep.errors import UsageError
from benchsep.runner.merge.checks import conflicts_between
from benchsep.runner.merge.conflict import Conflict
from benchsep.runner.merge.inputs import Input, read_input
from benchsep.runner.merge.manifest import merge_manifests
from benchsep.runner.merge.records import join
from benchsep.runner.notes.same_songs import same_songs
from benchsep.runner.notes.same_systems import same_systems
from benchsep.runner.record import Record
from benchsep.runner.store import Store


@dataclass(frozen=True)
class Merged:
    """The result of a merge: conflicts, and the board that is (or would be) written."""

    inputs: tuple[Input, ...]
    conflicts: tuple[Conflict, ...]
    records: tuple[Record, ...] = ()
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """Notes on content of the inputs that is not in the board."""
        notes = [note for each in self.inputs for note in each.notes]
        if times := _timed_twice(self.inputs):
            notes.append(
                f"{times} draws have times from more than one run; the times of one session are "
                "kept"
            )
        systems = {record.system.label for record in self.records}
        notes += same_songs(self.manifest) + same_systems(self.manifest, systems)
        return notes


def merge(folders: Sequence[Path], out: Path, *, check: bool = False) -> Merged:
    """Merge run folders into the board ``out``, unless there is a conflict.

    Parameters
    ----------
    folders
        Run folders or boards; none is changed.
    out
        The board: a new folder, or an existing board, whose results are kept.
    check
        Only look for conflicts; nothing is written.

    Raises
    ------
    UsageError
        ``out`` is inside one of the folders, contains one, or is a folder that is not a board.
    StoreError
        a folder is not a run folder, or the board cannot be written.
    FormatError
        a folder is of another format.
    """
    _refuse_to_write_inputs(folders, out)
    before = _board_there(out)
    inputs = tuple([*([before] if before else []), *map(read_input, folders)])
    conflicts = conflicts_between(inputs)
    records, more = _join_all(inputs)
    conflicts += more
    if conflicts:
        return Merged(inputs, tuple(conflicts))
    merged = Merged(inputs, (), tuple(records), merge_manifests(inputs, records))
    if not check:
        _write(merged, out)
    return merged


def _refuse_to_write_inputs(folders: Sequence[Path], out: Path) -> None:
    board = out.resolve()
    for folder in folders:
        run = folder.resolve()
        if run == board:
            raise UsageError(
                f"{folder} is the board itself, whose content is kept anyway; leave it out, or "
                "choose another -o"
            )
        if board.is_relative_to(run):
            raise UsageError(
                f"{out} is inside the run {folder}, which must not change; choose another -o"
            )


def _board_there(out: Path) -> Input | None:
    """The existing board at ``out``, or ``None``."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / "manifest.json").is_file():
        raise UsageError(f"{out} contains files but is not a board; choose another -o")
    board = read_input(out)
    if not board.is_board:
        raise UsageError(
            f"{out} is a run of `benchsep run`, not a board; give it as a RUN, and choose another "
            "-o"
        )
    return board


def _join_all(inputs: Sequence[Input]) -> tuple[list[Record], list[Conflict]]:
    found: dict[tuple[str, str], list[tuple[str, Record]]] = {}
    for each in inputs:
        for record in each.records:
            key = record.system.label, record.track.name
            found.setdefault(key, []).append((each.name, record))
    records, conflicts = [], list[Conflict]()
    for _, same in sorted(found.items()):
        record, more = join(same)
        records.append(record)
        conflicts += more
    return records, conflicts


def _write(merged: Merged, out: Path) -> None:
    """Write the board. A partly written board is valid too; another merge completes it."""
    store = Store(out.absolute())
    store.write_manifest({**merged.manifest, "finished": False})
    for record in merged.records:
        store.write(record)
    store.write_manifest(merged.manifest)


def _timed_twice(inputs: Sequence[Input]) -> int:
    """Number of draws that were timed in several sessions."""
    sessions: dict[tuple[str, str, int], set[str]] = {}
    for each in inputs:
        for record in each.records:
            for number, draw in record.draws.items():
                key = record.system.label, record.track.name, number
                sessions.setdefault(key, set()).add(draw.session)
    return sum(len(found) > 1 for found in sessions.values())
