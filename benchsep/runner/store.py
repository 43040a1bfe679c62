"""A run folder: one strict-JSON file for each (system, track), and the manifest.

Conventions
-----------
layout     ``RUN/manifest.json``, ``RUN/cells/<system>/<track>.json``, ``RUN/estimates/…``,
           ``RUN/claims/…`` while a run is at work
atomic     a file is written under a temporary name and renamed: a reader gets the old file or the
           new one, never a part
checksum   of the rest of the file. Reading changes no file: it names what fails its checksum and
           leaves it out. Only a job of ``benchsep run``, which holds the claim and is about to
           write the record anew, renames such a file (``*.corrupt``): see :meth:`Store.set_aside`
format     records and manifests of older formats are read (:mod:`benchsep.runner.formats`); one of
           a format that is not known here is never touched: :class:`FormatError` says which format
           it has and which version of benchsep wrote the folder
names      system and track names become file names by :func:`benchsep._util.digest.file_name`,
           which cannot leave the folder whatever the name holds
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
    """Who claims jobs through this object: a worker does so in the name of its parent."""

    @property
    def cells_root(self) -> Path:
        return self.root / "cells"

    @property
    def claims(self) -> Claims:
        """Who is working on which (system, track) of this folder."""
        return Claims(self.root / "claims", self.owner)

    def path(self, system: str, track: str) -> Path:
        """Where the record of a (system, track) belongs."""
        return Path(self._place(system, track))

    def _place(self, system: str, track: str) -> str:
        """As :meth:`path`: in a large folder texts are made and compared much quicker."""
        return f"{self._cells}{os.sep}{file_name(system)}{os.sep}{file_name(track)}.json"

    @cached_property
    def _cells(self) -> str:
        return str(self.cells_root)

    def estimate_folder(self, system: str, track: str, draw: int) -> Path:
        """Where the kept estimates of a draw belong."""
        base = self.root / "estimates" / file_name(system) / file_name(track)
        return base if draw == 0 else base / f"draw-{draw}"

    def kept_estimates(self, system: str, track: str, draw: int) -> dict[str, Path]:
        """Stem to the file of its kept estimate; see :func:`benchsep.runner.separation.keep`."""
        folder = self.estimate_folder(system, track, draw)
        files = sorted(path for path in folder.glob("*") if path.suffix in (".flac", ".wav"))
        return {path.stem: path for path in files}

    # -- records --------------------------------------------------------------------------

    def read(self, system: str, track: str) -> Record | None:
        """The record of a (system, track), or ``None`` if there is none that can be trusted.

        Raises
        ------
        FormatError
            it is of another format.
        StoreError
            the file cannot be opened.
        """
        return self._read(system, track, read_record)

    def sheet(self, system: str, track: str, read: Reader[Sheet] = read_sheet) -> Sheet | None:
        """The same, column by column, by ``read``; raises as :meth:`read` does."""
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

        For the owner of its claim alone: nobody else may have written a new one meanwhile.
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
        """Store a record in place of the one that is there.

        Raises
        ------
        StoreError
            the file cannot be written; the old one is intact.
        """
        body = {**record.to_json(), "format": FORMAT}
        text = canonical({**body, "checksum": digest(body)})
        write_atomically(self.path(record.system.label, record.track.name), text + "\n")

    def records(self) -> list[Record]:
        """All records that pass their checksum, sorted by system and track.

        What cannot be read is left out with a warning; so is a record at a path that is not its own
        (a copy, made by hand), because its cells would count twice.

        Raises
        ------
        FormatError
            there are records, and all of them are of another format.
        """
        return self._sound(read_record)

    def sheets(self, read: Reader[Sheet] = read_sheet) -> list[Sheet]:
        """The same, column by column, by ``read``; raises as :meth:`records` does."""
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
        """The records as :meth:`records` sorts them, and what is wrong with each other file."""
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
        """Where records are stored, sorted. Much quicker than ``Path.glob`` in a large folder.

        A pipe or a device is none: to open it might last for ever.
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
                f"{error.filename} cannot be read ({error.strerror}): what it holds would be "
                "missing; fix its permissions"
            ) from error

    def any_sheet(self, read: Reader[Sheet] = read_sheet) -> Sheet | None:
        """A record of the folder, or ``None`` if there is none that can be read."""
        for path in self.cells_root.glob("*/*.json"):
            with contextlib.suppress(StoreError, DamagedRecordError):
                if sheet := read(path):
                    return sheet
        return None

    def _foreign(self, path: str | Path, found: str) -> FormatError:
        """What to say of a file of another format."""
        writer, known = _written_by(self.root / "manifest.json"), " and ".join(map(str, READ))
        return FormatError(
            f"{path}: {found}, the folder was written by {writer}; benchsep {__version__} reads "
            f"formats {known}, and has changed nothing: use the version that wrote it, or another "
            "folder"
        )

    # -- manifest -------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises
        ------
        StoreError
            if the folder is no run folder or its manifest cannot be read.
        FormatError
            it is of another format.
        """
        path = self.root / "manifest.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            found = "a file" if self.root.is_file() else "no manifest.json"
            raise StoreError(
                f"{self.root}: not a run folder ({found}); benchsep run … -o FOLDER makes one"
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
                problem = "its checksum does not hold"
        except StoreError as error:
            problem = str(error)
        if problem:
            raise StoreError(f"{path}: damaged ({problem}); {_ANEW}")
        return body

    def refuse_other_formats(self) -> None:
        """Before anything is written: raise if another version owns it, or it is a file.

        Raises
        ------
        FormatError, StoreError
            the folder is of another format; the path is that of a file.
        """
        if self.root.is_file():
            raise StoreError(f"{self.root} is a file; results need a folder: -o FOLDER")
        try:
            self.manifest()
        except FormatError:
            raise
        except StoreError:
            return  # there is none, or it is damaged and will be written anew

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Store the manifest in place of the one that is there; raises as :meth:`write` does."""
        text = canonical({**manifest, "checksum": digest(manifest)})
        write_atomically(self.root / "manifest.json", text + "\n")

    def sweep(self) -> None:
        """Remove what killed writers left: partial files and claims of dead processes."""
        for path in self.root.rglob(".*.partial*"):
            if is_orphaned(path):
                path.unlink(missing_ok=True)
        self.claims.sweep()


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    """What a folder holds; nothing where there is none."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []


def _is_pipe_or_device(entry: os.DirEntry[str]) -> bool:
    try:
        return not (entry.is_file() or entry.is_dir()) and Path(entry.path).exists()
    except OSError:
        return False  # a link in a circle: to be named when it is read


def _written_by(manifest: Path) -> str:
    """The version of benchsep that a manifest names, whatever its format."""
    try:
        version = json.loads(manifest.read_text(encoding="utf-8"))["packages"]["benchsep"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "an unknown version"
    return f"benchsep {shown(version).strip(chr(39))}"
