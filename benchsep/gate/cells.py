"""The cells of a run and of a baseline; each is one number with its status.

Conventions
-----------
cell     one number: (system, track, stem, draw, metric)
group    the cells of one (system, stem, metric), over songs and draws
reading  the content of a cell: a value rounded to six decimals or none, and its status
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from benchsep.errors import DriftError
from benchsep.metrics.old_status import meaning
from benchsep.metrics.status import Status

if TYPE_CHECKING:
    import pandas as pd

UNMEASURED = ("undefined", "unavailable")
"""Kinds that are not stored in a baseline, because there is nothing to compare. A change between a
value and one of these kinds counts as a change."""
DECIMALS = 6
"""Decimals of a value in a baseline, so that a diff of two baselines is readable."""


class Group(NamedTuple):
    """The key of a group: cells that share a tolerance for their mean."""

    system: str
    stem: str
    metric: str


class CellKey(NamedTuple):
    """The key of a cell; keys sort by system, track, stem, draw and metric."""

    system: str
    track: str
    stem: str
    draw: int
    metric: str

    @property
    def group(self) -> Group:
        return Group(self.system, self.stem, self.metric)

    def __str__(self) -> str:
        return f"{self.system} / {self.track} / {self.stem} / {self.metric} (draw {self.draw})"


class Reading(NamedTuple):
    """The content of a cell. ``ok`` means a finite value."""

    value: float | None
    status: Status


Cells = dict[CellKey, Reading]


def cells_of_run(frame: pd.DataFrame) -> Cells:
    """The cells of a run's long table.

    Raises
    ------
    DriftError
        a cell has two rows, a value is ``ok`` but not finite, or a status is unknown.
    """
    cells: Cells = {}
    columns = ["system", "track", "stem", "draw", "metric", "value", "status"]
    for system, track, stem, draw, metric, value, status in zip(
        *(frame[c].tolist() for c in columns), strict=True
    ):
        key = CellKey(str(system), str(track), str(stem), int(draw), str(metric))
        if key in cells:
            raise DriftError(f"found two rows for {key}; a run has one row for each cell")
        number = None if value is None or not math.isfinite(value) else round(value, DECIMALS)
        reading = Reading(number, _parsed(str(status), str(key)))
        if number is None and reading.status.kind == "ok":
            raise DriftError(f"{key} has the status ok but no finite value; run the suite again")
        cells[key] = reading
    return cells


def cells_of_baseline(content: Mapping[str, Any]) -> Cells:
    """The cells of a baseline's content.

    Raises
    ------
    DriftError
        an unknown status.
    """
    cells: Cells = {}
    for row in content["cells"]:
        for metric, entry in row["values"].items():
            key = CellKey(row["system"], row["track"], row["stem"], row["draw"], metric)
            value, status = _entry(entry)
            cells[key] = Reading(value, _parsed(meaning(status), f"the baseline's {key}"))
    return cells


def rows_of_baseline(cells: Mapping[CellKey, Reading]) -> list[dict[str, Any]]:
    """The inverse of :func:`cells_of_baseline`: a row per system, track, stem and draw, sorted.

    An entry is the value, the status (without a value), or both (with a value that is not ok).
    """
    rows: dict[tuple[str, str, str, int], dict[str, Any]] = {}
    for key in sorted(cells):
        value, status = cells[key]
        text = str(status)
        entry: Any = text if value is None else [value, text] if status.kind != "ok" else value
        rows.setdefault(key[:4], {})[key.metric] = entry
    return [
        {"system": system, "track": track, "stem": stem, "draw": draw, "values": values}
        for (system, track, stem, draw), values in rows.items()
    ]


def _entry(entry: Any) -> tuple[float | None, str]:
    if isinstance(entry, str):
        return None, entry
    return (entry[0], entry[1]) if isinstance(entry, list) else (entry, "ok")


def _parsed(text: str, where: str) -> Status:
    try:
        return Status.parse(text)
    except ValueError as error:
        raise DriftError(f"{where}: {error}") from error
