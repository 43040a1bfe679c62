"""Notes on values that were made by several versions: of a metric in one column, of a system in one
row.

A folder may be filled in several runs. Between them, benchsep, a package, the weights of a metric
or those of a system may change; cells that the later runs do not ask for keep the old version.
Values of different versions are not comparable.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from benchsep._util.words import amount

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMES = 3


def mixed_versions(cells: pd.DataFrame, imported: Collection[str] = ()) -> dict[str, str]:
    """Metric to a sentence that lists the systems of each version; or, if the version is the same,
    of each identity (weights, settings and packages).

    Parameters
    ----------
    cells
        Has columns ``system``, ``metric`` and, if known, ``metric_version``, ``metric_id`` and
        ``value``.
    imported
        Systems with imported values; they have their own note on versions.
    """
    if "metric_version" not in cells:
        return {}
    ours = cells[~cells["system"].isin(list(imported)) & cells["metric_version"].notna()]
    found = {}
    for metric, of_version in _systems_by(ours, "metric_version").items():
        words = "; ".join(f"{v}: {_some(names)}" for v, names in sorted(of_version.items()))
        found[metric] = (
            f"One column has values of {len(of_version)} versions of the metric ({words}). "
            "These values cannot be compared; run all systems again with one version of "
            "benchsep."
        )
    if not {"metric_id", "value"} <= set(ours):
        return found
    for metric, of_id in _systems_by(ours[ours["value"].notna()], "metric_id").items():
        groups = "; ".join(sorted(map(_some, of_id.values())))
        found.setdefault(
            metric,
            f"One column has values of {len(of_id)} settings of the metric: its weights or a "
            f"package changed between two runs ({groups}). These values cannot be compared; run "
            "all systems and songs again.",
        )
    return found


def _systems_by(cells: pd.DataFrame, column: str) -> dict[str, dict[str, list[str]]]:
    """Metric to the entries of a column, each with its systems; metrics with one entry are left
    out.
    """
    pairs = cells[cells[column].notna()][["metric", column, "system"]].drop_duplicates()
    groups = {
        str(metric): {str(k): sorted(map(str, v)) for k, v in rows.groupby(column)["system"]}
        for metric, rows in pairs.groupby("metric")
    }
    return {metric: found for metric, found in groups.items() if len(found) > 1}


def mixed_systems(cells: pd.DataFrame, costs: pd.DataFrame) -> list[str]:
    """A sentence for each system whose songs have values of several versions of it: of its code,
    its weights or its options.

    Parameters
    ----------
    cells
        Has columns ``system``, ``track`` and ``value``.
    costs
        Has columns ``system``, ``track`` and, if known, ``system_id``.
    """
    if "system_id" not in costs or "value" not in cells or costs.empty:
        return []
    valued = cells[cells["value"].notna()][["system", "track"]].drop_duplicates()
    songs = costs[["system", "track", "system_id"]].drop_duplicates().merge(valued)
    found = []
    for label, counts in songs.groupby("system")["system_id"].value_counts().groupby("system"):
        if len(counts) > 1:
            shares = ", ".join(amount(int(count), "song") for count in counts)
            found.append(
                f"{label}: its songs have values of {len(counts)} versions ({shares}): weights, "
                "code or options changed between two runs, and the last one did not ask for all "
                "songs. Run all songs again."
            )
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
