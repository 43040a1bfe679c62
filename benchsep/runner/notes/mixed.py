"""A note on columns with values of several versions of their metric.

A folder may be filled in several runs, and benchsep may be updated between them: cells of other
systems then keep the old version. Values of different versions are not comparable.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMES = 3


def mixed_versions(cells: pd.DataFrame, imported: Collection[str] = ()) -> dict[str, str]:
    """Metric to a sentence that lists the systems of each version.

    Parameters
    ----------
    cells
        Has columns ``system``, ``metric`` and, if known, ``metric_version``.
    imported
        Systems with imported values; they have their own note on versions.
    """
    if "metric_version" not in cells:
        return {}
    ours = cells[~cells["system"].isin(list(imported)) & cells["metric_version"].notna()]
    pairs = ours[["metric", "metric_version", "system"]].drop_duplicates()
    found = {}
    for metric, rows in pairs.groupby("metric"):
        of_version = rows.groupby("metric_version")["system"].apply(sorted).to_dict()
        if len(of_version) > 1:
            words = "; ".join(f"{v}: {_some(names)}" for v, names in sorted(of_version.items()))
            found[str(metric)] = (
                f"One column has values of {len(of_version)} versions of the metric ({words}). "
                "These values cannot be compared; run all systems again with one version of "
                "benchsep."
            )
    return found


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
