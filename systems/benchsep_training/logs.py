"""Logs of a training: ``train.csv`` (one row per logged step) and ``valid.jsonl``.

A killed training continues from its last checkpoint and repeats the steps after it. Both logs
therefore drop rows after the checkpoint, and an incomplete last line.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from benchsep._util.atomic import sweep, write_atomically
from benchsep.errors import CheckpointError


class CsvLog:
    """Rows of numbers; the first row defines the columns, and the first column is ``step``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, row: dict[str, int | float | str]) -> None:
        """Append a row; floats are written with six significant digits."""
        new = not self.path.exists()
        columns = list(row) if new else self.path.read_text().split("\n", 1)[0].split(",")
        with self.path.open("a", newline="") as handle:
            writer = csv.DictWriter(
                handle, columns, restval="", extrasaction="ignore", lineterminator="\n"
            )
            if new:
                writer.writeheader()
            writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})

    def cut(self, step: int) -> None:
        """Drop the rows after ``step``, and partial files that killed writers left here."""
        sweep([self.path.parent])
        if not self.path.exists():
            return
        header, *rows = self.path.read_text().splitlines(keepends=True) or [""]
        if not header.endswith("\n"):
            self.path.unlink()  # killed between creating the file and writing its header
            return
        rows = [row for row in rows if row.endswith("\n") and _step_of(row) <= step]
        write_atomically(self.path, "".join([header, *rows]))


class JsonLog:
    """JSON objects, one per line, each with a ``step``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, row: dict[str, Any]) -> None:
        """Append a row."""
        with self.path.open("a") as handle:
            handle.write(json.dumps(row) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All complete rows.

        Raises
        ------
        CheckpointError
            A row is not JSON.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_text().splitlines(keepends=True)
        try:
            return [json.loads(line) for line in lines if line.endswith("\n")]
        except (ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{self.path} is damaged ({error}); remove the damaged line"
            ) from error

    def row_of(self, step: int) -> dict[str, Any] | None:
        """The row of ``step``, if it is the newest."""
        rows = self.rows()
        return rows[-1] if rows and rows[-1]["step"] == step else None

    def cut(self, step: int) -> None:
        """Drop the rows after ``step``."""
        if self.path.exists():
            kept = [json.dumps(row) + "\n" for row in self.rows() if row["step"] <= step]
            write_atomically(self.path, "".join(kept))


def _step_of(row: str) -> float:
    try:
        return float(row.split(",", 1)[0])
    except ValueError:
        return float("inf")
