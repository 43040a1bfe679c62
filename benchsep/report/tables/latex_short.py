r"""Tables as LaTeX to paste into a paper: booktabs alone, a caption of one line, a label.

What :mod:`benchsep.report.tables.latex` prints in columns of its own (intervals, letters) and
warnings are left out; songs that are missing, and marks that the caption names, stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from benchsep._util import escape
from benchsep.report.tables.model import format_value, head
from benchsep.runner.seen import TEST_SEEN, TRAIN_SEEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchsep.report.tables.model import Cell, Column, Table

PREAMBLE = r"\usepackage{booktabs}"
HEAD_WIDTH = 10
"""Characters of a head that stands on one line."""
ABSENT = frozenset("ÐÞðþĄąĐđĘęĮįŊŋŲų")
"""Letters that LaTeX's first font encoding (OT1) lacks: without fontenc they are errors."""


def latex_short(tables: Sequence[Table]) -> str:
    """All tables, each to be pasted on its own."""
    return f"% Needs: {PREAMBLE}\n" + "\n".join(map(_table, tables))


def _escaped(text: str) -> str:
    return "".join(rf"\texttt{{U+{ord(c):04X}}}" if c in ABSENT else c for c in escape.latex(text))


def _table(table: Table) -> str:
    types = "".join("p{62mm}" if c.kind == "text" else "r" for c in table.columns)
    heads = " & ".join(_head(head(column)) for column in table.columns)
    small = r"\small" if len(table.columns) <= 4 else r"\scriptsize\setlength{\tabcolsep}{2pt}"
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            rf"\centering{small}",
            rf"\caption{{{_escaped(_caption(table))}}}",
            rf"\label{{tab:benchsep-{table.id}}}",
            rf"\begin{{tabular}}{{@{{}}l{types}@{{}}}}",
            r"\toprule",
            rf"system & {heads} \\",
            *_rows(table),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _head(text: str) -> str:
    """A long head on two lines of nearly the same length: tables fit a column of text."""
    words = text.split(" ")
    if len(text) <= HEAD_WIDTH or len(words) == 1:
        return _escaped(text)
    halves = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    first, second = min(halves, key=lambda pair: max(map(len, pair)))
    return rf"\shortstack[r]{{{_escaped(first)}\\{_escaped(second)}}}"


def _caption(table: Table) -> str:
    """Title and songs, and what the marks in the table mean."""
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
    return f"{'; '.join([table.title, *filter(None, clauses)])}."


def _rows(table: Table) -> list[str]:
    lines = []
    for title, rows in table.groups():
        wide = rf"\multicolumn{{{len(table.columns) + 1}}}{{@{{}}l}}"
        lines += [r"\midrule", rf"{wide}{{\itshape {_escaped(title)}}} \\"]
        for row in rows:
            cells = [_cell(x, c) for x, c in zip(row.cells, table.columns, strict=True)]
            lines.append(rf"{_escaped(row.head)} & {' & '.join(cells)} \\")
    return lines


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
