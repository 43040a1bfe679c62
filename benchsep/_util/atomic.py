"""Atomic writes: a file is complete or does not exist. Removal of the rests of killed writers."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchsep._util.processes import is_same_process_alive, machine, process_start_time
from benchsep.errors import StoreError

WEEK_S = 7 * 86_400.0
"""Age in seconds after which a partial file of another machine is removed, because its writer
cannot be checked and clocks differ."""


def partial_beside(path: Path, suffix: str = "") -> Path:
    """A temporary name in the same folder: ``.<machine>-<pid>-<start>-<unique>.partial``."""
    return path.with_name(f".{owner_name()}-{time.monotonic_ns() % 10**9}.partial{suffix}")


def owner_name() -> str:
    """The owner part of temporary file names: ``<machine>-<pid>-<start>`` of this process."""
    pid = os.getpid()
    return f"{machine()[:8]}-{pid}-{process_start_time(pid)}"


def is_orphaned(partial: Path) -> bool:
    """Whether the owner of a partial file or folder is gone: on this machine, its process has
    ended; on another machine, the file is a week old.
    """
    owner = re.match(r"(?:\.|[a-z-]+-)([0-9a-f]{8})-(\d+)-(\d+)-", partial.name)
    if owner and owner[1] == machine()[:8]:
        return not is_same_process_alive(int(owner[2]), int(owner[3]))
    try:
        return time.time() - partial.stat().st_mtime > WEEK_S
    except FileNotFoundError:
        return False


def sweep(folders: Iterable[Path]) -> None:
    """Remove orphaned partial files from these folders (not from sub-folders)."""
    for folder in set(folders):
        for path in folder.glob(".*.partial*"):
            if is_orphaned(path):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Context with a partial file (same suffix) to write; at the end it is renamed to ``path``.

    Raises
    ------
    StoreError
        the disk is full, the folder read-only, or the file too large; the message names the path.
    """
    partial = partial_beside(path, path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _reach_the_disk(partial)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); earlier results are intact; "
            "free some space or fix the permissions, then run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _reach_the_disk(path: Path) -> None:
    """Flush the file to disk, because some file systems report a full disk only then."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, text: str) -> None:
    """Write text and rename; raises as :func:`replacing` does."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
