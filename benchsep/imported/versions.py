"""Moves values of another metric version than the run's to their own columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep.imported.museval import MUSEVAL
from benchsep.imported.table import AS_IMPORTED
from benchsep.runner.traits import IMPORTED

if TYPE_CHECKING:
    import pandas as pd


def of_versions(frame: pd.DataFrame, cells: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame with renamed columns, and a sentence for each.

    Parameters
    ----------
    frame
        Imported cells. If a file has no version, it is :data:`benchsep.imported.table.AS_IMPORTED`
        or begins with :data:`benchsep.imported.museval.MUSEVAL`.
    cells
        Cells of the run.
    """
    if "metric_version" not in cells:
        return frame, []
    own: dict[str, set[str]] = {}
    pairs = cells[["metric", "metric_version", "status"]].drop_duplicates()
    for metric, version, status in pairs.itertuples(index=False, name=None):
        if not str(status).startswith("unavailable"):
            own.setdefault(metric, set()).add(str(version))
    names, said = [], set[str]()
    for metric, version in zip(frame["metric"], map(str, frame["metric_version"]), strict=True):
        there = own.get(metric, {version})
        if version == AS_IMPORTED or version.startswith(MUSEVAL) or version in there:
            names.append(metric)
            continue
        names.append(f"{IMPORTED}{metric.replace('.', ' ')}, version {version}")
        said.add(
            f"{metric} is of version {version}, the run's of {', '.join(sorted(there))}: it has a "
            "column of its own"
        )
    return frame.assign(metric=names), sorted(said)
