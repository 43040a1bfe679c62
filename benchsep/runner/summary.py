"""A run as one number per system, metric and stem: a DataFrame for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.runner.traits import traits_in
from benchsep.stats import AVERAGE, aggregate, with_average, with_combined
from benchsep.stems.sets import disjoint

if TYPE_CHECKING:
    import pandas as pd


def summary_table(cells: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
    """Averages over the songs that all ranked systems have, as in ``benchsep show``.

    Returns
    -------
    DataFrame
        Index ``system``; columns ``(metric, stem)``, with the average over stems as the last stem.
        Values are float in the metric's unit, NaN if a system has no value; no rows if the run has
        no cell.

    Raises
    ------
    UsageError
        cells of several editions, or of a metric that is not registered here.
    """
    import pandas as pd

    cells, traits = with_combined(cells, traits_in(cells, manifest))
    names = sorted(set(map(str, cells["stem"].unique())))
    stems = list(dict.fromkeys((*disjoint(names), *names, AVERAGE)))
    found = aggregate(with_average(cells), traits) if len(cells) else []
    values = {(s.system, s.metric, s.stem): s.value for s in found}
    keys = {(metric, stem) for _, metric, stem in values}
    columns = [(metric, stem) for metric in traits for stem in stems if (metric, stem) in keys]
    systems = sorted({system for system, _, _ in values})
    rows = [[values.get((system, *column)) for column in columns] for system in systems]
    return pd.DataFrame(
        rows,
        index=pd.Index(systems, name="system"),
        columns=pd.MultiIndex.from_tuples(columns, names=["metric", "stem"]) if columns else None,
        dtype=float,
    )
