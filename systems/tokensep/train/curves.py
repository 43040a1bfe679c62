"""The CSV logs of a training."""

from __future__ import annotations

from pathlib import Path

from benchsep._util.atomic import sweep, write_atomically


def cut_log(path: Path, step: int) -> None:
    """Drop the rows of a CSV whose first column is a step after ``step``.

    A training that is killed continues from its last checkpoint and repeats some steps: without
    this, the log would hold them twice. A row that was not written whole is dropped too, and what
    killed writers left in the log's folder.
    """
    sweep([path.parent])
    if not path.exists():
        return
    head, *rows = path.read_text().splitlines(keepends=True) or [""]
    if not head.endswith("\n"):
        path.unlink()  # killed between creating the file and writing its first line
        return
    kept = [row for row in rows if row.endswith("\n") and _step(row) <= step]
    write_atomically(path, "".join([head, *kept]))


def _step(row: str) -> float:
    try:
        return float(row.split(",", 1)[0])
    except ValueError:
        return float("inf")
