"""What the gate prints: whole texts that were read once, and the limits of what is listed."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from benchsep.gate.render import ANNOTATED, LISTED, WHY, render, render_noise
from tests.gate.reports import FAILED, NOISE, PASSED, ROWS
from tests.golden.make_gate import FOLDER, texts


@pytest.mark.parametrize("name", sorted(texts()))
def test_the_text_is_the_one_that_was_read(name: str) -> None:
    assert texts()[name] == (FOLDER / name).read_text(encoding="utf-8")


def test_every_format_is_kept() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(texts())


def test_no_reader_sees_an_escaped_end_of_a_line() -> None:
    """The foot has three lines, a reason may hold the end of one."""
    for form in ("tex", "html", "md", "terminal"):
        assert "x0a" not in render(FAILED, form)
    lines = render(FAILED, "md").splitlines()
    assert "- 1 cells beyond tolerance: 50% of it" in lines


def test_json_and_csv_hold_every_cell_at_full_precision() -> None:
    content = json.loads(render(FAILED, "json"))
    assert content["cells"] == [vars(row) for row in FAILED.rows]
    assert content["groups"] == [vars(group) for group in FAILED.groups]
    assert [content[k] for k in ("failed", "compared", "alpha")] == [True, 3, 0.05]
    found = list(csv.DictReader(io.StringIO(render(FAILED, "csv"))))
    assert [row["difference"] for row in found] == ["0.004", "-0.5", "0.5", ""]
    assert found[3]["why"] == ROWS[3].why and found[3]["baseline"] == "1.0"


def test_another_name_of_a_format_is_that_format() -> None:
    assert render(FAILED, "table") == render(FAILED, "terminal") != render(FAILED, "md")


def test_what_is_left_out_is_a_paragraph_of_the_format() -> None:
    rows = tuple(replace(ROWS[1], track=f"song {n:03d}") for n in range(LISTED + 2))
    assert "<p>... and 2 more</p>" in render(replace(FAILED, rows=rows), "html")
    assert "\n\n... and 2 more\n\n" in render(replace(FAILED, rows=rows), "tex")


@pytest.mark.parametrize("more", [0, 1, 3])
def test_a_table_lists_so_many_cells_and_says_how_many_more_there_are(more: int) -> None:
    rows = tuple(replace(ROWS[1], track=f"song {n:03d}") for n in range(LISTED + more))
    text = render(replace(FAILED, rows=rows))
    assert text.count("song ") == LISTED
    assert ("... and" in text) == bool(more) and (f"... and {more} more\n" in text) == bool(more)


@pytest.mark.parametrize(("length", "is_whole"), [(WHY, True), (WHY + 1, False)])
def test_a_long_reason_is_cut_in_a_table_alone(length: int, is_whole: bool) -> None:
    why = "z" * (length - len("status: "))
    report = replace(FAILED, rows=(replace(ROWS[1], verdict="status", why=why),))
    shown = (
        next(line for line in render(report).splitlines() if "zz" in line).split("  ")[-1].strip()
    )
    assert (shown == f"status: {why}") is is_whole and len(shown) == WHY
    assert why in render(report, "csv") and why in render(report, "junit")


def test_github_gets_as_many_annotations_as_it_shows() -> None:
    many = tuple(f"reason {n}" for n in range(ANNOTATED + 2))
    lines = render(replace(FAILED, reasons=many, improvements=many), "github").splitlines()
    levels = [line.split(" ")[0] for line in lines]
    assert levels.count("::error") == ANNOTATED + 1 and levels.count("::notice") == ANNOTATED
    assert lines[-1].startswith("::error") and "reason 9" in lines[9]
    assert render(PASSED, "github").startswith("::notice")


def test_the_noise_table_is_in_the_order_of_its_groups_in_every_format() -> None:
    for form in ("terminal", "md", "tex", "html", "csv", "json"):
        text = render_noise(NOISE, form)
        assert 0 <= text.index("drums") < text.index("vocals"), form
    assert "<p>sd: of a cell" in render_noise(NOISE, "html"), "what the columns are"
    assert json.loads(render_noise(NOISE, "json"))[1]["sd"] == 0.123456
    assert render_noise(NOISE) == render_noise(NOISE, "terminal")
