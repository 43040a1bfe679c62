"""The documentation from the command line: every page, sections, and the links that name them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchsep._util import pages
from benchsep.errors import UsageError

ROOT = Path(__file__).parents[2]


def test_every_page_has_a_name_and_a_title():
    found = pages.pages()
    assert set(found.values()) == set((ROOT / "docs").rglob("*.md"))
    assert {"report", "guides/score-my-folder", "README"} <= set(found)
    assert all(pages.title(path.read_text("utf-8")) for path in found.values())


def test_a_page_and_the_same_page_as_tables_name_it():
    assert pages.read_page("report") == (ROOT / "docs" / "report.md").read_text("utf-8")
    section = pages.read_page("docs/report.md#how-to-read-a-table")
    assert section.startswith("## How to read a table\n")
    assert len(re.findall("^## ", section, re.M)) == 1 and section == pages.read_page(
        "report#how-to-read-a-table"
    )


def test_a_section_holds_its_subsections_and_no_comment_of_a_script_ends_it(tmp_path, monkeypatch):
    text = "# A\n## B: one, `two`?\n```\n# no heading\n```\n### C\nx\n## D\n"
    (tmp_path / "p.md").write_text(text)
    monkeypatch.setattr(pages, "pages", lambda: {"p": tmp_path / "p.md"})
    assert pages.read_page("p#b-one-two") == text[4:-5]
    assert pages.read_page("p#c") == "### C\nx\n"
    assert pages.read_page("p#d") == "## D\n"


def test_a_wrong_name_is_answered_with_the_next_one():
    with pytest.raises(UsageError, match=r"unknown page 'reprot'.*report.*benchsep docs"):
        pages.read_page("reprot")
    with pytest.raises(UsageError, match=r"no section 'how-to-read-tables'.*how-to-read-a-table"):
        pages.read_page("report#how-to-read-tables")


def test_every_link_in_the_code_leads_to_a_page():
    """``docs/x.md#y`` in captions and messages, and ``benchsep docs x#y``."""
    named = re.compile(r"(?:docs/([\w/-]+)\.md|benchsep docs ([a-z][\w/-]+))(#[\w-]+)?")
    count = 0
    for path in (ROOT / "benchsep").rglob("*.py"):
        for link in named.finditer(path.read_text("utf-8")):
            pages.read_page((link[1] or link[2]) + (link[3] or ""))
            count += 1
    assert count > 5


def test_the_terminal_names_commands():
    text = "How to read: docs/report.md#how-to-read-a-table. Rule: docs/listeners.md."
    assert pages.as_commands(text) == (
        "How to read: benchsep docs report#how-to-read-a-table. Rule: benchsep docs listeners."
    )
