"""Resolves names of metrics and columns that users write: ``SI-SDR``, ``bss_eval``, ``MR-STFT``.

Functions
---------
canonical       the metric or the column that a name means
metrics_named   the metrics to run for a list of names
columns_named   the available columns that a list of names means
column_named    the only column that a name means
keys_named      a mapping with canonical metrics or columns as keys

Conventions
-----------
folding    case, spaces and punctuation are ignored: ``SI-SDR``, ``si_sdr`` and ``sisdr`` are equal
order      first exact names that are available or registered; then registered metrics and columns
           in folded form; then aliases in folded form
aliases    of a metric: ``known_as``; of a column: its value's name (``isr``) and its name in tables
           (``mir_eval SDR``)
ambiguous  a name with several meanings is an error that lists them (``sdr``)

An exact name imports nothing; any other imports all registered metrics.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from benchsep import registry
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.combined import COMBINED, parts_of
from benchsep.metrics.metric import Metric, column

Value = TypeVar("Value")


def fold(name: str) -> str:
    """The name without case, spaces and punctuation."""
    return re.sub(r"[\W_]+", "", name.casefold())


def canonical(name: str, there: Collection[str] = ()) -> str:
    """The metric (``bsseval``) or the column (``bsseval.sdr``) that a name means.

    Parameters
    ----------
    there : available columns, e.g. of a run; their metrics need not be registered.

    Raises
    ------
    UsageError
        the name is unknown (with a suggestion), or means more than one metric or column.
    """
    at_hand = {*there, *map(metric_of, there)}
    if (combined := combined_named(name)) is not None:
        return combined
    if name in at_hand or name in registry.names("metric"):
        return name
    names = _by_name(at_hand)
    found = names.get(fold(name)) or _by_alias().get(fold(name)) or set()
    if name in found:
        return name
    if len(found) > 1:
        raise UsageError(f"metric {name!r} is ambiguous; name one of: {', '.join(sorted(found))}")
    if not found:
        raise UsageError(f"unknown metric {name!r}{_hint(name, names)}")
    return next(iter(found))


def combined_named(name: str) -> str | None:
    """The combined metric that a name means, in any spelling; ``None`` for any other name."""
    return next((known for known in COMBINED if fold(known) == fold(name)), None)


def metric_of(column: str) -> str:
    """The metric of a column; a metric returns itself."""
    return column.split(".")[0]


def metrics_named(names: Iterable[str]) -> tuple[str, ...]:
    """The metrics to run, each once, in order; a column stands for its metric.

    A combined metric stands for the metrics of its parts.

    Raises
    ------
    UsageError
        see :func:`canonical`.
    """
    parts = [part for name in names for part in parts_of(combined_named(name) or name)]
    return tuple(dict.fromkeys(metric_of(canonical(part)) for part in parts))


def columns_named(names: Iterable[str], there: Collection[str]) -> list[str]:
    """The columns in ``there`` that the names mean, in the order of ``there``.

    A metric stands for all its columns.

    Raises
    ------
    UsageError
        see :func:`canonical`; a metric or column that is not ``there``.
    """
    found: set[str] = set()
    for name in names:
        meant = canonical(name, there)
        columns = {c for c in there if meant in (c, metric_of(c))}
        if not columns:
            known = ", ".join(sorted(there)) or "none"
            raise UsageError(f"no metric {name!r} here; there are: {known}")
        found |= columns
    return [c for c in there if c in found]


def column_named(name: str, there: Collection[str] | None = None) -> str:
    """The only column that a name means, in ``there`` or, without it, in all registered columns.

    Raises
    ------
    UsageError
        see :func:`columns_named`; also for a metric with several columns, none of which has its
        name.
    """
    if there is None:
        meant = canonical(name)
        there = _columns(get_metric(metric_of(meant)))
    else:
        meant = canonical(name, there)
    columns = columns_named([meant], there)
    if meant in columns:
        return meant
    if len(columns) > 1:
        raise UsageError(f"metric {name!r} has more than one column: {', '.join(columns)}")
    return columns[0]


def keys_named(table: Mapping[str, Value], there: Collection[str] = ()) -> dict[str, Value]:
    """The mapping with :func:`canonical` keys.

    Raises
    ------
    UsageError
        see :func:`canonical`; two keys that mean the same.
    """
    found: dict[str, Value] = {}
    for name, value in table.items():
        meant = canonical(name, there)
        if meant in found:
            raise UsageError(f"{name!r}: {meant} is given twice")
        found[meant] = value
    return found


def _columns(metric: Metric) -> list[str]:
    return [column(metric, value) for value in metric.values]


def _registered() -> list[Metric]:
    """All metrics that can be imported; broken plugins are left out."""
    found = []
    for name in registry.names("metric"):
        with contextlib.suppress(UsageError):
            found.append(get_metric(name))
    return found


def _by_name(at_hand: Iterable[str]) -> dict[str, set[str]]:
    """Folded name to the metrics and columns of that name; those ``at_hand`` come first."""
    first, then = defaultdict(set), defaultdict(set)
    for name in at_hand:
        first[fold(name)].add(name)
    for name in registry.names("metric"):
        then[fold(name)].add(name)
    for metric in _registered():
        for name in _columns(metric):
            then[fold(name)].add(name)
    return {**then, **first}


def _by_alias() -> dict[str, set[str]]:
    """Folded alias to the metrics and columns that have it."""
    found = defaultdict(set)
    for metric in _registered():
        for alias in getattr(metric, "known_as", ()):
            found[fold(alias)].add(metric.name)
        for value in metric.values:
            for alias in filter(None, (value.name, value.display)):
                found[fold(alias)].add(column(metric, value))
    return found


def _hint(name: str, names: Mapping[str, set[str]]) -> str:
    """The nearest metric or column; without one, the registered metrics."""
    close = difflib.get_close_matches(fold(name), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {min(names[close[0]])!r}?"
    return did_you_mean(name, registry.names("metric"))
