"""A note on folders of estimates that changed since their values were computed.

A run shows the values of all systems in its folder, also of those that it does not ask for. The
files of a folder of estimates may have been replaced since then, or its name given to another
folder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep._util.words import amount
from benchsep.errors import BenchsepError
from benchsep.runner.done import is_spec_of_folder, stamps_of_files
from benchsep.runner.stamps import InputStamps, remembered_labels
from benchsep.systems.spec import load_system

if TYPE_CHECKING:
    from benchsep.runner.plan import Plan
    from benchsep.runner.reading import Sheets
    from benchsep.runner.sheet import Sheet
    from benchsep.runner.store import Store


def outdated_folders(plan: Plan, store: Store, sheets: Sheets) -> list[str]:
    """A sentence for each folder of estimates that the plan does not ask for and whose files are
    not those of its values. Folders that do not exist any more are left out.
    """
    stamps = InputStamps(plan.dataset_name)
    found = []
    for label, spec in remembered_labels(store).items():
        if label in plan.systems or not is_spec_of_folder(spec):
            continue
        try:
            system = load_system(spec)
            songs = [
                track.name
                for track in plan.tracks
                if (sheet := store.sheet(label, track.name, sheets)) is not None
                and _has_value(sheet)
                and sheet.input_stamp
                not in stamps_of_files(stamps.of(track, system.stamp(track)), plan.mixtures)
            ]
        except BenchsepError:
            continue
        if songs:
            found.append(
                f"{label}: its files ({spec}) or the songs are not those of its values on "
                f"{amount(len(songs), 'song')}, for example {songs[0]!r}, as far as sizes and "
                "times tell. Name it in --systems, too: what is equal is not computed again"
            )
    return found


def _has_value(sheet: Sheet) -> bool:
    return any(value == value for value in sheet.cells.value)  # not NaN
