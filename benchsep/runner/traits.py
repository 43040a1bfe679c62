"""Traits of the columns of a run, in the order of its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.metrics.catalog import traits_of
from benchsep.metrics.metric import ValueTraits

if TYPE_CHECKING:
    import pandas as pd

IMPORTED = "imported:"
"""Prefix of columns with imported values that were computed by another definition."""


def traits_in(frame: pd.DataFrame, manifest: dict[str, Any]) -> dict[str, ValueTraits]:
    """Column to traits, for every column with cells; the manifest's metrics come first.

    Raises
    ------
    UsageError
        if the run has a metric that is not registered here.
    """
    columns = set(frame["metric"].unique())
    foreign = sorted(c for c in columns if c.startswith(IMPORTED))
    named = list(manifest.get("metrics", {}))
    named += sorted({c.split(".")[0] for c in columns.difference(foreign)} - set(named))
    known = {c: t for c, t in traits_of(tuple(named)).items() if c in columns}
    return known | {c: _imported(c) for c in foreign}


def _imported(column: str) -> ValueTraits:
    """Traits for an unknown definition: never ranked, compared by difference only."""
    name = f"{column.removeprefix(IMPORTED)} (imported)"
    return ValueTraits(name="", direction=0, unit="", low=None, high=None, display=name)
