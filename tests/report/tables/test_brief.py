"""The first view of a run fits the terminal, and says why cells lack a value."""

from __future__ import annotations

import pandas as pd
import pytest

from benchsep.report.tables.brief import brief, fitted, reasons
from benchsep.report.tables.model import Cell, Column, Row, Table
from benchsep.report.tables.render import render, render_brief


def table(name: str, metrics: list[str], axes: set[str] = frozenset()) -> Table:
    columns = tuple(
        Column(m, "average", m, "dB", 2, 1, axis="quality" if m in axes else "") for m in metrics
    )
    cells = tuple(Cell("", 1234.5, 3, 3) for _ in metrics)
    return Table(name, name, columns, (Row("a-system", "generative", "generative", cells),),
                 ("n = 3 songs.",), notes=("Note.",), warnings=(f"Warning of {name}.",
                 "Shared warning."))  # fmt: skip


TABLES = [table("t1", ["m1", "m2", "m3"], {"m2"}), table("t2", ["m1"]), table("t3", ["m2"])]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_a_fitted_table_is_as_wide_as_the_window_and_keeps_a_column(width):
    part, hidden = fitted(TABLES[0], width)
    assert len(part.columns) + hidden == 3 and part.columns
    lines = render([part], "terminal").splitlines()
    rows = [line.rstrip() for line in lines if "a-system" in line]
    assert max(map(len, rows)) <= width or len(part.columns) == 1
    if hidden:  # one column more would not have fitted
        wider, _ = fitted(TABLES[0], width + 3 + len("m3 [dB] ↑") + 2)
        assert len(wider.columns) > len(part.columns)


def test_the_first_view_has_the_overview_the_headline_by_stem_and_each_warning_once():
    shown = brief(TABLES, 200)
    assert [t.id for t in shown.tables] == ["t1", "t3"]  # m2 heads the overview
    assert shown.warnings == ("Warning of t1.", "Shared warning.", "Warning of t3.")
    assert shown.left_out == "1 table, notes"
    text = render_brief(shown, ["2 cells of a: why"])
    assert text.count("n = 3 songs.") == 1 and "Note." not in text
    assert "2 cells of a: why" in text


def test_equal_reasons_stand_together():
    rows = [
        (system, metric, "ok" if metric == "usdr" else "unavailable: no weights")
        for system in ("a", "b")
        for metric in ("nisqa", "usdr")
    ]
    rows.append(("b", "visqol", "failed: out of memory"))
    cells = pd.DataFrame(rows, columns=["system", "metric", "status"])
    assert reasons(cells) == [
        "1 cell of b (visqol): failed: out of memory",
        "2 cells of all systems (nisqa): unavailable: no weights",
    ]
    assert reasons(cells[cells["status"] == "ok"]) == []
