"""A small table of results as aligned text, Markdown, CSV or strict JSON.

Conventions
-----------
numbers are rounded for the eye in ``table`` and ``md`` and whole in ``csv`` and ``json``;
no value is ``-``, an empty field, or ``null``; lists of songs are joined by ``; ``; text from
outside is escaped for where it goes (:mod:`benchsep._util.escape`)
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from benchsep._util import escape
from benchsep.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

FORMS = ("table", "md", "csv", "json")


def render(frame: pd.DataFrame, form: str = "table", *, digits: int = 3) -> str:
    """The frame without its index, in one of :data:`FORMS`, ending in a newline.

    Raises
    ------
    UsageError
        an unknown form.
    """
    if form not in FORMS:
        raise UsageError(f"unknown format {form!r}; expected one of {', '.join(FORMS)}")
    names = [str(c) for c in frame.columns]
    rows = [list(row) for row in frame.itertuples(index=False, name=None)]
    if form == "json":
        records = [dict(zip(names, map(_json, row), strict=True)) for row in rows]
        return json.dumps(records, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    if form == "csv":
        return str(frame.map(_csv).to_csv(index=False, lineterminator="\n"))
    shown = [[_eye(v, digits, markdown=form == "md") for v in row] for row in rows]
    return _aligned(names, shown, form == "md")


def _csv(value: Any) -> Any:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    return escape.csv_cell(value) if isinstance(value, str) else value


def _aligned(names: list[str], body: list[list[str]], markdown: bool) -> str:
    widths = [max(len(row[i]) for row in [names, *body]) for i in range(len(names))]
    lines = [names, ["-" * width for width in widths], *body]
    padded = [[c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in lines]
    if markdown:
        return "".join(f"| {' | '.join(row)} |\n" for row in padded)
    return "".join("  ".join(row).rstrip() + "\n" for row in padded)


def _eye(value: Any, digits: int, *, markdown: bool) -> str:
    if isinstance(value, list):
        value = "; ".join(map(str, value))
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.{digits}f}"
    return escape.markdown(str(value)) if markdown else escape.visible(str(value))


def _json(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()  # NumPy scalars
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
