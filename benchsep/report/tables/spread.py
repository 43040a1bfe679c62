"""Tables on the spread behind a mean: the effect of other seeds, and the worst songs of each
system.

Conventions
-----------
draws   a row per system with at least two draws and headline metric, from the mean over stems of
        each song. The main value is the mean over draws; best and worst of k have their own
        columns, and the variance is split into song, seed and the rest (percent)
tails   for the first metric that tolerates misalignment and the first that does not, two tables:
        the mean over the worst 5 % of songs, by stem, and the share of songs beyond the limit of
        the metric's ``failure`` trait; the songs are named. Each system over its own songs,
        nothing is ranked
small   no table of tails with fewer songs than :data:`benchsep.stats.bootstrap.FEWEST`, and none of
        draws with fewer than two songs

The numbers are those of :func:`benchsep.stats.draws` and :func:`benchsep.stats.tails`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchsep import stats
from benchsep.listeners import badges
from benchsep.report.tables import captions
from benchsep.report.tables.columns import display, is_headline, metrics_in_order, stem_order
from benchsep.report.tables.model import Cell, Column, Row, Table, numbered
from benchsep.stats.bootstrap import FEWEST
from benchsep.stats.songs import AVERAGE, of_edition, songs_of_run, stem_or_average

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

FRACTION = 0.05
DRAWS_AND_TAILS = "docs/report.md#draws-and-tails"
NAMED = 6
"""Most songs named in one cell; `benchsep tails` names all."""


@dataclass(frozen=True)
class Spread:
    """The input for the tables of one edition.

    ``rows``: order and groups of the edition's first table. ``headlines``: the metrics with a
    column in it.
    """

    frame: pd.DataFrame
    traits: Mapping[str, ValueTraits]
    manifest: Mapping[str, Any]
    edition: str
    rows: Sequence[Row]
    headlines: Sequence[str]

    @property
    def songs(self) -> int:
        return songs_of_run(self.frame)

    def name(self, metric: str, *, unit: bool = True) -> str:
        """The metric's name, with its unit if it has one."""
        text, printed = display(metric, self.traits), self.unit(metric)
        return f"{text} [{printed}]" if unit and printed else text

    def unit(self, metric: str) -> str:
        """The metric's unit as printed; empty for MOS."""
        unit = self.traits[metric].unit
        return "" if unit == "MOS" else unit

    def caption(self, *clauses: str) -> tuple[str, ...]:
        """The line below a table."""
        first = captions.basis(self.manifest, self.edition, self.songs)
        return (captions.line([first, *clauses], DRAWS_AND_TAILS),)


def with_spread_tables(
    tables: Sequence[Table],
    frame: pd.DataFrame,
    manifest: Mapping[str, Any],
    traits: Mapping[str, ValueTraits],
) -> list[Table]:
    """The tables, and after them those of draws and tails of each edition."""
    whole = list(tables)
    for edition in dict.fromkeys(table.edition for table in tables):
        first = next(table for table in tables if table.edition == edition)
        part = of_edition(frame, edition)
        part = part[part["metric"].isin(list(traits))]
        shown = {column.metric for column in first.columns if column.kind == "score"}
        headlines = [c for c in metrics_in_order(shown, traits) if is_headline(c, traits)]
        spread = Spread(part, traits, manifest, edition, first.rows, headlines)
        whole += spread_tables(spread, first=len(whole) + 1)
    return whole


def spread_tables(spread: Spread, *, first: int) -> list[Table]:
    """The tables of draws and tails, numbered from ``first``; may be empty."""
    makers: list[Callable[[Spread], list[Table]]] = [_draw_tables, _tail_tables]
    tables = [table for make in makers for table in make(spread)]
    return [numbered(table, first + i) for i, table in enumerate(tables)]


# -- draws --------------------------------------------------------------------------------------


def _draw_tables(spread: Spread) -> list[Table]:
    """One table, or none if no system has two draws."""
    if spread.frame["draw"].nunique() < 2:
        return []
    rows = _draw_rows(spread)
    if not rows:
        return []
    caption = spread.caption("songs of which every draw has a value", "mean over stems")
    title = "Draws: what another seed changes"
    columns = tuple(column for _, column in _DRAW_COLUMNS)
    return [Table("", title, columns, tuple(rows), caption, edition=spread.edition)]


def _draw_rows(spread: Spread) -> list[Row]:
    """A row for each system and headline metric whose draws differ."""
    cells = spread.frame[spread.frame["metric"].isin(spread.headlines)]
    records: list[Any] = stats.draws(stats.with_average(cells), spread.traits).to_dict("records")
    by_key = {(r["system"], r["metric"], r["stem"]): r for r in records}
    rows = []
    for row in spread.rows:
        for metric in spread.headlines:
            stem = stem_or_average(s for _, m, s in by_key if m == metric)
            record = by_key.get((row.system, metric, stem))
            if record and record["worst_of_k"] != record["best_of_k"]:
                suffix = "" if stem == AVERAGE else f", {stem}"
                label = f"{row.system}: {spread.name(metric)}{suffix}"
                shown = tuple(_draw_cell(record, column) for column in _DRAW_COLUMNS)
                rows.append(
                    Row(row.system, row.family, row.group, shown, label, metric, mark=row.mark)
                )
    return rows


def _draw_column(key: str, head: str, unit: str = "", digits: int = 3) -> tuple[str, Column]:
    return key, Column("", AVERAGE, head, unit, digits, 0, "draws")


_DRAW_COLUMNS = (
    _draw_column("draws", "k", digits=0),
    _draw_column("mean", "mean"),
    _draw_column("best_of_k", "best of k"),
    _draw_column("worst_of_k", "worst of k"),
    _draw_column("share_song", "song", "%", 0),
    _draw_column("share_seed", "seed", "%", 0),
    _draw_column("share_residual", "song × seed, rest", "%", 0),
)


def _draw_cell(record: Mapping[str, Any], named: tuple[str, Column]) -> Cell:
    key, column = named
    value = float(record[key]) * (100 if column.unit == "%" else 1)
    return Cell("", value, int(record["songs"]), int(record["songs"]))


# -- tails --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tail:
    """The tail of one metric: the records of :func:`benchsep.stats.tails`, indexed."""

    spread: Spread
    metric: str
    records: Mapping[tuple[str, str], Mapping[str, Any]]
    """``(system, stem)`` to its record."""
    stems: Sequence[str]

    def rows(self) -> list[tuple[Row, list[Mapping[str, Any] | None]]]:
        """The rows of systems with a record, and their records by stem."""
        rows = [
            (row, [self.records.get((row.system, stem)) for stem in self.stems])
            for row in self.spread.rows
        ]
        return [(row, records) for row, records in rows if any(records)]

    def columns(self, kind: str, unit: str, digits: int, direction: int) -> list[Column]:
        """A column for each stem; the last one shows its interval."""
        return [
            Column(
                self.metric, stem, stem, unit, digits, direction, kind, in_title=True,
                spread=kind == "failures" and stem == self.stems[-1],
            )
            for stem in self.stems
        ]  # fmt: skip

    def table(self, title: str, columns: Sequence[Column], rows: Sequence[Row], text: str) -> Table:
        families = frozenset(row.family for row in self.spread.rows)
        warning = badges.warning([self.metric], self.spread.traits, families)
        return Table(
            "", title, tuple(columns), tuple(rows), self.spread.caption(text),
            warnings=(warning,) if warning else (), edition=self.spread.edition,
        )  # fmt: skip


def _tail_tables(spread: Spread) -> list[Table]:
    """The tables of worst songs and of failures; none with too few songs for a tail."""
    if spread.songs < FEWEST:
        return []
    tables = []
    for metric in _tail_metrics(spread):
        cells = spread.frame[spread.frame["metric"] == metric]
        table = stats.tails(stats.with_average(cells), spread.traits, fraction=FRACTION)
        records: list[Any] = table.to_dict("records")
        by_key = {(r["system"], r["stem"]): r for r in records}
        tail = _Tail(spread, metric, by_key, stem_order({stem for _, stem in by_key}))
        tables += [_worst_table(tail), _failure_table(tail)]
    return [found for found in tables if found is not None]


def _tail_metrics(spread: Spread) -> list[str]:
    """The first headline metric that tolerates misalignment and the first that does not."""
    first: dict[bool, str] = {}
    for metric in spread.headlines:
        if spread.traits[metric].direction:
            first.setdefault(badges.fails_across(metric, spread.traits[metric]), metric)
    return sorted(first.values(), key=list(spread.headlines).index)


def _worst_table(tail: _Tail) -> Table | None:
    """The mean over the worst songs by stem, and the worst songs of the last stem."""
    spread, traits = tail.spread, tail.spread.traits[tail.metric]
    rows = [
        _row(
            row,
            *(_tail_cell(spread, record) for record in records),
            _song_cell(records[-1]["worst_songs"] if records[-1] else []),
        )
        for row, records in tail.rows()
    ]
    if not rows:
        return None
    last = tail.stems[-1]
    columns = tail.columns("tail", traits.unit, traits.digits, traits.direction)
    columns.append(Column(tail.metric, last, f"the songs ({last})", "", 0, 0, "text"))
    worst = "lowest" if traits.direction > 0 else "highest"
    return tail.table(
        f"{spread.name(tail.metric)}: the worst 5 % of songs",
        columns,
        rows,
        f"mean over the 5 % of the system's songs with the {worst} values, worst first; not ranked",
    )


def _failure_table(tail: _Tail) -> Table | None:
    """The share of failed songs by stem, and these songs; none without a limit."""
    spread, metric = tail.spread, tail.metric
    limits = {r["threshold"] for r in tail.records.values() if r["threshold"] == r["threshold"]}
    if len(limits) != 1:
        return None
    rows = [
        _row(
            row,
            *(_rate_cell(spread, record) for record in records),
            _song_cell(_failed_songs(tail, row.system), of=spread.songs),
        )
        for row, records in tail.rows()
    ]
    columns = tail.columns("failures", "%", 0, -1)
    columns.append(Column(metric, AVERAGE, "the songs, where they fail", "", 0, 0, "text"))
    side = "below" if spread.traits[metric].direction > 0 else "above"
    limit = " ".join(filter(None, (f"{limits.pop():g}", spread.unit(metric))))
    return tail.table(
        f"{spread.name(metric, unit=False)}: share of songs {side} {limit} (%)",
        columns,
        rows,
        "[ ]: Wilson's 95 % interval",
    )


def _failed_songs(tail: _Tail, system: str) -> list[str]:
    """``song (vocals, bass)``, the songs with most failing stems first."""
    stems_of: dict[str, list[str]] = {}
    stems = [s for s in tail.stems if s != AVERAGE and (system, s) in tail.records]
    for stem in stems:
        for song in tail.records[system, stem]["failed_songs"]:
            stems_of.setdefault(song, []).append(stem)
    order = sorted(stems_of, key=lambda song: (-len(stems_of[song]), song))
    return [
        f"{song} ({'every stem' if 1 < len(stems) == len(stems_of[song]) else named})"
        for song in order
        for named in [", ".join(stems_of[song])]
    ]


def _row(row: Row, *cells: Cell) -> Row:
    return Row(row.system, row.family, row.group, cells, mark=row.mark)


def _tail_cell(spread: Spread, record: Mapping[str, Any] | None) -> Cell:
    if record is None:
        return Cell("", None, 0, 0)
    return Cell("", record["worst"], int(record["n"]), spread.songs)


def _rate_cell(spread: Spread, record: Mapping[str, Any] | None) -> Cell:
    if record is None:
        return Cell("", None, 0, 0)
    rate, low, high = (100 * float(record[k]) for k in ("failure_rate", "rate_low", "rate_high"))
    return Cell("", rate, int(record["n"]), spread.songs, low=low, high=high)


def _song_cell(names: Sequence[str], *, of: int = 0) -> Cell:
    """Names of songs, at most :data:`NAMED`; if it is every song (``of``), only the first two."""
    if len(names) > NAMED and len(names) == of:
        return Cell("", None, 0, 0, note=f"every song; first {'; '.join(names[:2])}")
    more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return Cell("", None, 0, 0, note="; ".join(names[:NAMED]) + more)
