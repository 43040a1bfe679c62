"""The page of a board: one file that asks for nothing, folded tables, text that stays text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchsep.report.site.board import write_board

from .test_site import a_run, browser, needs_browser  # noqa: F401


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = a_run()
    first = run.tables[0]
    marked = replace(first, rows=(replace(first.rows[0], mark="‡"), *first.rows[1:]))
    hostile = replace(marked, title="</script><img src=x onerror=alert(1)>")
    tables = [hostile, *run.tables[1:]]
    return write_board(replace(run, tables=tables), tmp_path_factory.mktemp("board"))


def test_one_file_without_addresses(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]
    assert not re.search(r"""\b(?:src|href)\s*=|url\(|@import""", re.sub(r"&lt;.*?&gt;", "", text))
    assert "default-src 'none'" in text


def test_text_from_outside_stays_text(page: Path) -> None:
    assert "<img" not in page.read_text(encoding="utf-8")


def test_the_overview_is_open_with_both_axes_and_marks_and_the_rest_is_folded(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    opened, folded = text[: text.index("<details>")], text[text.index("<details>") :]
    assert "Quality:" in opened and "‡" in opened and opened.count("<table") == 1
    assert folded.count("<details>") == folded.count("<table") == len(a_run().tables) - 1
    assert "How to read the tables" in folded


@needs_browser
def test_a_click_on_a_head_sorts_within_the_groups(page: Path, browser: Any) -> None:  # noqa: F811
    made = browser.new_page()
    faults: list[str] = []
    made.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
    made.on("pageerror", lambda e: faults.append(str(e)))
    made.on("request", lambda r: None if r.url == page.as_uri() else faults.append(r.url))
    made.goto(page.as_uri())
    table = made.locator("table").first
    rows = table.locator('tbody[data-group="discriminative"] th[scope="row"]')
    table.locator("thead button").first.click()
    up = rows.all_inner_texts()
    table.locator("thead button").first.click()
    assert rows.all_inner_texts() == up[::-1] and len(up) == 2 and up == sorted(up)
    made.close()
    assert faults == []
