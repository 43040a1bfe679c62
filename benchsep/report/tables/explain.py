"""Explains a number in a table: its songs, draws, statuses and keys.

Conventions
-----------
id    ``t2.r3c4`` (a gain: ``t2.r3c4g``) as in the tables' CSV and HTML, or ``system/metric/stem``
text  the aggregate first, then a line per cell, sorted by song; CSV has only the cells
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchsep._util import text_table
from benchsep._util.escape import visible
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError
from benchsep.report.tables.model import Cell, Column, Row, Table, format_value
from benchsep.stats.songs import AVERAGE, BASS, WITHOUT_BASS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from benchsep.imported.join import Imports
    from benchsep.metrics.metric import ValueTraits


def explain(
    folder: str | Path,
    id: str,
    *,
    aggregation: Literal["mean", "median"] | None = None,
    exclude_seen: bool = False,
    imports: Imports | None = None,
    combine: Sequence[str] = (),
    format: str = "terminal",
) -> str:
    """The cells behind the number ``id`` of a run's tables (gains over the mixture included) as
    text.

    ``aggregation``, ``exclude_seen``, ``imports`` and ``combine`` must be those of the tables with
    the id; ``format`` is one of :data:`benchsep._util.text_table.FORMATS`.

    Raises
    ------
    UsageError
        the run has no such number; the message lists the possible ones.
    StoreError
        ``folder`` is not a run folder.
    """
    from benchsep.report.run import load, with_likeness
    from benchsep.runner.store import Store

    run = load(
        Path(folder),
        improvement=True,
        intervals=False,
        aggregation=aggregation,
        exclude_seen=exclude_seen,
        imports=imports,
        combine=combine,
    )
    run = with_likeness(run, Store(Path(folder)))
    return explained(run.tables, run.frame, run.traits, id, format)


def explained(
    tables: Sequence[Table],
    frame: pd.DataFrame,
    traits: dict[str, ValueTraits],
    id: str,
    format: str = "terminal",
) -> str:
    """:func:`explain` for tables and cells in memory."""
    table, row, column, cell = find(tables, id)
    if row.metric:
        column = replace(column, metric=row.metric)
    facts = [
        f"{cell.id}  {visible(table.title)}",
        f"system {visible(row.system)} ({row.family}), column {visible(column.head)}, "
        f"edition {table.edition}",
        f"value {format_value(cell, column)}"
        + (f", {cell.n} of {cell.total} songs" if cell.total else "")
        + (f", not rounded: {cell.value!r}" if cell.value is not None else ""),
    ]
    cells: list[dict[str, Any]] = []
    if row.group == "published":
        facts.append(f"published in {row.source}, not computed here; see the caption")
    elif row.group == "pair":
        facts.append("between the kept estimates of the two systems; see the caption")
    elif column.kind == "cost":
        facts.append("measured while separating: see `draws` in the run's records")
    else:
        if row.source:
            facts.append(f"imported from {visible(row.source)}, not computed here")
        facts.append(_aggregation(column, traits[column.metric].aggregate))
        cells = _cells_behind(frame, table, row, column)
    if format == "json":
        return _json(table, row, column, cell, facts[-1], cells)
    return _text(facts, cells, format)


CELL_COLUMNS = ["system", "track", "stem", "metric", "draw", "value", "status", "key"]


def _text(facts: list[str], cells: list[dict[str, Any]], format: str) -> str:
    if format == "terminal":
        return "\n".join([*facts, *([""] if cells else []), *map(_line, cells)])
    rows = [[cell[name] for name in CELL_COLUMNS] for cell in cells]
    text = text_table.render_rows(CELL_COLUMNS, rows, format, digits=6).rstrip("\n")
    if format == "csv":
        return text
    paragraphs = [text_table.paragraph(fact, format) for fact in facts]
    return ("\n\n" if format == "md" else "\n").join([*paragraphs, text])


def _json(
    table: Table, row: Row, column: Column, cell: Cell, how: str, cells: list[dict[str, Any]]
) -> str:
    content = {
        "id": cell.id,
        "table": table.title,
        "edition": table.edition,
        "system": row.system,
        "family": row.family,
        "metric": column.metric,
        "stem": column.stem,
        "kind": column.kind,
        "value": cell.value,
        "n": cell.n,
        "total": cell.total,
        "how": how,
        "cells": [{k: text_table.json_value(c[k]) for k in CELL_COLUMNS} for c in cells],
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)


def _aggregation(column: Column, aggregate: str) -> str:
    """The aggregation of the cells in words."""
    over = {
        "tail": "mean over the 5 % worst of the system's songs, each the mean over draws",
        "failures": "percent of the system's songs beyond the limit, each the mean over draws",
        "draws": "see the caption; over songs that have a value for every draw",
        "text": "the songs named in this row; each the mean over draws",
    }.get(column.kind, f"{aggregate} over the songs that every ranked system has, mean over draws")
    return (
        over
        + (", mean over stems" if column.stem == AVERAGE else "")
        + (", mean over the stems other than bass" if column.stem == WITHOUT_BASS else "")
        + (", minus the mixture on the same song" if column.kind == "gain" else "")
    )


def find(tables: Sequence[Table], id: str) -> tuple[Table, Row, Column, Cell]:
    """The cell that ``id`` names, with its table, row and column.

    Raises
    ------
    UsageError
        the cell does not exist; the message lists ids or names.
    """
    text = id.strip()
    for table in tables:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                if text in (cell.id, _name(row, column)):
                    return table, row, column, cell
    raise UsageError(f"no number {visible(id)!r}{_suggestion(tables, text)}")


def _name(row: Row, column: Column) -> str:
    return f"{row.system}/{row.metric or column.metric}/{column.stem}"


def _suggestion(tables: Sequence[Table], text: str) -> str:
    """A suggestion: rows and columns of a table, table ids, or a name."""
    id_parts = re.fullmatch(r"(t\d+)(\.r\d+c\d+g?)?", text)
    if id_parts and any(t.id == id_parts[1] for t in tables):
        table = next(t for t in tables if t.id == id_parts[1])
        return f"; {table.id} has rows 1 to {len(table.rows)}, columns 1 to {len(table.columns)}"
    if id_parts or not tables:
        return f"; the tables are {', '.join(t.id for t in tables) or 'none'}"
    names = [_name(row, column) for t in tables for row in t.rows for column in t.columns]
    if text.count("/") < 2:
        closest = max(names, key=lambda name: _shared_parts(text, name))
        return f"; expected an id or SYSTEM/METRIC/STEM, for example {closest!r}"
    return did_you_mean(text, list(dict.fromkeys(names)))


def _shared_parts(text: str, name: str) -> int:
    """Number of parts of ``text`` that match the parts of a name; ``htdemucs`` also matches
    ``htdemucs@mini``.
    """
    parts = [part for whole in name.split("/") for part in (whole, whole.partition("@")[0])]
    return sum(part in parts for part in text.split("/"))


def _cells_behind(
    frame: pd.DataFrame, table: Table, row: Row, column: Column
) -> list[dict[str, Any]]:
    systems = [row.system]
    if column.kind == "gain":
        systems += sorted(set(frame.loc[frame["family"] == "mixture", "system"]))[:1]
    part = frame[
        (frame["edition"].astype(str) == table.edition)
        & (frame["metric"] == column.metric)
        & frame["system"].isin(systems)
    ]
    if column.stem == WITHOUT_BASS:
        part = part[part["stem"] != BASS]
    elif column.stem != AVERAGE:
        part = part[part["stem"] == column.stem]
    part = part.sort_values(["system", "stem", "track", "draw"], kind="stable")
    return [{str(k): v for k, v in cell.items()} for cell in part.to_dict("records")]


def _line(cell: dict[str, Any]) -> str:
    value = f"{cell['value']:.6g}" if cell["value"] == cell["value"] else "-"
    status = "" if cell["status"] == "ok" else f"  {visible(str(cell['status']))}"
    return (
        f"{value:>12}  {cell['stem']:<7} draw {cell['draw']}  {_key(cell):<12}  "
        f"{visible(str(cell['track']))}  [{visible(str(cell['system']))}]{status}"
    )


def _key(cell: dict[str, Any]) -> str:
    """The first digits of a cell's key; empty for an imported cell."""
    return cell["key"][:12] if isinstance(cell["key"], str) else "-"
