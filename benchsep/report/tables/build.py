"""A run as tables of systems by stems, one per metric.

Conventions
-----------
order      an overview first, then a table per metric. Metrics that tolerate misalignment come
           first, so that waveform metrics do not lead a report with several families
axes       the first columns of the overview are quality and interference
           (:mod:`benchsep.report.tables.axes`), then the other metrics
bass       if bass carries a lead in an average, the average without bass is shown beside it
           (:mod:`benchsep.report.tables.bass`), in tables by stem and for the overview's axes
rows       generative, discriminative, undeclared, then the reference systems: mixture, true
           stems, oracles. Within a group by label
songs      a column is aggregated over the songs that all its ranked systems have; ``n/N`` in the
           cell if these are not all songs
best       bold; the rules are in :mod:`benchsep.report.tables.fill`
editions   never mixed in a table
output     depends only on the run: the same bytes each time
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchsep.report.published.entries import agreeing
from benchsep.report.tables import bass
from benchsep.report.tables.axes import heads, missing
from benchsep.report.tables.axes import sentence as axes_sentence
from benchsep.report.tables.columns import (
    companion,
    display,
    is_detail,
    is_headline,
    is_speech_model,
    metric_of,
)
from benchsep.report.tables.edition import Edition, editions
from benchsep.report.tables.fill import MEMORY, RTF, TableSpec, fill
from benchsep.report.tables.model import Column, Table, numbered
from benchsep.report.tables.published import with_published
from benchsep.runner.manifest import stem_set_of
from benchsep.stats.songs import AVERAGE, of_edition
from benchsep.stems.sets import FOUR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from benchsep.metrics.metric import ValueTraits


def tables(
    frame: pd.DataFrame,
    costs: pd.DataFrame,
    manifest: Mapping[str, Any],
    traits: Mapping[str, ValueTraits],
    *,
    improvement: bool = False,
    intervals: bool = False,
) -> list[Table]:
    """All tables of scores of a run.

    Parameters
    ----------
    frame, costs
        Long tables as :func:`benchsep.runner.frame.load_run` and ``load_costs`` give them.
    manifest
        The run's manifest; missing entries are left out of the captions.
    traits
        Column name to its traits.
    improvement
        Add, after each value, the gain over the mixture, paired by song.
    intervals
        Add 95 % intervals and the compact letters of systems that are not shown to differ (slow
        on a large run).

    Returns
    -------
    list of Table
        Overview first for each edition; empty if the run has no cell.
    """
    result: list[Table] = []
    is_four = set(stem_set_of(manifest)) == set(FOUR)
    split = str((manifest.get("suite") or {}).get("split", ""))
    for edition in editions(
        frame, costs, manifest, traits, improvement=improvement, intervals=intervals
    ):
        cells = of_edition(frame, edition.name)
        published = agreeing(cells, traits, split) if is_four else []  # they are of these stems
        for spec in _specs(edition):
            table = fill(edition, spec)
            table = with_published(table, published)
            result.append(numbered(table, len(result) + 1))
    return result


def _specs(edition: Edition) -> list[TableSpec]:
    """The tables of an edition, in order."""
    columns = edition.metrics
    if not columns:
        return []
    specs = [_overview(edition, columns)]
    done: set[str] = set()
    for column in columns:
        if column in done:
            continue
        group = _columns_sharing_a_table(edition, column, columns)
        done.update(group)
        if is_detail(column, edition.traits):
            specs.append(_details(edition, group))
        elif len(group) > 1:
            specs.append(_speech_models(edition, group))
        else:
            specs.append(_per_stem(edition, column))
    return specs


def _columns_sharing_a_table(edition: Edition, column: str, columns: Sequence[str]) -> list[str]:
    """Groups of columns that share a table: speech models on one stem, and further values of a
    metric.
    """
    traits = edition.traits
    if is_detail(column, traits):
        name = metric_of(column)
        return [c for c in columns if metric_of(c) == name and is_detail(c, traits)]
    stems = edition.stems(column)
    if not is_speech_model(column, traits) or len(stems) != 1:
        return [column]
    return [c for c in columns if is_speech_model(c, traits) and edition.stems(c) == stems]


# -- the four shapes ----------------------------------------------------------------------------


def _overview(edition: Edition, columns: Sequence[str]) -> TableSpec:
    """The two axes, and the headline value of each other metric."""
    names = {c: _overview_head(edition, c) for c in columns}
    axes = heads(edition, names)
    others = [c for c in columns if is_headline(c, edition.traits) and c not in axes]
    first = [
        replace(_column(edition, c, head), axis=question) for c, (question, head) in axes.items()
    ]
    rest = [_column(edition, c, names[c]) for c in others]
    return TableSpec(
        "Overview: mean over stems",
        [*first, *bass.columns_without(first, edition), *rest],
        [*axes, *others],
        costs=(RTF, MEMORY),
        with_gains=False,  # they would double the width; the metrics' own tables have them
        sentences=bass.clause([*first, *rest], edition),
        notes=[*filter(None, (axes_sentence(edition), bass.sentence(_averages(edition), edition)))],
        warnings=missing(edition),
    )


def _averages(edition: Edition) -> list[Column]:
    """The average of each metric that has a table by stem."""
    by_stem = [c for c in edition.metrics if not is_detail(c, edition.traits)]
    return [_column(edition, c, c) for c in by_stem if edition.stem_or_average(c) == AVERAGE]


def _overview_head(edition: Edition, column: str) -> str:
    stems = edition.stems(column)
    name = display(column, edition.traits)
    return f"{name} ({stems[0]})" if len(stems) == 1 else name


def _details(edition: Edition, columns: Sequence[str]) -> TableSpec:
    """The further values of one metric."""
    traits = edition.traits
    first = next(c for c in traits if metric_of(c) == metric_of(columns[0]))
    title = f"{display(first, traits)}: further values, average over stems"
    shown = [_column(edition, c, display(c, traits)) for c in columns]
    return TableSpec(title, shown, columns)


def _speech_models(edition: Edition, columns: Sequence[str]) -> TableSpec:
    """Several speech models on the one stem that they were scored on."""
    traits = edition.traits
    # The first word of what is printed: "DNSMOS" of "DNSMOS OVRL".
    names = dict.fromkeys(display(c, traits).split(" ")[0] for c in columns)
    title = f"{' and '.join(names)} on {edition.stems(columns[0])[0]}"
    shown = [_column(edition, c, display(c, traits)) for c in columns]
    return TableSpec(title, shown, columns)


def _per_stem(edition: Edition, column: str) -> TableSpec:
    """One value by stem, and its companion."""
    stems = edition.stems(column)
    average = edition.stem_or_average(column) == AVERAGE
    names = (*stems, AVERAGE) if average else stems
    shown = [_column(edition, column, stem, stem=stem, in_title=True) for stem in names]
    metrics = [column]
    other = _companion_metric(edition, column)
    if other:
        metrics.append(other)
        shown.append(_column(edition, other, f"{display(other, edition.traits)} (average)"))
    # The companion has its own table, with a column without bass.
    first, companions = shown[: len(names)], shown[len(names) :]
    return TableSpec(
        _title(edition, column),
        [*first, *bass.columns_without(first, edition), *companions],
        metrics,
        costs=(RTF,),
        sentences=bass.clause(first, edition),
    )


def _companion_metric(edition: Edition, column: str) -> str | None:
    """The column of this run that must be shown with ``column``, if any."""
    traits = edition.traits
    return companion(column, [m for m in traits if edition.stems(m)], traits)


def _title(edition: Edition, column: str) -> str:
    """``uSDR (dB, higher is better)``."""
    traits = edition.traits[column]
    better = {1: "higher is better", -1: "lower is better"}.get(traits.direction, "")
    inside = ", ".join(filter(None, (traits.unit, better)))
    return display(column, edition.traits) + (f" ({inside})" if inside else "")


def _column(
    edition: Edition, metric: str, head: str, *, stem: str = "", in_title: bool = False
) -> Column:
    """A column of scores; without ``stem``: the only stem, or the average."""
    stem = stem or edition.stem_or_average(metric)
    t = edition.traits[metric]
    # Only averages and headlines have intervals, to keep tables readable.
    headline = len(edition.stems(metric)) == 1 and is_headline(metric, edition.traits)
    spread = stem == AVERAGE or headline
    return Column(
        metric, stem, head, t.unit, t.digits, t.direction, in_title=in_title, spread=spread
    )
