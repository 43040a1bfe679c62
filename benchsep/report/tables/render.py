"""Tables as text: Markdown, LaTeX, CSV, JSON, HTML, terminal.

Conventions
-----------
``md``        GitHub-flavoured; bold best
``tex``       :mod:`benchsep.report.tables.latex`; to paste: ``latex_short``
``csv``       long: a row a number, with its id; for machines
``json``      strict: numbers at full precision, ``null`` where there is none
``html``      a fragment of ``<figure><table>`` elements
``terminal``  rich; colour only if stdout is a terminal
External text is escaped for each format (:mod:`benchsep._util.escape`).
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from benchsep._util import escape, text_table
from benchsep._util.pages import as_commands
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError
from benchsep.report.tables.latex import latex
from benchsep.report.tables.latex_short import latex_short
from benchsep.report.tables.model import (
    Cell,
    Column,
    Table,
    format_value,
    head,
    shared_notes,
    suffix,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchsep.report.tables.brief import Brief


def render(tables: Sequence[Table], format: str, caption: str = "full") -> str:
    """All tables in one text; ``caption`` is ``full`` or, for LaTeX, ``short``.

    Raises
    ------
    UsageError
        if the format is unknown (with a suggestion), or has no short caption.
    """
    formats = {
        "md": _all_markdown,
        "tex": latex,
        "csv": _all_csv,
        "json": _all_json,
        "html": _all_html,
        "terminal": _all_terminal,
    }
    if format not in formats:
        raise UsageError(f"unknown format {format!r}{did_you_mean(format, list(formats))}")
    if caption not in ("full", "short"):
        raise UsageError(f"unknown caption {caption!r}, expected full or short")
    if caption == "short" and format != "tex":
        raise UsageError("--caption short is for LaTeX: add --format tex")
    return latex_short(tables) if caption == "short" else formats[format](tables)


# -- Markdown -----------------------------------------------------------------------------------


def _all_markdown(tables: Sequence[Table]) -> str:
    return "\n".join([*map(_markdown, tables), *_markdown_notes(tables)])


def _markdown_notes(tables: Sequence[Table]) -> list[str]:
    notes = [f"- {escape.markdown(note)}" for note in shared_notes(tables)]
    return ["**How to read the tables**", "", *notes, ""] if notes else []


def _markdown(table: Table) -> str:
    esc = escape.markdown
    lines = [f"### {esc(table.title)}", ""]
    lines += [f"> **Warning.** {esc(w)}\n" for w in table.warnings]
    heads = ["system", *(esc(head(c)) for c in table.columns)]
    right = [i for i, column in enumerate(table.columns, 1) if column.kind != "text"]
    lines += text_table.lines(heads, [], "md", right=right)
    for title, rows in table.groups():
        lines.append(f"| *{esc(title)}* |" + " |" * len(table.columns))
        for row in rows:
            cells = [_markdown_cell(x, c) for x, c in zip(row.cells, table.columns, strict=True)]
            lines.append(text_table.markdown_row([esc(row.head), *cells]))
    lines += ["", f"*Table {table.id[1:]}.* {esc(' '.join(table.caption))}", ""]
    return "\n".join(lines)


def _markdown_cell(cell: Cell, column: Column) -> str:
    text = escape.markdown(format_value(cell, column))
    return (f"**{text}**" if cell.best else text) + escape.markdown(suffix(cell, column))


# -- CSV and JSON -------------------------------------------------------------------------------

CSV_COLUMNS = (
    "id", "table", "edition", "system", "family", "metric", "stem", "kind", "unit", "direction",
    "value", "low", "high", "n", "total", "best", "ill_conditioned", "letters", "note",
)  # fmt: skip


def _records(table: Table) -> list[dict[str, Any]]:
    return [
        {
            "id": cell.id,
            "table": table.title,
            "edition": table.edition,
            "system": row.system,
            "family": row.family,
            "metric": row.metric or column.metric,
            "stem": column.stem,
            "kind": column.kind,
            "unit": column.unit,
            "direction": column.direction,
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "n": cell.n,
            "total": cell.total,
            "best": cell.best,
            "ill_conditioned": cell.ill_conditioned,
            "letters": cell.letters,
            "note": cell.note,
            **({"seen": row.mark} if row.mark else {}),
            **({"source": row.source} if row.source and row.group != "published" else {}),
        }
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    ]


def _all_csv(tables: Sequence[Table]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    records = [r for table in tables for r in _records(table)]
    # These columns exist only if a system was trained on songs or imported; other tables keep their
    # bytes.
    more = [name for name in ("seen", "source") if any(name in r for r in records)]
    columns = (*CSV_COLUMNS, *more)
    writer.writerow(columns)
    for record in records:
        writer.writerow([_csv_value(record.get(name)) for name in columns])
    return out.getvalue()


def _csv_value(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return f"{value:.10g}"
    return escape.csv_cell(value) if isinstance(value, str) else value


def _all_json(tables: Sequence[Table]) -> str:
    content = [
        {
            "id": table.id,
            "title": table.title,
            "edition": table.edition,
            "caption": list(table.caption),
            "notes": list(table.notes),
            "warnings": list(table.warnings),
            "cells": _records(table),
        }
        for table in tables
    ]
    return json.dumps({"format": 1, "tables": content}, indent=1, allow_nan=False) + "\n"


# -- HTML and terminal --------------------------------------------------------------------------


def _all_html(tables: Sequence[Table]) -> str:
    from benchsep.report.site.templates import jinja_environment

    template = jinja_environment().get_template("tables.html.j2")
    return template.render(
        tables=tables,
        notes=shared_notes(tables),
        head=head,
        suffix=suffix,
        format_value=format_value,
    )


def terminal_width() -> int:
    """Columns of the terminal; 120 without a terminal."""
    import shutil

    return max(shutil.get_terminal_size((120, 40)).columns, 60)


def _console(out: io.StringIO) -> Any:
    import sys

    from rich.console import Console

    return Console(
        file=out, width=terminal_width(), force_terminal=sys.stdout.isatty(), highlight=False,
        markup=False, emoji=False,
    )  # fmt: skip


def _all_terminal(tables: Sequence[Table]) -> str:
    from rich.text import Text

    out = io.StringIO()
    console = _console(out)
    for table in tables:
        _print_table(console, table)
    for note in shared_notes(tables):
        console.print(Text(_advice(note), style="dim"))
    return out.getvalue().rstrip("\n")


def render_brief(shown: Brief, reasons: Sequence[str]) -> str:
    """The short view in a terminal: tables, then warnings, reasons and omitted parts."""
    from rich.text import Text

    out = io.StringIO()
    console = _console(out)
    for table in shown.tables:
        _print_table(console, table)
    for warning in shown.warnings:
        console.print(Text(f"! {_advice(warning)}", style="yellow"))
    for reason in reasons:
        console.print(Text(f"- {escape.visible(reason)}", style="yellow"))
    if shown.left_out:
        console.print(Text(f"Not shown: {shown.left_out} (benchsep show RUN --all)", style="dim"))
    return out.getvalue().rstrip("\n")


def _advice(text: str) -> str:
    """A sentence for the terminal, with links to pages replaced by the commands that print them."""
    return as_commands(escape.visible(text))


def _print_table(console: Any, table: Table) -> None:
    from rich import box
    from rich.measure import Measurement
    from rich.table import Table as Grid
    from rich.text import Text

    title = Text(f"{table.id}  {escape.visible(table.title)}", style="bold")
    grid = Grid(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    grid.add_column("system", no_wrap=True)
    for column in table.columns:
        title = Text(escape.visible(head(column)))
        if column.kind == "text":
            grid.add_column(title, justify="left", max_width=60)
        else:
            grid.add_column(title, justify="right")
    for group, rows in table.groups():
        grid.add_row(Text(escape.visible(group), style="italic dim"))
        for row in rows:
            cells = [_text_cell(x, c) for x, c in zip(row.cells, table.columns, strict=True)]
            grid.add_row(Text("  " + escape.visible(row.head)), *cells)
    # Truncated numbers would be wrong, so long lines wrap in a narrow window.
    usual, console.width = console.width, 10_000
    console.width = max(usual, Measurement.get(console, console.options, grid).maximum)
    console.print(grid)
    console.width = usual
    for warning in table.warnings:
        console.print(Text(f"! {_advice(warning)}", style="yellow"))
    if table.caption:
        console.print(Text(_advice(" ".join(table.caption)), style="dim"))
    console.print()


def _text_cell(cell: Cell, column: Column) -> Any:
    from rich.text import Text

    # Also an asterisk, because bold is lost in a pipe or a log file.
    text = Text()
    mark = "*" if cell.best else ""
    text.append(mark + escape.visible(format_value(cell, column)), "bold" if cell.best else "")
    return text.append(escape.visible(suffix(cell, column)), "dim")
