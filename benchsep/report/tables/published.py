"""Published values: additional rows in our tables if everything agrees, and a table of the paper's
values.

Conventions
-----------
values  in :mod:`benchsep.report.published`, with source, data and definition; never ranked
rows    in the table of a metric (:func:`with_published`): only where edition, split, songs,
        definition and aggregation agree
paper   the values of arXiv 2604.09371 agree in none of these (other data, tools and training) and
        have their own table (:func:`published_table`). A value that is in no available text is
        ``not seen``
last    column of that table: the companion of ViSQOL in our ViSQOL table (an interference measure),
        which the paper does not report
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchsep.report.published.entries import Agreeing, sources
from benchsep.report.tables import captions
from benchsep.report.tables.model import Cell, Column, Row, Table, numbered
from benchsep.runner.notes.seen import Seen, seen_in
from benchsep.stats.songs import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

PAPER = sources()["arxiv-2604.09371"]
SOURCE = PAPER.source


# -- rows in our tables -------------------------------------------------------------------------


def with_published(table: Table, values: Sequence[Agreeing]) -> Table:
    """The table of one metric with the agreeing published rows above ours.

    Parameters
    ----------
    table
        Not yet numbered; any table that is not one metric by stem is returned unchanged.
    values
        Published values that agree with the table's edition
        (:func:`benchsep.report.published.entries.agreeing`).
    """
    if not table.columns or not table.columns[0].in_title:
        return table
    found = [a for a in values if a.values.metric == table.columns[0].metric]
    if not found:
        return table
    rows = [row for a in found for row in _rows(a, table)]
    text = [
        f"Published, not computed here: {a.source.source}: {a.values.definition}; "
        f"{a.values.aggregation} over {a.source.songs} songs."
        for a in found
    ]
    return replace(table, rows=(*rows, *table.rows), notes=(*table.notes, *text))


def _rows(found: Agreeing, table: Table) -> list[Row]:
    rows = []
    for system, values in found.values.systems.items():
        cells = [
            _cell(values.get(column.stem) if column.metric == found.values.metric else None)
            for column in table.columns
        ]
        trained_on = found.values.trained_on.get(system, ())
        seen = Seen(songs={system: seen_in(trained_on, found.source.edition, found.source.split)})
        rows.append(
            Row(
                f"{system} ({found.source.short})",
                "published",
                "published",
                tuple(cells),
                mark=seen.mark(system),
                source=found.source.source,
            )
        )
    return rows


def _cell(value: float | str | None) -> Cell:
    if isinstance(value, str):
        return Cell("", None, 0, 0, value)
    return Cell("", value, 0, 0, "" if value is not None else "not reported")


# -- the paper ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """A value as published: exact, or a range or bound in words."""

    system: str
    metric: str
    stem: str
    value: float | None
    text: str = ""


def _published_values() -> tuple[Published, ...]:
    return tuple(
        Published(system, values.metric, stem, None, value)
        if isinstance(value, str)
        else Published(system, values.metric, stem, value)
        for values in PAPER.values
        for system, stems in values.systems.items()
        for stem, value in stems.items()
    )


PUBLISHED = _published_values()
_SYSTEMS = tuple(
    dict.fromkeys(("HTDemucs", "BS-RoFormer", "SCNet", *(p.system for p in PUBLISHED)))
)
"""In the order of the paper's table."""

_COLUMNS = (
    *((("visqol", stem)) for stem in ("vocals", "drums", "bass", "other", AVERAGE)),
    ("nisqa.mos", "vocals"),
)


def published_table(tables: Sequence[Table], edition: str) -> Table | None:
    """The published rows, and below them the run's values of the same metrics.

    Parameters
    ----------
    tables
        The run's tables; our values are taken from them.
    edition
        Edition of the data whose tables are used.

    Returns
    -------
    Table or None
        ``None`` if the run has none of the paper's metrics.
    """
    ours = [t for t in tables if t.edition == edition]
    published_rows = [_published_row(name) for name in _SYSTEMS]
    systems = [(r.system, r.family, r.group) for r in ours[0].rows] if ours else []
    our_rows = [
        Row(system, family, group, tuple(_our_cell(ours, system, *key) for key in _COLUMNS))
        for system, family, group in systems
    ]
    if not any(cell.value is not None for row in our_rows for cell in row.cells):
        return None
    columns = [_column(*key) for key in _COLUMNS]
    companion = _companion_column(ours)
    if companion is not None:
        columns.append(companion)
        metric, stem = companion.metric, companion.stem
        published_rows = [
            _append(row, Cell("", None, 0, 0, "not reported")) for row in published_rows
        ]
        our_rows = [_append(r, _our_cell(ours, r.system, metric, stem)) for r in our_rows]
    table = Table(
        id="",
        title=f"Beside the published values of {SOURCE}",
        columns=tuple(columns),
        rows=(*published_rows, *our_rows),
        caption=(
            captions.line(
                [
                    f"published rows: {SOURCE}, MUSDB18-HQ, 50 songs",
                    f"ours: {captions.EDITIONS.get(edition, edition)}",
                ]
            ),
        ),
        notes=(
            f"{SOURCE}: no intervals are published; of the baselines' drums only the range over "
            "all of them is known. Values from a second-hand summary, except that 'best NISQA' "
            "is first-party; 'not seen': the paper has the value, but the text was not "
            "available; 'not reported': not in the paper. Which tools and excerpts the paper "
            "scored with is not known. In our rows the label names the weights.",
        ),
        warnings=(
            "Other data, other tools and other training: compare the order and the distances "
            "within the published rows with those within ours, not the values across.",
        ),
        edition=edition,
    )
    return numbered(table, len(tables) + 1)


def _companion_column(tables: Sequence[Table]) -> Column | None:
    """The companion of ViSQOL in the run's ViSQOL table, if it has one."""
    for table in tables:
        scores = [column for column in table.columns if column.kind == "score"]
        if scores and scores[0].metric == "visqol" and scores[0].in_title:
            return next((column for column in scores if column.metric != "visqol"), None)
    return None


def _append(row: Row, cell: Cell) -> Row:
    return replace(row, cells=(*row.cells, cell))


def _published_row(system: str) -> Row:
    known = {(p.metric, p.stem): p for p in PUBLISHED if p.system == system}
    cells = []
    for key in _COLUMNS:
        entry = known.get(key)
        cells.append(
            Cell("", entry.value if entry else None, 0, 0, entry.text if entry else "not seen")
        )
    return Row(system, "published", "published", tuple(cells), source=SOURCE)


def _our_cell(tables: Sequence[Table], system: str, metric: str, stem: str) -> Cell:
    for table in tables:
        cell = table.cell(system, metric, stem)
        if cell is not None:
            # Without bold and letters, because rows are not ranked here.
            return replace(cell, best=False, letters="", low=None, high=None)
    return Cell("", None, 0, 0)


def _column(metric: str, stem: str) -> Column:
    name = "NISQA MOS" if metric == "nisqa.mos" else "ViSQOL"
    return Column(metric, stem, f"{name}, {stem}", "", 2, 1)
