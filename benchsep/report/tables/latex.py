r"""Tables as LaTeX: booktabs and siunitx.

Either a fragment for ``\input``, with the required preamble in a comment, or a complete document.
Text after a number (interval, letters, coverage) has its own column; in the number's column it
would overlap with the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep._util import escape
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

PREAMBLE = r"\usepackage{array,booktabs,siunitx,textcomp}"


def latex(tables: Sequence[Table]) -> str:
    """All tables as a fragment."""
    opening = f"% Needs: {PREAMBLE}\n% in the preamble; written by benchsep, do not edit.\n"
    return opening + "\n".join([*map(_table, tables), *_notes(tables)])


def _notes(tables: Sequence[Table]) -> list[str]:
    """The notes of all tables, each once, as a paragraph after them."""
    notes = [escape.latex(note) for note in shared_notes(tables)]
    return [r"\par\noindent{\scriptsize " + "\n".join(notes) + r"\par}", ""] if notes else []


def latex_document(tables: Sequence[Table]) -> str:
    """A complete document with the tables, for pdfLaTeX."""
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[T1]{fontenc}",
            r"\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}",
            r"\usepackage[a4paper,margin=15mm,landscape]{geometry}",
            PREAMBLE,
            r"\begin{document}",
            latex(tables),
            r"\end{document}",
            "",
        ]
    )


def _table(table: Table) -> str:
    split = [_has_suffix(table, i) for i in range(len(table.columns))]
    physical = 1 + len(split) + sum(split)
    roomy = physical <= 11
    size, suffixes, gap = ("footnotesize", "scriptsize", 4) if roomy else ("scriptsize", "tiny", 2)
    types = "".join(
        _column_type(table, i) + (rf"@{{\,}}>{{\{suffixes}}}l" if s else "")
        for i, s in enumerate(split)
    )
    return "\n".join(
        [
            r"\begin{table}[htbp]",
            rf"\centering\{size}\setlength{{\tabcolsep}}{{{gap}pt}}",
            r"\sisetup{detect-weight=true,detect-inline-weight=math}",
            rf"\caption{{{_caption(table)}}}",
            rf"\label{{tab:benchsep-{table.id}}}\smallskip",
            rf"\begin{{tabular}}{{@{{}}l{types}@{{}}}}",
            r"\toprule",
            rf"{{system}} & {_heads(table, split)} \\",
            *_rows(table, split, physical),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _caption(table: Table) -> str:
    esc = escape.latex
    sentences = [r"\textbf{Warning:} " + esc(w) for w in table.warnings]
    return f"{esc(table.title)}. " + " ".join([*sentences, *map(esc, table.caption)])


def _heads(table: Table, split: Sequence[bool]) -> str:
    texts = [escape.latex(head(column)) for column in table.columns]
    return " & ".join(
        rf"\multicolumn{{2}}{{c}}{{{text}}}" if s else f"{{{text}}}"
        for text, s in zip(texts, split, strict=True)
    )


def _rows(table: Table, split: Sequence[bool], physical: int) -> list[str]:
    esc, lines = escape.latex, []
    for title, rows in table.groups():
        lines.append(r"\midrule")
        lines.append(rf"\multicolumn{{{physical}}}{{@{{}}l}}{{\itshape {esc(title)}}} \\")
        for row in rows:
            cells = [
                _cell(cell, column, s)
                for cell, column, s in zip(row.cells, table.columns, split, strict=True)
            ]
            lines.append(rf"{esc(row.head)} & " + " & ".join(cells) + r" \\")
    return lines


def _has_suffix(table: Table, index: int) -> bool:
    column = table.columns[index]
    return any(suffix(row.cells[index], column) for row in table.rows)


def _column_type(table: Table, index: int) -> str:
    column = table.columns[index]
    if column.kind == "text":
        return r">{\raggedright\arraybackslash}p{62mm}"
    values = [row.cells[index].value for row in table.rows]
    texts = [f"{abs(v):.{column.digits}f}" for v in values if v is not None] or ["0"]
    whole = max(len(text.split(".")[0]) for text in texts)
    signed = column.kind == "gain" or any(v is not None and v < 0 for v in values)
    sign = ("+" if column.kind == "gain" else "-") if signed else ""
    return f"S[table-format={sign}{whole}.{column.digits}]"


def _cell(cell: Cell, column: Column, split: bool) -> str:
    text = format_value(cell, column)
    if column.kind == "text":
        return escape.latex(text)
    bold = r"\bfseries " if cell.best else ""
    number = f"{{{escape.latex(text)}}}" if cell.value is None else f"{bold}{text}"
    return f"{number} & {escape.latex(suffix(cell, column).strip())}" if split else number
