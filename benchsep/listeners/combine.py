"""Combined judges: the equal-weight score of several metrics, ``visqol+mrstft``.

Conventions
-----------
score   the mean of the metrics' z scores, each with its direction, so that higher is better
z       within a song (and stem), over its systems (:func:`benchsep.stats.combined.z_scores`). So
        the scale of a metric has no influence, and nothing is fitted
missing a clip without a value in one of the metrics has no score
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from benchsep.errors import UsageError
from benchsep.listeners.scopes import FAMILIES
from benchsep.metrics.combined import parts_of
from benchsep.stats.combined import z_scores

if TYPE_CHECKING:
    import pandas as pd


def with_combined(
    clips: pd.DataFrame, names: Iterable[str], directions: Mapping[str, int]
) -> pd.DataFrame:
    """The clips with a column for each combined name among ``names``.

    Parameters
    ----------
    clips
        A row per clip: ``song system family`` and optionally ``stem``, and the metrics' columns.
    directions
        +1 or -1 for every metric of a combined name.

    Raises
    ------
    UsageError
        a metric is not a column, or its direction is unknown.
    """
    table = clips.copy()
    for name in names:
        parts = parts_of(name)
        if len(parts) < 2:
            continue
        for part in parts:
            if part not in table.columns or directions.get(part) not in (1, -1):
                known = [c for c in directions if c in table.columns]
                raise UsageError(
                    f"{name}: the columns have no metric {part!r} with a known direction; "
                    f"expected one of {', '.join(known)}"
                )
        table[name] = sum(directions[part] * _z(table, part) for part in parts) / len(parts)
    return table


def _z(clips: pd.DataFrame, column: str) -> pd.Series:
    """Within each song and stem, over the systems alone (not the reference, not anchors)."""
    keys = ["song", *(["stem"] if "stem" in clips.columns else [])]
    systems = clips["family"].isin(FAMILIES)
    found = z_scores(clips[column], [clips[k] for k in keys], systems, clips["system"])
    return found.where(systems)
