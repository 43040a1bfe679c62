"""A run folder: one strict JSON file per (system, track), and the manifest.

Conventions
-----------
layout     ``RUN/manifest.json``, ``RUN/cells/<system>/<track>.json``, ``RUN/estimates/…``,
           ``RUN/claims/…`` while a run is active
atomic     a file is written under a temporary name and renamed: a reader sees the old or the new
           file, never a part
checksum   checksum of the rest of the file. Reading never changes a file: a file with a wrong
           checksum is named and left out. Only a job of ``benchsep run`` that has claimed the
           record and will write it again renames such a file (``*.corrupt``): see
           :meth:`Store.set_aside`
format     records and manifests of older formats are read (:mod:`benchsep.runner.formats`). A file
           of an unknown format is never changed; :class:`FormatError` names its format and the
           version of benchsep that wrote the folder
names      :func:`benchsep._util.digest.file_name` maps system and track names to file names, which
           cannot point outside of the folder
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchsep._util.atomic import is_orphaned, write_atomically
from benchsep._util.digest import canonical, digest, file_name
from benchsep._util.notify import notify
from benchsep._util.version import __version__
from benchsep.errors import FormatError, StoreError
from benchsep.runner.claims import Claims, Owner, this_process
from benchsep.runner.formats import FORMAT, READ, format_of
from benchsep.runner.manifest_types import manifest_problem
from benchsep.runner.reading import (
    DamagedRecordError,
    Read,
    Reader,
    read_record,
    read_sheet,
    shown,
)
from benchsep.runner.record import Record
from benchsep.runner.sheet import Sheet

_ANEW = "run the suite again to write it anew"


@dataclass(frozen=True)
class Store:
    """A run folder."""

    root: Path
    owner: Owner = field(default_factory=this_process, compare=False)
    """The owner of the claims that this object makes; a worker uses its parent process as owner."""

    @property
    def cells_root(self) -> Path:
        return self.root / "cells"

    @property
    def claims(self) -> Claims:
        """The claims on (system, track) pairs of this folder."""
        return Claims(self.root / "claims", self.owner)

    def path(self, system: str, track: str) -> Path:
        """Path of the record of a (system, track)."""
        return Path(self._place(system, track))

    def _place(self, system: str, track: str) -> str:
        """As :meth:`path`, but a text, which is much faster in a large folder."""
        return f"{self._cells}{os.sep}{file_name(system)}{os.sep}{file_name(track)}.json"

    @cached_property
    def _cells(self) -> str:
        return str(self.cells_root)

    def estimate_folder(self, system: str, track: str, draw: int) -> Path:
        """Folder of the kept estimates of a draw."""
        base = self.root / "estimates" / file_name(system) / file_name(track)
        return base if draw == 0 else base / f"draw-{draw}"

    def kept_estimates(self, system: str, track: str, draw: int) -> dict[str, Path]:
        """Stem to the file of its kept estimate; see :func:`benchsep.runner.separation.keep`."""
        folder = self.estimate_folder(system, track, draw)
        files = sorted(path for path in folder.glob("*") if path.suffix in (".flac", ".wav"))
        return {path.stem: path for path in files}

    # -- records --------------------------------------------------------------------------

    def read(self, system: str, track: str) -> Record | None:
        """The record of a (system, track), or ``None`` if there is none or it is damaged.

        Raises
        ------
        FormatError
            it is of another format.
        StoreError
            the file cannot be opened.
        """
        return self._read(system, track, read_record)

    def sheet(self, system: str, track: str, read: Reader[Sheet] = read_sheet) -> Sheet | None:
        """As :meth:`read`, in the form of columns, by the function ``read``."""
        return self._read(system, track, read)

    def _read(self, system: str, track: str, read: Reader[Read]) -> Read | None:
        path = self._place(system, track)
        try:
            return read(path)
        except DamagedRecordError:
            return None
        except FormatError as error:
            raise self._foreign(path, str(error)) from None

    def set_aside(self, system: str, track: str) -> None:
        """Rename the record of a (system, track) if it is damaged, and say so.

        Only for the owner of its claim, so that no other process can have written a new one
        meanwhile.
        """
        path = self.path(system, track)
        try:
            read_record(path)
        except DamagedRecordError as damage:
            target, number = path.with_suffix(".json.corrupt"), 1
            while target.exists():
                number += 1
                target = path.with_suffix(f".json.corrupt-{number}")
            with contextlib.suppress(OSError):
                path.replace(target)
            notify(f"{path} is {damage}; set aside as {target.name}, to be computed again")

    def write(self, record: Record) -> None:
        """Store a record; an existing one is replaced.

        Raises
        ------
        StoreError
            the file cannot be written; the old one is unchanged.
        """
        body = {**record.to_json(), "format": FORMAT}
        text = canonical({**body, "checksum": digest(body)})
        write_atomically(self.path(record.system.label, record.track.name), text + "\n")

    def records(self) -> list[Record]:
        """All records that pass their checksum, sorted by system and track.

        Unreadable records are left out with a warning. So are records at a wrong path (copies made
        by hand), because their cells would count twice.

        Raises
        ------
        FormatError
            there are records, but all are of another format.
        """
        return self._sound(read_record)

    def sheets(self, read: Reader[Sheet] = read_sheet) -> list[Sheet]:
        """As :meth:`records`, in the form of columns, by the function ``read``."""
        return self._sound(read)

    def _sound(self, read: Reader[Read]) -> list[Read]:
        found, problems = self._found_and_problems(read)
        foreign = [problem for problem in problems if isinstance(problem, FormatError)]
        if foreign and not found and len(foreign) == len(problems):
            raise foreign[0]
        for problem in problems:
            if problem not in foreign[1:]:
                notify(f"{problem}; left out")
        if len(foreign) > 1:
            notify(f"{len(foreign) - 1} more records are of another format; left out")
        return found

    def records_and_problems(self) -> tuple[list[Record], list[StoreError]]:
        """The records as :meth:`records`, and an error for each other file."""
        return self._found_and_problems(read_record)

    def _found_and_problems(self, read: Reader[Read]) -> tuple[list[Read], list[StoreError]]:
        found = [self._one_or_problem(path, read) for path in self._record_paths()]
        records = [record for record, _ in found if record is not None]
        problems = [problem for _, problem in found if problem is not None]
        return sorted(records, key=lambda r: (r.system.label, r.track.name)), problems

    def _one_or_problem(
        self, path: str, read: Reader[Read]
    ) -> tuple[Read | None, StoreError | None]:
        try:
            record = read(path)
        except DamagedRecordError as damage:
            again = "`benchsep run` computes it again"
            return None, StoreError(f"{path} is {damage}; {again}")
        except FormatError as error:
            return None, self._foreign(path, str(error))
        except StoreError as error:
            return None, error
        if record and path != self._place(record.system.label, record.track.name):
            return None, StoreError(f"{path} is a copy of another record")
        return record, None

    def _record_paths(self) -> list[str]:
        """Sorted paths of the records. Much faster than ``Path.glob`` in a large folder.

        Pipes and devices are left out, because opening one may block forever.
        """
        try:
            folders = [entry.path for entry in _entries(self.cells_root) if entry.is_dir()]
            return sorted(
                entry.path
                for folder in folders
                for entry in _entries(folder)
                if entry.name.endswith(".json") and not _is_pipe_or_device(entry)
            )
        except OSError as error:
            raise StoreError(
                f"{error.filename} cannot be read ({error.strerror}): its results would be "
                "missing, so fix its permissions"
            ) from error

    def any_sheet(self, read: Reader[Sheet] = read_sheet) -> Sheet | None:
        """Any readable record of the folder, or ``None``."""
        for path in self.cells_root.glob("*/*.json"):
            with contextlib.suppress(StoreError, DamagedRecordError):
                if sheet := read(path):
                    return sheet
        return None

    def _foreign(self, path: str | Path, found: str) -> FormatError:
        """The error for a file of another format."""
        writer, known = _written_by(self.root / "manifest.json"), " and ".join(map(str, READ))
        return FormatError(
            f"{path}: {found}, written by {writer}; benchsep {__version__} reads formats {known}, "
            "and changed nothing. Use the version that wrote the folder, or another folder"
        )

    # -- manifest -------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises
        ------
        StoreError
            the folder is not a run folder, or its manifest cannot be read.
        FormatError
            it is of another format.
        """
        path = self.root / "manifest.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            found = "a file" if self.root.is_file() else "no manifest.json"
            raise StoreError(
                f"{self.root}: not a run folder ({found}); `benchsep run … -o FOLDER` writes one"
            ) from error
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(f"{path}: cannot be read ({reason}); fix its permissions") from error
        except (ValueError, RecursionError) as error:
            raise StoreError(f"{path}: cannot be read ({error}); {_ANEW}") from error
        if not isinstance(content, dict):
            found = type(content).__name__
            raise StoreError(f"{path}: expected an object, found {found}; {_ANEW}")
        if (version := format_of(content)) not in READ:
            raise self._foreign(path, f"format {shown(version)}")
        body = {key: value for key, value in content.items() if key != "checksum"}
        problem = manifest_problem(body)
        try:
            if "checksum" in content and content["checksum"] != digest(body):
                problem = "its checksum is wrong"
        except StoreError as error:
            problem = str(error)
        if problem:
            raise StoreError(f"{path}: damaged ({problem}); {_ANEW}")
        return body

    def refuse_other_formats(self) -> None:
        """Call before any write: raise if the folder is of another format, or the path is a file.

        Raises
        ------
        FormatError, StoreError
            the folder is of another format; the path is a file.
        """
        if self.root.is_file():
            raise StoreError(f"{self.root} is a file; results need a folder: -o FOLDER")
        try:
            self.manifest()
        except FormatError:
            raise
        except StoreError:
            return  # there is no manifest, or it is damaged and will be written again

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Store the manifest; an existing one is replaced. Raises as :meth:`write` does."""
        text = canonical({**manifest, "checksum": digest(manifest)})
        write_atomically(self.root / "manifest.json", text + "\n")

    def sweep(self) -> None:
        """Remove the rests of killed processes: partial files and claims."""
        for path in self.root.rglob(".*.partial*"):
            if is_orphaned(path):
                path.unlink(missing_ok=True)
        self.claims.sweep()


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """The entries of a folder; empty if it does not exist."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _is_pipe_or_device(entry: os.DirEntry[str]) -> bool:
    try:
        return not (entry.is_file() or entry.is_dir()) and Path(entry.path).exists()
    except OSError:
        return False  # a circular link; reported when it is read


def _written_by(manifest: Path) -> str:
    """The version of benchsep in a manifest of any format."""
    try:
        version = json.loads(manifest.read_text(encoding="utf-8"))["packages"]["benchsep"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "an unknown version"
    return f"benchsep {shown(version).strip(chr(39))}"
