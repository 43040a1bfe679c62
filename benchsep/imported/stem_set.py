"""Selects the BSSEval values of a table that have the same meaning in the run's stem set.

The rules are those of museval's files (:func:`benchsep.imported.museval.of_set`). A table may lack
stems of the run; only additional stems show that it was scored with another set. SDR and ISR of a
table without windows are kept, because they differ only if a stem is silent in a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchsep.imported.museval import (
    COLUMNS,
    FREE,
    VALUES,
    WINDOW,
    Frames,
    Result,
    of_set,
    over_windows,
)
from benchsep.imported.table import AS_IMPORTED
from benchsep.stems.sets import parts_of

if TYPE_CHECKING:
    import pandas as pd


def of_stem_set(frame: pd.DataFrame, stems: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The rows that have the same meaning with the stem set ``stems``, and the stems that lost
    rows.

    Parameters
    ----------
    frame
        Rows of :func:`benchsep.imported.table.read_table`.
    stems
        The stem set of the run.
    """
    # Names of no part of a song, such as an average over stems, say nothing about the set.
    known = frame["stem"].map(lambda stem: bool(parts_of(stem))).astype(bool)
    bsseval = frame[frame["metric"].isin(list(COLUMNS)) & known]
    found = {
        key: of_set(_result(part), stems)
        for key, part in bsseval.groupby(["system", "draw", "track"], sort=False)
        if not set(part["stem"]) <= set(stems)
    }
    if not found:
        return frame, []
    rows = []
    for row in _rows(frame):
        result, lost = found.get((row["system"], row["draw"], row["track"]), (None, []))
        if result is not None and row["metric"] in COLUMNS and row["stem"] in lost:
            rows += _kept(row, result)
        else:
            rows.append(row)
    left = sorted({stem for _, lost in found.values() for stem in lost})
    return type(frame)(rows, columns=frame.columns), left


def _result(part: pd.DataFrame) -> Result:
    """The rows of a track in the form of museval's file; without windows if they have none."""
    targets: dict[str, dict[str, Frames]] = {}
    columns = (part[name] for name in ("stem", "metric", "frames"))
    for stem, metric, frames in zip(*columns, strict=True):
        values = targets.setdefault(stem, {name: () for name in VALUES})
        values[COLUMNS[metric]] = frames if isinstance(frames, list) else ()
    row = part.iloc[0]
    ours = row["metric_version"] != AS_IMPORTED
    return Result(row["system"], int(row["draw"]), "", row["track"], row["edition"],
                  row["metric_version"], WINDOW, ours, targets)  # fmt: skip


def _kept(row: dict[str, Any], result: Result) -> list[dict[str, Any]]:
    """The row with its valid windows; ``None`` if it has another meaning in the run.

    A row without windows keeps its SDR or ISR.
    """
    name = COLUMNS[row["metric"]]
    if not isinstance(row["frames"], list):
        return [row] if name in FREE else []
    frames = result.targets.get(row["stem"], {}).get(name)
    if not frames:
        return []
    value, status = over_windows(frames)
    return [{**row, "frames": list(frames), "value": value, "status": status}]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
