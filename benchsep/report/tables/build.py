"""A run as tables: systems by stems, a table a metric, readable on their own.

Conventions
-----------
order      an overview first, then a table for each metric; metrics that tolerate misalignment
           come first, so that no dB value heads a report that mixes families
rows       generative, discriminative, undeclared, then the yardsticks: mixture, reference,
           oracles. Within a group by label
songs      a column is aggregated over the songs that all its ranked systems have; ``n/N`` in
           the cell where that is fewer than all
best       bold, per column, among ranked systems; ties at the printed precision together;
           never an ill-conditioned value, nor where only one ranked system has a value; within
           each family where the metric is known to mislead across families
editions   never share a table
output     a function of the run alone: the same bytes each time

Functions
---------
tables   the list of :class:`~benchsep.report.tables.model.Table`
render   that list as text in a named format (see :mod:`benchsep.report.tables.render`)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchsep.listeners import validity
from benchsep.report.tables import captions
from benchsep.report.tables.columns import companion, is_speech_model, metric_of, stem_order
from benchsep.report.tables.model import GROUPS, Cell, Column, Row, Table, group_of, numbered
from benchsep.report.tables.render import render
from benchsep.report.tables.summary import Key, Summary, gains, summaries
from benchsep.stats.core import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

__all__ = ["render", "tables"]

RTF = Column("rtf", "", "RTF", "", 3, -1, "cost")
MEMORY = Column("peak_memory_mb", "", "Memory", "MB", 0, -1, "cost")


@dataclass(frozen=True)
class _Run:
    """One edition of a run, indexed."""

    edition: str
    scores: Mapping[Key, Summary]
    gains: Mapping[Key, Summary]
    families: Mapping[str, str]
    tracks: tuple[str, ...]
    draws: int
    traits: Mapping[str, ValueTraits]
    costs: Mapping[str, tuple[float | None, float | None, int]]
    manifest: Mapping[str, Any]

    @property
    def systems(self) -> list[str]:
        return sorted(self.families, key=self._place)

    def _place(self, label: str) -> tuple[int, int, str]:
        family = self.families[label]
        group = list(GROUPS).index(group_of(family))
        return group, captions.yardstick_rank(label, family), label

    def stems(self, metric: str) -> tuple[str, ...]:
        return stem_order({s for _, s, name in self.scores if name == metric} - {AVERAGE})


def tables(
    frame: pd.DataFrame,
    costs: pd.DataFrame,
    manifest: Mapping[str, Any],
    traits: Mapping[str, ValueTraits],
    *,
    improvement: bool = False,
    intervals: bool = False,
) -> list[Table]:
    """All tables of a run.

    Parameters
    ----------
    frame, costs
        Long tables as :func:`benchsep.runner.frame.load_run` and ``load_costs`` give them.
    manifest
        The run's manifest; what it lacks is left out of the captions.
    traits
        Column name to how its value is read.
    improvement
        Add, beside each value, the gain over the mixture, paired by song.
    intervals
        Add 95 % intervals and the letters of systems that cannot be told apart (slow on a
        large run).

    Returns
    -------
    list of Table
        Overview first for each edition; empty if the run holds no cell.
    """
    made: list[Table] = []
    for edition in sorted(map(str, frame["edition"].unique())):
        rows = frame[frame["edition"].astype(str) == edition]
        run = _index(rows, costs, manifest, traits, edition, improvement, intervals)
        for build in _plan(run):
            made.append(numbered(build(run), len(made) + 1))
    return made


def _index(
    frame: pd.DataFrame,
    costs: pd.DataFrame,
    manifest: Mapping[str, Any],
    traits: Mapping[str, ValueTraits],
    edition: str,
    improvement: bool,
    intervals: bool,
) -> _Run:
    families = dict(zip(frame["system"], frame["family"], strict=True))
    frame = frame[frame["metric"].isin(list(traits))]
    mixture = min((s for s, f in families.items() if f == "mixture"), default=None)
    return _Run(
        edition=edition,
        scores=summaries(frame, traits, intervals=intervals),
        gains=gains(frame, traits, mixture) if improvement and mixture else {},
        families=families,
        tracks=tuple(sorted(map(str, frame["track"].unique()))),
        draws=int(frame["draw"].nunique()) if "draw" in frame else 1,
        traits=traits,
        costs=_costs(costs, set(families)),
        manifest=manifest,
    )


def _costs(
    costs: pd.DataFrame, systems: set[str]
) -> dict[str, tuple[float | None, float | None, int]]:
    """Label to (median real-time factor, largest peak memory in MB, separations measured)."""
    found = {}
    for label, rows in costs.groupby("system"):
        if label in systems:
            rtf, memory = rows["rtf"].astype(float).dropna(), rows["peak_memory_mb"].astype(float)
            memory = memory.dropna()
            found[str(label)] = (
                float(rtf.median()) if len(rtf) else None,
                float(memory.max()) if len(memory) else None,
                len(rtf),
            )
    return found


# -- which tables -------------------------------------------------------------------------------


def ordered(columns: Iterable[str], traits: Mapping[str, ValueTraits]) -> list[str]:
    """Tolerant metrics first, then by ``rank``; values of one metric in trait order."""
    known = list(traits)

    def place(column: str) -> tuple[bool, bool, float, str, int]:
        name = metric_of(column)
        declared = traits[column].rank if column in traits else None
        rank = math.inf if declared is None else declared
        strict = column not in traits or validity.fails_across(column, traits[column])
        decibels = column in traits and traits[column].unit == "dB"
        return strict, decibels, rank, name, known.index(column) if column in known else len(known)

    return sorted(columns, key=place)


def _plan(run: _Run) -> list[Callable[[_Run], Table]]:
    columns = ordered({m for _, _, m in run.scores}, run.traits)
    if not columns:
        return []
    plans: list[Callable[[_Run], Table]] = [lambda r: _overview(r, columns)]
    done: set[str] = set()
    for column in columns:
        if column in done:
            continue
        group = _together(run, column, columns)
        done.update(group)
        if is_detail(column, run.traits):
            plans.append(lambda r, g=tuple(group): _details(r, g))  # type: ignore[misc]
        elif len(group) > 1:
            plans.append(lambda r, g=tuple(group): _one_stem(r, g))  # type: ignore[misc]
        else:
            plans.append(lambda r, c=column: _per_stem(r, c))  # type: ignore[misc]
    return plans


def _together(run: _Run, column: str, columns: Sequence[str]) -> list[str]:
    """Speech models scored on one stem share a table, and so do the details of a metric."""
    if is_detail(column, run.traits):
        name = metric_of(column)
        return [c for c in columns if metric_of(c) == name and is_detail(c, run.traits)]
    stems = run.stems(column)
    if not is_speech_model(column, run.traits) or len(stems) != 1:
        return [column]
    return [c for c in columns if is_speech_model(c, run.traits) and run.stems(c) == stems]


# -- the three shapes ---------------------------------------------------------------------------


def _overview(run: _Run, columns: Sequence[str]) -> Table:
    chosen = [c for c in columns if is_headline(c, run.traits)]
    specs = [_column(run, c, _only(run, c), _overview_head(run, c)) for c in chosen]
    title = "Overview: mean over stems"
    # Gains would double a table that is wide already: they stand in the tables of the metrics.
    plain = replace(run, gains={})
    return _table(plain, title, specs, chosen, average=True, costs=(RTF, MEMORY))


def is_headline(column: str, traits: Mapping[str, ValueTraits]) -> bool:
    """Whether a column stands for its metric where there is room for one value of each."""
    name = metric_of(column)
    values = [c for c in traits if metric_of(c) == name]
    named = [c for c in values if traits[c].overview]
    return column == next(iter([*named, *values]), column)


def is_detail(column: str, traits: Mapping[str, ValueTraits]) -> bool:
    """Whether a column stands with others of its metric in one table, averaged over stems."""
    own = column in traits and (traits[column].own_table or traits[column].speech_model)
    return not own and not is_headline(column, traits)


def _details(run: _Run, columns: Sequence[str]) -> Table:
    """The further values of one metric."""
    specs = [_column(run, c, _only(run, c), captions.display(c, run.traits)) for c in columns]
    first = next(c for c in run.traits if metric_of(c) == metric_of(columns[0]))
    title = f"{captions.display(first, run.traits)}: further values, average over stems"
    return _table(run, title, specs, columns, average=True, costs=())


def _overview_head(run: _Run, column: str) -> str:
    stems = run.stems(column)
    name = captions.display(column, run.traits)
    return f"{name} ({stems[0]})" if len(stems) == 1 else name


def _per_stem(run: _Run, column: str) -> Table:
    stems = run.stems(column)
    shown_stems = (*stems, AVERAGE) if len(stems) > 1 else stems
    specs = [_column(run, column, stem, stem, in_title=True) for stem in shown_stems]
    shown = [column]
    beside = _beside(run, column)
    if beside:
        shown.append(beside)
        head = f"{captions.display(beside, run.traits)} (average)"
        specs.append(_column(run, beside, _only(run, beside), head))
    return _table(run, _title(run, column), specs, shown, average=len(stems) > 1, costs=(RTF,))


def _title(run: _Run, column: str) -> str:
    """``uSDR (dB, higher is better)``."""
    traits = run.traits[column]
    better = {1: "higher is better", -1: "lower is better"}.get(traits.direction, "")
    inside = ", ".join(filter(None, (traits.unit, better)))
    return captions.display(column, run.traits) + (f" ({inside})" if inside else "")


def _beside(run: _Run, column: str) -> str | None:
    """The column of this run that must be shown with ``column``, if any."""
    return companion(column, [m for m in run.traits if run.stems(m)], run.traits)


def _one_stem(run: _Run, columns: Sequence[str]) -> Table:
    stems = run.stems(columns[0])
    specs = [_column(run, c, stems[0], captions.display(c, run.traits)) for c in columns]
    # The first word of what is printed: "DNSMOS" of "DNSMOS OVRL".
    names = dict.fromkeys(captions.display(c, run.traits).split(" ")[0] for c in columns)
    title = f"{' and '.join(names)} on {stems[0]}"
    return _table(run, title, specs, columns, average=False, costs=())


def _only(run: _Run, metric: str) -> str:
    """The single stem of a metric, or the average over its stems."""
    stems = run.stems(metric)
    return stems[0] if len(stems) == 1 else AVERAGE


def _column(run: _Run, metric: str, stem: str, head: str, *, in_title: bool = False) -> Column:
    t = run.traits[metric]
    # Intervals beside every value would drown them: the averages and headlines have theirs.
    spread = stem == AVERAGE or (len(run.stems(metric)) == 1 and is_headline(metric, run.traits))
    return Column(
        metric, stem, head, t.unit, t.digits, t.direction, in_title=in_title, spread=spread
    )


# -- filling in ---------------------------------------------------------------------------------


def _table(
    run: _Run,
    title: str,
    specs: Sequence[Column],
    metrics: Sequence[str],
    *,
    average: bool,
    costs: tuple[Column, ...],
) -> Table:
    filled = [pair for column in specs for pair in _filled(run, column)]
    rankable = _rankable(run, metrics)
    marked = [_marked(run, column, column_cells, rankable) for column, column_cells in filled]
    marked += [(column, _cost_cells(run, column)) for column in costs if run.costs]
    columns = tuple(column for column, _ in marked)
    rows = tuple(
        Row(
            label,
            run.families[label],
            group_of(run.families[label]),
            tuple(cells[label] for _, cells in marked),
        )
        for label in run.systems
    )
    families = frozenset(run.families.values())
    stems = frozenset(s for m in metrics for s in run.stems(m) if is_speech_model(m, run.traits))
    return Table(
        id="",
        title=title,
        columns=columns,
        rows=rows,
        caption=tuple(
            captions.caption(
                metrics,
                run.traits,
                run.manifest,
                edition=run.edition,
                tracks=len(run.tracks),
                draws=run.draws,
                gains=bool(run.gains),
                intervals=any(
                    column.spread and cell.low is not None
                    for row in rows
                    for column, cell in zip(columns, row.cells, strict=True)
                ),
                letters=any(cell.letters for row in rows for cell in row.cells),
                average=average,
            )
        ),
        notes=tuple(captions.notes(metrics, run.traits)),
        warnings=tuple(
            captions.warnings(
                metrics,
                run.traits,
                families=families,
                labels=frozenset(run.families),
                stems=stems,
                missing=_conflicts(run, columns),
            )
        ),
        edition=run.edition,
    )


def _conflicts(run: _Run, columns: Sequence[Column]) -> list[str]:
    """Pairs whose order in the table contradicts the median of their paired differences."""
    found = [
        f"{label} over {other} ({column.head})"
        for column in columns
        if column.kind == "score"
        for label in run.systems
        if (summary := run.scores.get((label, column.stem, column.metric)))
        for other in summary.conflicts
    ]
    if not found:
        return []
    shown = "; ".join(found[:6]) + (f"; and {len(found) - 6} more" if len(found) > 6 else "")
    return [
        f"The order contradicts the median of the paired differences for: {shown}. "
        "Read these pairs as undecided."
    ]


def _rankable(run: _Run, metrics: Sequence[str]) -> bool:
    """Speech-model values are not ranked without the true vocals' row."""
    if not all(is_speech_model(m, run.traits) for m in metrics):
        return True
    return any(map(captions.is_reference, run.families))


def _filled(run: _Run, column: Column) -> list[tuple[Column, dict[str, Summary]]]:
    """The column, and the one of its gains where they were asked for."""
    nothing = Summary(None, frozenset(), len(run.tracks))

    def of(summaries: Mapping[Key, Summary]) -> dict[str, Summary]:
        key = (column.stem, column.metric)
        return {label: summaries.get((label, *key), nothing) for label in run.systems}

    filled = [(column, of(run.scores))]
    if run.gains and column.direction:
        head = replace(column, head=f"Δ {column.head}", kind="gain", direction=1)
        filled.append((head, of(run.gains)))
    return filled


def _marked(
    run: _Run, column: Column, summaries: Mapping[str, Summary], rankable: bool
) -> tuple[Column, dict[str, Cell]]:
    ranked = {label: s for label, s in summaries.items() if s.ranked}
    best: frozenset[str] = frozenset()
    for pool in _pools(run, column, ranked) if rankable else ():
        best |= _best(pool, column)
    cells = {
        label: Cell(
            id="",
            value=s.value,
            n=s.n,
            total=s.total,
            note=s.note,
            best=label in best,
            ill_conditioned=s.ill_conditioned,
            low=s.low,
            high=s.high,
            letters=s.letters,
        )
        for label, s in summaries.items()
    }
    return column, cells


def _pools(run: _Run, column: Column, ranked: dict[str, Summary]) -> list[dict[str, Summary]]:
    """Who competes with whom: all ranked systems, or each family where the metric demands it."""
    if not validity.fails_across(column.metric, run.traits[column.metric]):
        return [ranked]
    groups: dict[str, dict[str, Summary]] = {}
    for label, summary in ranked.items():
        groups.setdefault(group_of(run.families[label]), {})[label] = summary
    return list(groups.values())


def _best(ranked: Mapping[str, Summary], column: Column) -> frozenset[str]:
    """Labels of the best at the printed precision, or none where ranking would mislead."""
    # Over different songs nobody is best. Columns are aggregated over common songs, so this
    # can only differ where a value is shown for want of a sound one.
    if len(ranked) < 2 or not column.direction or len({s.songs for s in ranked.values()}) > 1:
        return frozenset()
    printed = {k: round(s.value, column.digits) for k, s in ranked.items() if s.value is not None}
    top = max(printed.values(), key=lambda v: v * column.direction)
    return frozenset(k for k, v in printed.items() if v == top)


def _cost_cells(run: _Run, column: Column) -> dict[str, Cell]:
    which = 0 if column.metric == "rtf" else 1
    cells = {}
    for label in run.systems:
        measured = run.costs.get(label)
        # Yardsticks do not separate: a cost there would be the price of copying arrays.
        real = measured is not None and group_of(run.families[label]) != "yardstick"
        value = measured[which] if measured is not None and real else None
        cells[label] = Cell(id="", value=value, n=0, total=0)
    return cells
