"""Files that are there whole or not at all: written beside their final name, then renamed.

A partial file is named after its machine and process, so that two writers of one file cannot mix
their bytes (the last rename wins) and that the next writer can tell one that was left behind.
"""

from __future__ import annotations

import glob
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A partial file (same suffix) to write inside the ``with``; it becomes ``path`` at its end.

    An exception inside leaves ``path`` as it was and no partial file.
    """
    host = f"{zlib.crc32(os.uname().nodename.encode()):08x}"
    for old in path.parent.glob(f".{glob.escape(path.stem)}.{host}-*.partial{path.suffix}"):
        if not alive(int(old.name.split(f".{host}-")[-1].split(".")[0])):
            old.unlink(missing_ok=True)
    partial = path.with_name(f".{path.stem}.{host}-{os.getpid()}.partial{path.suffix}")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        yield partial
        partial.chmod(mode)  # safetensors makes files that only their owner can read
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """``path.write_text``, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text)


def cut_log(path: Path, step: int) -> None:
    """Drop the rows of a CSV whose first column is a step after ``step``.

    A training that is killed goes on from its last checkpoint and does some steps again: without
    this they would stand in its curve twice. A row that was not written whole goes too.
    """
    if not path.exists():
        return
    head, *rows = path.read_text().splitlines(keepends=True) or [""]
    if not head.endswith("\n"):
        path.unlink()  # killed between creating the file and writing its first line
        return
    kept = [row for row in rows if row.endswith("\n") and _step(row) <= step]
    write_text(path, "".join([head, *kept]))


def _step(row: str) -> float:
    try:
        return float(row.split(",", 1)[0])
    except ValueError:
        return float("inf")
