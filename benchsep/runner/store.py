"""Cells on disk: one strict-JSON file for each (system, track) of a run.

Conventions
-----------
layout     ``RUN/manifest.json``, ``RUN/cells/<system>/<track>.json``, ``RUN/estimates/…``
atomic     written beside its final name and renamed: a reader sees the old file or the new one
checksum   of the rest of the file; a file that fails it is set aside (``*.corrupt``), named in a
           warning, and its cells are computed again
names      system and track names become file names by :func:`file_name`, which cannot leave the
           folder whatever the name holds
shared     no database and no lock that a network file system might not honour: many machines can
           write into one run folder; a claim file says who is at work on what
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsep._util.atomic import (
    is_orphaned,
    is_same_process_alive,
    process_start_time,
    write_atomically,
)
from benchsep._util.digest import canonical, digest, file_name
from benchsep.errors import StoreError

FORMAT = 1
STALE_CLAIM_S = 900.0
"""A claim from another host counts as abandoned when it has not been touched for so long."""
UNWRITTEN_CLAIM_S = 5.0
"""A claim without its owner's name: whoever made it died before, or in, its first write."""


@dataclass(frozen=True)
class Store:
    """A run folder."""

    root: Path

    @property
    def cells_root(self) -> Path:
        return self.root / "cells"

    def path(self, system: str, track: str) -> Path:
        return self.cells_root / file_name(system) / f"{file_name(track)}.json"

    def estimate_folder(self, system: str, track: str, draw: int) -> Path:
        base = self.root / "estimates" / file_name(system) / file_name(track)
        return base if draw == 0 else base / f"draw-{draw}"

    def kept_estimates(self, system: str, track: str, draw: int) -> dict[str, Path]:
        """Stem to the file of its kept estimate; see :func:`benchsep.runner.job.keep`."""
        folder = self.estimate_folder(system, track, draw)
        files = sorted(path for path in folder.glob("*") if path.suffix in (".flac", ".wav"))
        return {path.stem: path for path in files}

    def read(self, system: str, track: str) -> dict[str, Any] | None:
        """The record of a (system, track), or ``None`` if there is none that can be trusted."""
        return read_record(self.path(system, track))

    def write(self, record: dict[str, Any]) -> None:
        body = {key: value for key, value in record.items() if key != "checksum"}
        body["format"] = FORMAT
        text = canonical({**body, "checksum": digest(body)})
        write_atomically(self.path(record["system"], record["track"]), text + "\n")

    def records(self) -> list[dict[str, Any]]:
        """All records that pass their checksum, sorted by system and track.

        A record that is not where its names belong (a copy, made by hand) is passed over and
        named: its cells would be there twice.
        """
        found = []
        for path in sorted(self.cells_root.glob("*/*.json")):
            record = read_record(path)
            if record is None:
                continue
            if path != self.path(record["system"], record["track"]):
                print(f"benchsep: {path} is a copy of another record; left out", file=sys.stderr)
                continue
            found.append(record)
        return sorted(found, key=lambda r: (str(r["system"]), str(r["track"])))

    def manifest(self) -> dict[str, Any]:
        """The manifest.

        Raises
        ------
        StoreError
            if the folder is no run folder or its manifest cannot be read.
        """
        path = self.root / "manifest.json"
        try:
            loaded = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise StoreError(f"{self.root}: not a run folder (no manifest.json)") from error
        except (OSError, ValueError, RecursionError) as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        if not isinstance(loaded, dict):
            raise StoreError(f"{path}: expected an object, found {type(loaded).__name__}")
        body = {key: value for key, value in loaded.items() if key != "checksum"}
        problem = _manifest_problem(body)
        try:
            if "checksum" in loaded and loaded["checksum"] != digest(body):
                problem = "its checksum does not hold"
        except StoreError as error:
            problem = str(error)
        if problem:
            raise StoreError(f"{path}: damaged ({problem}); run the suite again to write it anew")
        return body

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        text = canonical({**manifest, "checksum": digest(manifest)})
        write_atomically(self.root / "manifest.json", text + "\n")

    # -- claims ---------------------------------------------------------------------------

    def claim(self, system: str, track: str) -> bool:
        """Try to be the one that works on (system, track); False if somebody else is."""
        path = self._claim_path(system, track)
        body = f"{socket.gethostname()} {os.getpid()} {process_start_time(os.getpid())}\n"
        for _ in range(4):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8") as handle:
                    handle.write(body)
                return True
            except FileExistsError:
                if not _abandoned(path):
                    return False
                _clear(path)
            except FileNotFoundError:
                continue  # the folder was swept by a process that finished just now
            except OSError as error:
                # Made and not written: it would hold up the next run for nobody.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                raise StoreError(f"{path}: cannot be written ({error.strerror})") from error
        return False

    def release(self, system: str, track: str) -> None:
        self._claim_path(system, track).unlink(missing_ok=True)

    def refresh(self, system: str, track: str) -> None:
        """Say that the owner of a claim is alive, to those on other machines."""
        with contextlib.suppress(OSError):
            os.utime(self._claim_path(system, track))

    def sweep(self) -> None:
        """Remove what killed writers left: partial files and claims of dead processes."""
        for path in self.root.rglob(".*.partial*"):
            if is_orphaned(path):
                path.unlink(missing_ok=True)
        claims = self.root / "claims"
        for path in claims.glob("*") if claims.is_dir() else ():
            if _abandoned(path):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            claims.rmdir()

    def _claim_path(self, system: str, track: str) -> Path:
        return self.root / "claims" / digest(system, track)


def _abandoned(path: Path) -> bool:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return True
    found = re.fullmatch(r"(\S+) (\d+) (\d+)\n", text)
    if found is None:
        return age > UNWRITTEN_CLAIM_S  # created, not yet written: give its owner a moment
    if found[1] == socket.gethostname():
        return not is_same_process_alive(int(found[2]), int(found[3]))
    return age > STALE_CLAIM_S


def _clear(path: Path) -> None:
    """Remove an abandoned claim; of several who try, none removes the claim that follows it."""
    tomb = path.with_name(f"{path.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        path.rename(tomb)
    except FileNotFoundError:
        return
    if not _abandoned(tomb):
        # Somebody was quicker: this is their new claim, and they must get it back.
        with contextlib.suppress(OSError):
            os.link(tomb, path)
    tomb.unlink(missing_ok=True)


def read_record(path: Path) -> dict[str, Any] | None:
    """A record whose checksum holds; a damaged file is set aside and named on stderr."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        _set_aside(path, "unreadable")
        return None
    why = "damaged (its checksum does not hold)"
    try:
        record = json.loads(text)
        body = {key: value for key, value in record.items() if key != "checksum"}
        if record["checksum"] == digest(body):
            if _well_formed(body):
                return dict(record)
            why = f"not a record of format {FORMAT}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StoreError):
        pass
    _set_aside(path, why)
    return None


RECORD: dict[str, Any] = {
    **dict.fromkeys(("system", "family", "system_id", "checkpoint_sha256", "track"), str),
    **dict.fromkeys(("split", "edition", "stamp", "mixture_source", "mixture_sha256"), str),
    "reference_sha256": dict,
    "audio_seconds": (int, float, type(None)),
    "draws": dict,
    "cells": list,
}
CELL: dict[str, Any] = {
    **dict.fromkeys(("metric", "metric_version", "metric_id", "stem", "status", "key"), str),
    "draw": int,
    "value": (int, float, type(None)),
    "seconds": (int, float, type(None)),
    "frames": (list, type(None)),
}
"""Types of what every reader of a record relies on. A checksum can be made for anything, by hand
or by another version, so it says only that nothing changed since."""


def _well_formed(record: dict[str, Any]) -> bool:
    if record.get("format") != FORMAT or not _has(record, RECORD):
        return False
    draws, hashes = record["draws"].values(), record["reference_sha256"].values()
    number = (int, float, type(None))
    cells = record["cells"]
    if len({(c["metric"], c["stem"], c["draw"]) for c in cells if _is_cell(c)}) != len(cells):
        return False
    return (
        all(isinstance(found, str) for found in hashes)
        and all(isinstance(x, number) for c in record["cells"] for x in c["frames"] or ())
        and all(isinstance(d, dict) and isinstance(d.get("seconds"), number) for d in draws)
        and all(isinstance(d.get("peak_memory_mb"), number) for d in draws)
        and all(re.fullmatch(r"\d{1,9}", key) for key in record["draws"])
    )


def _is_cell(cell: Any) -> bool:
    return isinstance(cell, dict) and _has(cell, CELL)


def _has(entry: dict[str, Any], types: dict[str, Any]) -> bool:
    return all(key in entry and isinstance(entry[key], kind) for key, kind in types.items())


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
    print(f"benchsep: {path} is {why}; set aside, to be computed again", file=sys.stderr)
