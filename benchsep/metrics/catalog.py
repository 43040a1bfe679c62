"""The registered metrics, by name, and the traits of every value they yield."""

from __future__ import annotations

from functools import cache
from typing import cast

from benchsep import registry
from benchsep.metrics.metric import Metric, ValueTraits, column


@cache
def get_metric(name: str) -> Metric:
    """The metric of that name; a class or factory is called once per process.

    Raises
    ------
    UsageError
        unknown name (with a suggestion), or its plugin cannot be imported.
    """
    target = registry.resolve("metric", name)
    made = target() if callable(target) and not hasattr(target, "score_track") else target
    return cast(Metric, made() if isinstance(made, type) else made)


def traits_of(names: tuple[str, ...]) -> dict[str, ValueTraits]:
    """Column name to traits, for all values of these metrics, in order."""
    return {
        column(metric, value): value for metric in map(get_metric, names) for value in metric.values
    }


def stems_scored(metric: Metric, stems: tuple[str, ...], *, all_stems: bool) -> tuple[str, ...]:
    """The stems of ``stems`` that a metric scores: its defaults unless all are asked for."""
    return stems if all_stems else tuple(s for s in stems if s in metric.default_stems)
