"""A run folder: one strict-JSON file for each (system, track), and the manifest.

Conventions
-----------
layout     ``RUN/manifest.json``, ``RUN/cells/<system>/<track>.json``, ``RUN/estimates/…``,
           ``RUN/claims/…`` while a run is at work
atomic     a file is written under a temporary name and renamed: a reader gets the old file or the
           new one, never a part
checksum   of the rest of the file; a file that fails it is renamed (``*.corrupt``), named in a
           warning, and its cells are computed again
names      system and track names become file names by :func:`benchsep._util.digest.file_name`,
           which cannot leave the folder whatever the name holds
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsep._util.atomic import is_orphaned, write_atomically
from benchsep._util.digest import canonical, digest, file_name
from benchsep._util.notify import notify
from benchsep.errors import StoreError
from benchsep.runner.claims import Claims
from benchsep.runner.record import Record

FORMAT = 1


@dataclass(frozen=True)
class Store:
    """A run folder."""

    root: Path

    @property
    def cells_root(self) -> Path:
        return self.root / "cells"

    @property
    def claims(self) -> Claims:
        """Who is working on which (system, track) of this folder."""
        return Claims(self.root / "claims")

    def path(self, system: str, track: str) -> Path:
        """Where the record of a (system, track) belongs."""
        return self.cells_root / file_name(system) / f"{file_name(track)}.json"

    def estimate_folder(self, system: str, track: str, draw: int) -> Path:
        """Where the kept estimates of a draw belong."""
        base = self.root / "estimates" / file_name(system) / file_name(track)
        return base if draw == 0 else base / f"draw-{draw}"

    def kept_estimates(self, system: str, track: str, draw: int) -> dict[str, Path]:
        """Stem to the file of its kept estimate; see :func:`benchsep.runner.execute.keep`."""
        folder = self.estimate_folder(system, track, draw)
        files = sorted(path for path in folder.glob("*") if path.suffix in (".flac", ".wav"))
        return {path.stem: path for path in files}

    # -- records --------------------------------------------------------------------------

    def read(self, system: str, track: str) -> Record | None:
        """The record of a (system, track), or ``None`` if there is none that can be trusted."""
        return read_record(self.path(system, track))

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

        A record at a path that is not its own (a copy, made by hand) is left out with a warning,
        because its cells would count twice.
        """
        records = []
        for path in sorted(self.cells_root.glob("*/*.json")):
            record = read_record(path)
            if record is None:
                continue
            if path != self.path(record.system.label, record.track.name):
                notify(f"{path} is a copy of another record; left out")
                continue
            records.append(record)
        return sorted(records, key=lambda r: (r.system.label, r.track.name))

    def any_record(self) -> Record | None:
        """A record of the folder, or ``None`` if there is none."""
        first = next(iter(self.cells_root.glob("*/*.json")), None)
        return read_record(first) if first else None

    # -- manifest -------------------------------------------------------------------------

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises
        ------
        StoreError
            if the folder is no run folder or its manifest cannot be read.
        """
        path = self.root / "manifest.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(f"{self.root}: not a run folder (no manifest.json)") from error
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        if not isinstance(content, dict):
            raise StoreError(f"{path}: expected an object, found {type(content).__name__}")
        body = {key: value for key, value in content.items() if key != "checksum"}
        problem = _manifest_problem(body)
        try:
            if "checksum" in content and content["checksum"] != digest(body):
                problem = "its checksum does not hold"
        except StoreError as error:
            problem = str(error)
        if problem:
            raise StoreError(f"{path}: damaged ({problem}); run the suite again to write it anew")
        return body

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


def read_record(path: Path) -> Record | None:
    """A record whose checksum holds; a damaged file is renamed and named on stderr."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        _set_aside(path, "unreadable")
        return None
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
        if not _checksum_holds(text, content):
            _set_aside(path, "damaged (its checksum does not hold)")
            return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StoreError):
        _set_aside(path, "damaged (its checksum does not hold)")
        return None
    try:
        if content.get("format") != FORMAT:
            raise ValueError(f"format {content.get('format')!r}")
        return Record.from_json(content)
    except (ValueError, OverflowError):  # an integer that no float can hold
        _set_aside(path, f"not a record of format {FORMAT}")
        return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_CHECKSUM_LINE = re.compile(r'\n "checksum": "([0-9a-f]{32})",')


def _checksum_holds(text: str, content: dict[str, Any]) -> bool:
    """Whether ``digest`` of the content without its checksum is the checksum.

    The file is canonical JSON already. Serialising it once more takes half of the time that a
    large run needs to load, so the canonical form of ``[body]`` is made from the text itself:
    without the line of the checksum, and one level deeper. A file that somebody has formatted
    anew does not match and is serialised.
    """
    lines = _CHECKSUM_LINE.findall(text)
    # An escaped character may be half of a surrogate pair, which canonical JSON refuses.
    if len(lines) == 1 and "\\u" not in text:
        body = _CHECKSUM_LINE.sub("", text).rstrip("\n")
        nested = "[\n " + body.replace("\n", "\n ") + "\n]"
        if hashlib.sha256(nested.encode()).hexdigest()[:32] == lines[0]:
            return bool(content["checksum"] == lines[0])
    body_content = {key: value for key, value in content.items() if key != "checksum"}
    return bool(content["checksum"] == digest(body_content))


def _manifest_problem(manifest: dict[str, Any]) -> str:
    """What is wrong with the sections that readers rely on, or an empty text."""
    for name in ("suite", "dataset", "systems", "metrics", "packages"):
        if not isinstance(manifest.get(name, {}), dict):
            return f"{name} is {type(manifest[name]).__name__}, expected an object"
    for name in ("systems", "metrics"):
        for key, entry in manifest.get(name, {}).items():
            if not isinstance(entry, dict):
                return f"{name}.{key} is {type(entry).__name__}, expected an object"
    notes = manifest.get("dataset", {}).get("notes", [])
    if not isinstance(notes, list):
        return f"dataset.notes is {type(notes).__name__}, expected a list"
    return ""


def _set_aside(path: Path, why: str) -> None:
    with contextlib.suppress(OSError):
        path.replace(path.with_suffix(".json.corrupt"))
    notify(f"{path} is {why}; set aside, to be computed again")
