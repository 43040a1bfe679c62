"""Files that are there whole or not at all, and what killed writers leave behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchsep.errors import StoreError


def partial_beside(path: Path, suffix: str = "") -> Path:
    """A temporary name in the same folder: ``.<host>-<pid>-<start>-<unique>.partial``."""
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    pid = os.getpid()
    unique = time.monotonic_ns() % 10**9
    return path.with_name(f".{host}-{pid}-{process_start_time(pid)}-{unique}.partial{suffix}")


def is_orphaned(partial: Path) -> bool:
    """Whether the writer of a partial file is gone: its process here, or an hour elsewhere."""
    owner = re.match(r"\.([0-9a-f]{8})-(\d+)-(\d+)-", partial.name)
    host = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
    if owner and owner[1] == host:
        return not is_same_process_alive(int(owner[2]), int(owner[3]))
    try:
        return time.time() - partial.stat().st_mtime > 3600
    except FileNotFoundError:
        return False


def sweep(folders: Iterable[Path]) -> None:
    """Remove from these folders (not from those below) what writers left that are gone."""
    for folder in set(folders):
        for path in folder.glob(".*.partial*"):
            if is_orphaned(path):
                path.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A partial file (same suffix) to write inside the ``with``; at its end it becomes ``path``.

    Raises
    ------
    StoreError
        naming the path when the disk is full, the folder read-only, or the file too large.
    """
    partial = partial_beside(path, path.suffix)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        _reach_the_disk(partial)
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); what was stored before is "
            "intact, free some space or fix the permissions and run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _reach_the_disk(path: Path) -> None:
    """Some file systems say that they are full only now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, text: str) -> None:
    """Write text and rename; raises as :func:`replacing` does."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def process_start_time(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 where that cannot be known.

    A number in a file is not a process: numbers are given again, and in a container whose name
    stays the program has the same number after every restart.
    """
    try:
        # The name in parentheses may hold spaces; the start is the 20th field after it.
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def is_same_process_alive(pid: int, start: int) -> bool:
    """Whether the process of that number that began at ``start`` is alive (0: any start)."""
    return pid_alive(pid) and start in (0, process_start_time(pid))


def pid_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
