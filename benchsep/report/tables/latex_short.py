r"""Tables as LaTeX to paste into a paper: only booktabs, a caption of one line, a label.

A table that is wider than the text of ``article`` is split into several, each with all systems.

Intervals, letters and warnings are left out; missing songs, and marks that the caption explains,
are kept.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchsep._util import escape
from benchsep.report.tables.latex_width import BOLD, lines, parts, width
from benchsep.report.tables.model import format_value, head
from benchsep.runner.notes.seen import TEST_SEEN, TRAIN_SEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchsep.report.tables.model import Cell, Column, Table

PREAMBLE = r"\usepackage{booktabs}"
BREAK = r"\\"
TEXT_TYPE, TEXT_POINTS = "p{55mm}", 157.0
"""LaTeX type, and width in points, of a column of text."""
NAME_TYPE, NAME_POINTS = "p{52mm}", 147.0
"""The same for the column of names, if a name is too long for a line."""
ABSENT = frozenset("ÐÞðþĄąĐđĘęĮįŊŋŲų")
"""Letters that LaTeX's default font encoding (OT1) lacks: errors without fontenc."""


def latex_short(tables: Sequence[Table]) -> str:
    """All tables, each can be pasted separately."""
    made = [text for table in tables for text in _tables(table)]
    return f"% Needs: {PREAMBLE}\n" + "\n".join(made)


def _escaped(text: str) -> str:
    return "".join(rf"\texttt{{U+{ord(c):04X}}}" if c in ABSENT else c for c in escape.latex(text))


def _tables(table: Table) -> list[str]:
    """The table, or its parts if it is wider than a page."""
    heads = [lines(head(c), _cell_width(table, i)) for i, c in enumerate(table.columns)]
    widths = [
        TEXT_POINTS if column.kind == "text" else max(_cell_width(table, i), *map(width, heads[i]))
        for i, column in enumerate(table.columns)
    ]
    names = max([width("system"), *(width(row.head) for row in table.rows)])
    found = parts(min(names, NAME_POINTS), widths)
    return [_table(table, heads, part, number) for number, part in enumerate(found)]


def _table(table: Table, heads: Sequence[list[str]], part: Sequence[int], number: int) -> str:
    """The columns of one part."""
    types = "".join(TEXT_TYPE if table.columns[i].kind == "text" else "r" for i in part)
    shown = " & ".join(_head(heads[i]) for i in part)
    suffix = "" if number == 0 else chr(ord("a") + number)
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{_escaped(_caption(table, number > 0))}}}",
            rf"\label{{tab:benchsep-{table.id}{suffix}}}",
            rf"\begin{{tabular}}{{@{{}}{_name_type(table)}{types}@{{}}}}",
            r"\toprule",
            rf"system & {shown} \\",
            *_rows(table, part),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _name_type(table: Table) -> str:
    long = any(width(row.head) > NAME_POINTS for row in table.rows)
    return NAME_TYPE if long else "l"


def _name(text: str) -> str:
    """A name; if it is too long for its column, it may be broken after each letter."""
    if width(text) <= NAME_POINTS:
        return _escaped(text)
    return r"\raggedright " + r"\allowbreak{}".join(map(_escaped, text))


def _head(found: Sequence[str]) -> str:
    if len(found) == 1:
        return _escaped(found[0])
    return rf"\shortstack[r]{{{BREAK.join(map(_escaped, found))}}}"


def _cell_width(table: Table, index: int) -> float:
    """Width of the widest cell of a column in points."""
    return max(
        (_width_of(row.cells[index], table.columns[index]) for row in table.rows), default=0.0
    )


def _width_of(cell: Cell, column: Column) -> float:
    if column.kind == "text":
        return TEXT_POINTS
    text = format_value(cell, column).replace("-", "−") + "†" * bool(cell.ill_conditioned)
    marks = f" {_coverage(cell)}" if _coverage(cell) else ""
    return width(text) * (BOLD if cell.best else 1.0) + width(marks)


def _caption(table: Table, continued: bool) -> str:
    """Title, number of songs, and the meaning of the marks in the table."""
    songs = re.match(r"n = \d+ songs?", table.caption[0]) if table.caption else None
    cells = [cell for row in table.rows for cell in row.cells]
    marks = "".join(row.mark for row in table.rows)
    clauses = [
        songs[0] if songs else "",
        "bold: best of the ranked" if any(cell.best for cell in cells) else "",
        "n/N: over n of N songs" if any(_coverage(cell) for cell in cells) else "",
        "†: ill-conditioned" if any(cell.ill_conditioned for cell in cells) else "",
        f"{TEST_SEEN}: trained on test songs" if TEST_SEEN in marks else "",
        f"{TRAIN_SEEN}: trained on training songs of it" if TRAIN_SEEN in marks else "",
    ]
    title = f"{table.title} (continued)" if continued else table.title
    return f"{'; '.join([title, *filter(None, clauses)])}."


def _rows(table: Table, part: Sequence[int]) -> list[str]:
    found = []
    for title, rows in table.groups():
        wide = rf"\multicolumn{{{len(part) + 1}}}{{@{{}}l}}"
        found += [r"\midrule", rf"{wide}{{\itshape {_escaped(title)}}} \\"]
        for row in rows:
            cells = [_cell(row.cells[i], table.columns[i]) for i in part]
            found.append(rf"{_name(row.head)} & {' & '.join(cells)} \\")
    return found


def _cell(cell: Cell, column: Column) -> str:
    text = format_value(cell, column)
    if cell.value is None:
        return _escaped(text)
    number = text.replace("-", "$-$", 1).replace("+", "$+$", 1)
    dagger = r"$^\dagger$" if cell.ill_conditioned else ""
    coverage = rf" {{\scriptsize {_coverage(cell)}}}" if _coverage(cell) else ""
    return (rf"\textbf{{{number}}}" if cell.best else number) + dagger + coverage


def _coverage(cell: Cell) -> str:
    return f"{cell.n}/{cell.total}" if cell.partial and cell.value is not None else ""
