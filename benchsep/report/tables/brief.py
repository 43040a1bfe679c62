"""The short view of a run in a terminal: the overview, and its headline metrics by stem.

Conventions
-----------
fitted    the overview keeps the columns that fit the width, from the left; those that answer
          listeners' questions come first
by stem   the tables of the metrics that head the overview; without a headed column, the first
captions  only that of the overview; warnings are printed once, below all tables
reasons   why cells are undefined, unavailable or failed; equal reasons are grouped
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchsep._util.words import amount
from benchsep.metrics.status import IN_WORDS, Status
from benchsep.report.tables.model import Cell, Column, Table, format_value, head, suffix

if TYPE_CHECKING:
    import pandas as pd

GAP = 3
"""Spaces between two columns."""


@dataclass(frozen=True)
class Brief:
    """The tables to show, the sentences below them, and a note on omitted parts."""

    tables: tuple[Table, ...]
    warnings: tuple[str, ...]
    left_out: str


def brief(tables: Sequence[Table], width: int) -> Brief:
    """The part of ``tables`` for a terminal of ``width`` columns."""
    if not tables:
        return Brief((), (), "")
    overview, hidden = fitted(tables[0], width)
    headline = {c.metric for c in tables[0].columns if c.axis} or {tables[0].columns[0].metric}
    others = [t for t in tables[1:] if {c.metric for c in t.columns[:1]} & headline]
    chosen = (overview, *(fitted(table, width)[0] for table in others))
    warnings = tuple(dict.fromkeys(w for table in (tables[0], *others) for w in table.warnings))
    captions = (overview.caption, *(() for _ in others))
    short = tuple(
        replace(table, caption=caption, warnings=(), notes=())
        for table, caption in zip(chosen, captions, strict=True)
    )
    rest = len(tables) - len(chosen)
    words = [f"{hidden} {'column' if hidden == 1 else 'columns'}"] if hidden else []
    words += [f"{rest} {'table' if rest == 1 else 'tables'}"] if rest else []
    left_out = ", ".join([*words, "notes"])
    return Brief(short, warnings, left_out)


def fitted(table: Table, width: int) -> tuple[Table, int]:
    """The table with the columns that fit ``width`` (at least one), and the number of omitted
    columns.
    """
    room = width - max([len("system"), *(len(row.head) + 2 for row in table.rows)])
    kept = 0
    for index, column in enumerate(table.columns):
        room -= GAP + _width(column, [row.cells[index] for row in table.rows])
        if room < 0 and kept:
            break
        kept += 1
    rows = tuple(replace(row, cells=row.cells[:kept]) for row in table.rows)
    return replace(table, columns=table.columns[:kept], rows=rows), len(table.columns) - kept


def _width(column: Column, cells: Sequence[Cell]) -> int:
    texts = [("*" if c.best else "") + format_value(c, column) + suffix(c, column) for c in cells]
    return max(map(len, [head(column), *texts]))


def reasons(cells: pd.DataFrame) -> list[str]:
    """A sentence for each reason why cells have no value; equal reasons are grouped."""
    statuses = cells["status"].unique()
    reasons = [s for s in statuses if Status.parse(s).kind in IN_WORDS]
    absent = cells[cells["status"].isin(reasons)]
    sentences = []
    for status, part in absent.groupby("status", sort=True):
        who = _names(part, cells, "system"), _names(part, cells, "metric")
        sentences.append(f"{amount(len(part), 'cell')} of {who[0]} ({who[1]}): {status}")
    return sentences


def _names(part: pd.DataFrame, cells: pd.DataFrame, column: str) -> str:
    names = sorted(part[column].unique())
    if len(names) > 1 and len(names) == cells[column].nunique():
        return f"all {column}s"
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
