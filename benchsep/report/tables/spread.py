"""What a mean hides, as tables: what another seed changes, and the worst songs of each system.

Conventions
-----------
draws   a row for each system that drew at least twice and each headline metric, over the song's
        mean over stems: the mean over draws is the headline, best and worst of k stand under
        their own names, and the variance is split into song, seed and the rest (percent)
tails   for the first metric that tolerates misalignment and the first that does not, two tables:
        the mean over the worst 5 % of songs, by stem, and the share of songs beyond the limit of
        the metric's ``failure`` trait; the songs are named. Each system over its own songs,
        nothing is ranked
small   fewer songs than :data:`benchsep.stats.bootstrap.FEWEST` have no tail, and fewer than two no
        variance: then there is no table

The numbers are those of :func:`benchsep.stats.draws` and :func:`benchsep.stats.tails`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchsep import stats
from benchsep.listeners import badges
from benchsep.report.tables import captions
from benchsep.report.tables.columns import display, stem_order
from benchsep.report.tables.model import Cell, Column, Row, Table, numbered
from benchsep.stats.bootstrap import FEWEST
from benchsep.stats.songs import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

FRACTION = 0.05
NAMED = 6
"""Songs named in one cell; `benchsep tails` names them all."""


@dataclass(frozen=True)
class Spread:
    """What the tables of one edition are made from.

    ``rows`` gives order and groups: those of the edition's first table. ``headlines`` are the
    metrics with a column in it.
    """

    frame: pd.DataFrame
    traits: Mapping[str, ValueTraits]
    manifest: Mapping[str, Any]
    edition: str
    rows: Sequence[Row]
    headlines: Sequence[str]

    @property
    def songs(self) -> int:
        return int(self.frame["track"].nunique())

    def name(self, metric: str, *, unit: bool = True) -> str:
        text, known = display(metric, self.traits), _unit(self, metric)
        return f"{text} [{known}]" if unit and known else text

    def basis(self, metrics: Sequence[str], *sentences: str) -> tuple[str, ...]:
        first = captions.basis(self.manifest, self.edition, self.songs)
        last = captions.versions(metrics, self.manifest)
        return tuple(filter(None, (first, *sentences, last)))


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
        part = frame[(frame["edition"].astype(str) == edition) & frame["metric"].isin(list(traits))]
        headlines = [column.metric for column in first.columns if column.kind == "score"]
        spread = Spread(part, traits, manifest, edition, first.rows, headlines)
        whole += spread_tables(spread, first=len(whole) + 1)
    return whole


def spread_tables(spread: Spread, *, first: int) -> list[Table]:
    """The tables of draws and tails, numbered from ``first``; empty where there are none."""
    makers: list[Callable[[Spread], list[Table]]] = [_draws, _tails]
    made = [table for make in makers for table in make(spread)]
    return [numbered(table, first + i) for i, table in enumerate(made)]


# -- draws --------------------------------------------------------------------------------------


def _draws(spread: Spread) -> list[Table]:
    if spread.frame["draw"].nunique() < 2:
        return []
    part = spread.frame[spread.frame["metric"].isin(spread.headlines)]
    found = stats.draws(stats.with_average(part), spread.traits)
    records: list[Any] = found.to_dict("records")
    by = {(r["system"], r["metric"], r["stem"]): r for r in records}
    rows = []
    for row in spread.rows:
        for metric in spread.headlines:
            stems = sorted({s for _, m, s in by if m == metric})
            stem = AVERAGE if AVERAGE in stems else stems[0] if len(stems) == 1 else ""
            record = by.get((row.system, metric, stem))
            if record and record["worst_of_k"] != record["best_of_k"]:
                where = "" if stem == AVERAGE else f", {stem}"
                label = f"{row.system}: {spread.name(metric)}{where}"
                cells = tuple(_draw_cell(record, c) for c in _DRAW_COLUMNS)
                rows.append(Row(row.system, row.family, row.group, cells, label, metric))
    if not rows:
        return []
    columns = tuple(column for _, column in _DRAW_COLUMNS)
    metrics = list(dict.fromkeys(row.metric for row in rows))
    caption = spread.basis(
        metrics,
        "Only songs of which every draw has a value; a song's value is its mean over stems.",
        "mean: over songs and draws, the headline. best / worst of k: each song's best or worst "
        "draw, then the mean over songs; to pick the best draw one needs the references, so that "
        "it is no result of the system.",
        "Variance of a value over songs and draws (two-way random effects): between songs, "
        "between seeds on all songs alike, and the rest, which holds what a seed does to one song.",
        "Systems whose draws are all alike are left out; by stem: benchsep draws RUN.",
    )
    title = "Draws: what another seed changes"
    return [Table("", title, columns, tuple(rows), caption, edition=spread.edition)]


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


def _tails(spread: Spread) -> list[Table]:
    if spread.songs < FEWEST:
        return []
    tables = []
    for metric in _tailed(spread):
        part = spread.frame[spread.frame["metric"] == metric]
        found = stats.tails(stats.with_average(part), spread.traits, fraction=FRACTION)
        records: list[Any] = found.to_dict("records")
        by = {(r["system"], r["stem"]): r for r in records}
        stems = stem_order({stem for _, stem in by})
        tables += [_worst(spread, metric, by, stems), _failed(spread, metric, by, stems)]
    return [table for table in tables if table is not None]


def _tailed(spread: Spread) -> list[str]:
    """The first headline metric that tolerates misalignment and the first that does not."""
    chosen: dict[bool, str] = {}
    for metric in spread.headlines:
        if spread.traits[metric].direction:
            chosen.setdefault(badges.fails_across(metric, spread.traits[metric]), metric)
    return sorted(chosen.values(), key=list(spread.headlines).index)


Records = dict[tuple[str, str], dict[str, Any]]


def _worst(spread: Spread, metric: str, by: Records, stems: Sequence[str]) -> Table | None:
    traits = spread.traits[metric]
    columns = [
        Column(metric, s, s, traits.unit, traits.digits, traits.direction, "tail", in_title=True)
        for s in stems
    ]
    last = stems[-1]
    text = Column(metric, last, f"the songs ({last})", "", 0, 0, "text")
    rows = []
    for row in spread.rows:
        records = [by.get((row.system, stem)) for stem in stems]
        if any(records):
            cells = [_tail_cell(r, r["worst"] if r else None) for r in records]
            names = records[-1]["worst_songs"] if records[-1] else []
            rows.append(_row(row, [*cells, _text(names)]))
    if not rows:
        return None
    worst = "lowest" if traits.direction > 0 else "highest"
    caption = spread.basis(
        [metric],
        f"Mean over the 5 % of the system's songs (at least one) with the {worst} values, by stem; "
        "average: the song's mean over stems. Worst first. Not ranked; other metrics and shares: "
        "benchsep tails RUN.",
    )
    title = f"{spread.name(metric)}: the worst 5 % of songs"
    return Table(
        "", title, (*columns, text), tuple(rows), caption,
        warnings=_warnings(spread, metric), edition=spread.edition,
    )  # fmt: skip


def _failed(spread: Spread, metric: str, by: Records, stems: Sequence[str]) -> Table | None:
    limits = {r["threshold"] for r in by.values() if r["threshold"] == r["threshold"]}
    if len(limits) != 1:
        return None
    columns = [
        Column(metric, s, s, "%", 0, -1, "failures", in_title=True, spread=s == stems[-1])
        for s in stems
    ]
    text = Column(metric, AVERAGE, "the songs, where they fail", "", 0, 0, "text")
    rows = []
    for row in spread.rows:
        records = [by.get((row.system, stem)) for stem in stems]
        if any(records):
            cells = [_rate_cell(r) for r in records]
            songs = _where(by, row.system, stems)
            rows.append(_row(row, [*cells, _text(songs, of=spread.songs)]))
    direction = spread.traits[metric].direction
    side = "below" if direction > 0 else "above"
    limit = " ".join(filter(None, (f"{limits.pop():g}", _unit(spread, metric))))
    caption = spread.basis(
        [metric],
        f"Share of the system's songs, in percent, with a value {side} {limit}; average: of the "
        "song's mean over stems. [ ]: Wilson's 95 % interval. Another limit: "
        "benchsep tails RUN --threshold METRIC=VALUE.",
    )
    title = f"{spread.name(metric, unit=False)}: share of songs {side} {limit} (%)"
    return Table(
        "", title, (*columns, text), tuple(rows), caption,
        warnings=_warnings(spread, metric), edition=spread.edition,
    )  # fmt: skip


def _unit(spread: Spread, metric: str) -> str:
    unit = spread.traits[metric].unit
    return "" if unit == "MOS" else unit


def _warnings(spread: Spread, metric: str) -> tuple[str, ...]:
    families = frozenset(row.family for row in spread.rows)
    line = badges.warning([metric], spread.traits, families)
    return (line,) if line else ()


def _row(row: Row, cells: Sequence[Cell]) -> Row:
    return Row(row.system, row.family, row.group, tuple(cells))


def _tail_cell(record: Mapping[str, Any] | None, value: float | None) -> Cell:
    if record is None:
        return Cell("", None, 0, 0)
    return Cell("", value, int(record["n"]), int(record["n"] + record["unscored"]))


def _rate_cell(record: Mapping[str, Any] | None) -> Cell:
    if record is None:
        return Cell("", None, 0, 0)
    rate, low, high = (100 * float(record[k]) for k in ("failure_rate", "rate_low", "rate_high"))
    n = int(record["n"])
    return Cell("", rate, n, n + int(record["unscored"]), low=low, high=high)


def _where(by: Records, system: str, stems: Sequence[str]) -> list[str]:
    """``song (vocals, bass)``, the songs with most failing stems first."""
    found: dict[str, list[str]] = {}
    for stem in stems:
        record = by.get((system, stem))
        for song in record["failed_songs"] if record else ():
            if stem != AVERAGE:
                found.setdefault(song, []).append(stem)
    order = sorted(found, key=lambda song: (-len(found[song]), song))
    every = len([stem for stem in stems if stem != AVERAGE and (system, stem) in by])
    return [
        f"{song} ({'every stem' if 1 < every == len(found[song]) else ', '.join(found[song])})"
        for song in order
    ]


def _text(names: Sequence[str], *, of: int = 0) -> Cell:
    if len(names) > NAMED and len(names) == of:
        return Cell("", None, 0, 0, note=f"every song; first {'; '.join(names[:2])}")
    more = f"; and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return Cell("", None, 0, 0, note="; ".join(names[:NAMED]) + more)
