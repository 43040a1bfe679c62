"""Traits of the columns that a run holds, in the order of its metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.metrics.catalog import traits_of
from benchsep.metrics.metric import ValueTraits

if TYPE_CHECKING:
    import pandas as pd


def traits_in(frame: pd.DataFrame, manifest: dict[str, Any]) -> dict[str, ValueTraits]:
    """Column to traits, for every column with cells; the manifest's metrics come first.

    Raises
    ------
    UsageError
        if the run holds a metric that is not registered here.
    """
    columns = set(frame["metric"].unique())
    named = list(manifest.get("metrics", {}))
    named += sorted({c.split(".")[0] for c in columns} - set(named))
    return {c: t for c, t in traits_of(tuple(named)).items() if c in columns}
