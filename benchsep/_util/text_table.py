r"""Small tables as text: terminal, Markdown, LaTeX, CSV, strict JSON, HTML.

Conventions
-----------
formats  :data:`FORMATS`; the word ``table`` is an alias of ``terminal`` (:data:`ALIASES`)
numbers  rounded in ``terminal``, ``md``, ``tex`` and ``html``; at full precision in ``csv`` and
         ``json``
missing  ``None`` and NaN are ``-``, an empty field in CSV, ``null`` in JSON
lists    joined by ``; ``, lists in JSON
text     :func:`render` and :func:`render_rows` escape text for each format
         (:mod:`benchsep._util.escape`); :func:`lines` expects cells that are escaped already

Functions
---------
render, render_rows  a DataFrame, or column names and rows, in one of the six formats
lines                a table of text cells, in one of the four formats that people read
paragraph, bullets   text around such a table, in the same four formats
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchsep._util import escape
from benchsep.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("terminal", "md", "tex", "csv", "json", "html")
ALIASES = {"table": "terminal"}

ESCAPES: Mapping[str, Callable[[str], str]] = {
    "terminal": escape.visible,
    "md": escape.markdown,
    "tex": escape.latex,
    "html": escape.html,
}
"""Escape function by format."""


def render(table: pd.DataFrame, format: str = "terminal", *, digits: int = 3) -> str:
    """The DataFrame without its index, in one of :data:`FORMATS`, ending in a newline.

    Raises
    ------
    UsageError
        an unknown format.
    """
    rows = table.itertuples(index=False, name=None)
    return render_rows([str(c) for c in table.columns], list(rows), format, digits=digits)


def render_rows(
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    format: str = "terminal",
    *,
    digits: int = 3,
    rule: bool = True,
) -> str:
    """Columns called ``names`` and ``rows`` of values; as :func:`render`.

    ``rule`` is that of :func:`lines`.

    Raises
    ------
    UsageError
        an unknown format.
    """
    format = ALIASES.get(format, format)
    if format == "json":
        records = [dict(zip(names, map(json_value, row), strict=True)) for row in rows]
        return json.dumps(records, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    if format == "csv":
        return _csv(names, rows)
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}, expected one of {', '.join(FORMATS)}")
    body = [[_cell_text(value, format, digits) for value in row] for row in rows]
    return "".join(f"{line}\n" for line in lines(names, body, format, rule=rule))


# -- CSV and JSON --------------------------------------------------------------------------------


def _csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_csv_value(value) for value in row] for row in rows)
    return out.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if isinstance(value, str):
        return escape.csv_cell(value)
    return "" if _is_missing(value) else value


def json_value(value: Any) -> Any:
    """``value`` for strict JSON: NumPy scalars as Python's, numbers that are not finite as null."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


# -- text for people -----------------------------------------------------------------------------


def _cell_text(value: Any, format: str, digits: int) -> str:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if _is_missing(value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return ESCAPES[format](str(value))


def lines(
    head: Sequence[str],
    body: Sequence[Sequence[str]],
    format: str = "terminal",
    *,
    right: Collection[int] | None = None,
    rule: bool = True,
) -> list[str]:
    """A table of text cells as lines, in ``terminal``, ``md``, ``tex`` or ``html``.

    Parameters
    ----------
    head, body : names of the columns, and the cells row by row; cells escaped for ``format``.
    right : indices of the columns aligned on the right; ``None``: no column. In Markdown,
        ``None`` pads the cells, so that the source is readable; otherwise the rule under the
        head holds the alignment and cells are not padded.
    rule : whether a rule follows the head in ``terminal``.
    """
    if format == "terminal":
        return _terminal(head, body, right or (), rule)
    if format == "md":
        return _markdown(head, body, right)
    if format == "tex":
        return _latex(head, body, right or ())
    return _html(head, body, right or ())


def _widths(rows: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _padded(row: Sequence[str], widths: Sequence[int], right: Collection[int]) -> list[str]:
    return [
        cell.rjust(width) if i in right else cell.ljust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _terminal(
    head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[int], rule: bool
) -> list[str]:
    widths = _widths([head, *body])
    rows = [head, ["-" * width for width in widths], *body] if rule else [head, *body]
    texts = ["  ".join(_padded(row, widths, right)) for row in rows]
    # A right-aligned last column is padded in all lines, also for empty cells.
    return texts if len(widths) - 1 in right else [text.rstrip() for text in texts]


def _markdown(
    head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[int] | None
) -> list[str]:
    if right is None:
        widths = _widths([head, *body])
        rows = [_padded(row, widths, ()) for row in (head, ["-" * w for w in widths], *body)]
        return [markdown_row(row) for row in rows]
    sides = "".join("--:|" if i in right else ":--|" for i in range(len(head)))
    return [markdown_row(head), f"|{sides}", *map(markdown_row, body)]


def markdown_row(cells: Iterable[str]) -> str:
    """``| a | b |``."""
    return f"| {' | '.join(cells)} |"


def _latex(head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    columns = "".join("r" if i in right else "l" for i in range(len(head)))
    return [
        rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
        r"\toprule",
        " & ".join(map(escape.latex, head)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in body),
        r"\bottomrule",
        r"\end{tabular}",
    ]


def _html(head: Sequence[str], body: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    sides = [' style="text-align: right"' if i in right else "" for i in range(len(head))]

    def row(cells: Iterable[str], tag: str) -> str:
        tagged = (f"<{tag}{s}>{c}</{tag}>" for c, s in zip(cells, sides, strict=True))
        return f"<tr>{''.join(tagged)}</tr>"

    return [
        "<table>",
        f"<thead>{row(map(escape.html, head), 'th')}</thead>",
        "<tbody>",
        *(row(cells, "td") for cells in body),
        "</tbody>",
        "</table>",
    ]


def paragraph(text: str, format: str = "terminal") -> str:
    """A paragraph around a table; text for ``tex`` and ``html`` is escaped here."""
    if format == "html":
        return f"<p>{escape.html(text)}</p>"
    return f"\n{escape.latex(text)}\n" if format == "tex" else text


def bullets(items: Iterable[str], format: str = "terminal") -> list[str]:
    """A list of items around a table, as lines; escaped as in :func:`paragraph`."""
    if format == "html":
        return ["<ul>", *(f"<li>{escape.html(item)}</li>" for item in items), "</ul>"]
    if format == "tex":
        inner = (rf"\item {escape.latex(item)}" for item in items)
        return [r"\begin{itemize}", *inner, r"\end{itemize}"]
    return [f"- {item}" for item in items]
