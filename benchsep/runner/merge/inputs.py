"""Reads the results of one run folder for a merge; never changes the folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchsep.errors import StoreError
from benchsep.runner.done import is_draw_shown
from benchsep.runner.info import info_from_json
from benchsep.runner.merge.conflict import Conflict
from benchsep.runner.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from benchsep.runner.record import Record
    from benchsep.systems.contract import SystemInfo

MERGED = "merged"
"""Key in the manifest of a board for the list of its runs."""


@dataclass(frozen=True)
class Input:
    """A run folder: its manifest, the records of its last request, and errors of unreadable
    files.
    """

    name: str
    """The folder as the user named it."""
    manifest: dict[str, Any]
    records: tuple[Record, ...]
    problems: tuple[Conflict, ...]
    notes: tuple[str, ...]

    @property
    def is_board(self) -> bool:
        return MERGED in self.manifest

    @cached_property
    def systems(self) -> dict[str, SystemInfo]:
        """Label to info of the systems in the manifest.

        Raises
        ------
        StoreError
            an info cannot be read.
        """
        found = {}
        for label, entry in self.manifest.get("systems", {}).items():
            try:
                found[str(label)] = info_from_json(entry["info"])
            except (KeyError, TypeError) as error:
                raise StoreError(
                    f"{self.name}: its manifest does not describe {label!r} ({error}); run the "
                    "suite again to write it anew"
                ) from error
        return found


def read_input(folder: Path) -> Input:
    """The results of a folder that ``benchsep show`` prints.

    Raises
    ------
    StoreError
        it is not a run folder, or its manifest cannot be read.
    FormatError
        it is of another format.
    """
    store = Store(folder)
    manifest, name = store.manifest(), str(folder)
    found, unreadable = store.records_and_problems()
    problems = [Conflict("file", name, str(problem)) for problem in unreadable]
    if not manifest.get("finished", True) and MERGED not in manifest:
        text = "the run is not finished; to continue it, call `benchsep run` again with the same -o"
        problems.append(Conflict("file", name, text))
    shown = [_shown(record, manifest) for record in found]
    records = tuple(record for record in shown if record.cells or record.draws)
    notes = []
    if left := sum(len(r.cells) for r in found) - sum(len(r.cells) for r in records):
        notes.append(
            f"{name}: {left} cells of earlier requests are left out; the tables of the run leave "
            "them out, too"
        )
    if (folder / "estimates").exists():
        notes.append(f"{name}: its estimates are not copied")
    result = Input(name, manifest, records, tuple(problems), tuple(notes))
    _ = result.systems  # an unreadable description is an error now
    return result


def _shown(record: Record, manifest: dict[str, Any]) -> Record:
    """The shown draws of a record, with the family according to the manifest."""
    numbers = {cell.draw for cell in record.cells} | record.draws.keys()
    shown = {number for number in numbers if is_draw_shown(record, number, manifest)}
    info = manifest.get("systems", {}).get(record.system.label, {}).get("info") or {}
    family = info.get("family") or record.system.family
    return replace(
        record,
        system=replace(record.system, family=family),
        draws={number: draw for number, draw in record.draws.items() if number in shown},
        cells=tuple(cell for cell in record.cells if cell.draw in shown),
    )
