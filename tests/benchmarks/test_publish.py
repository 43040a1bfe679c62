"""What is kept of a report is small; docs/results.md and README.md show its first tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.publish import ROWS, SHOWN, between_marks, first_tables, publish, some_rows

ROOT = Path(__file__).resolve().parents[2]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (400, 1200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


def test_tables_are_copied_and_pictures_shrunk(tmp_path):
    report, out = tmp_path / "report", tmp_path / "out"
    picture(report / "figures" / "cost.png")
    for stem in ("drums", "vocals"):
        picture(report / "figures" / "song" / f"{stem}.png")
    for name in ("tables.md", "tables.csv", "tables.tex", "tables.json", "index.html"):
        (report / name).write_text(name)
    publish(report, out)
    kept = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    pictures = {"figures/cost.png", "figures/spectrograms.jpg"}
    assert kept == pictures | {"tables.md", "tables.csv"}
    for name in pictures:
        with Image.open(out / name) as image:
            assert image.size == (600, 200)
        assert (out / name).stat().st_size < 150_000


@pytest.mark.parametrize(
    ("page", "name", "shown"),
    [("docs/results.md", "demo table", first_tables), ("README.md", "demo rows", some_rows)],
)
def test_the_pages_show_the_first_tables_of_the_demos_report(page, name, shown):
    text = (ROOT / page).read_text(encoding="utf-8")
    tables = (ROOT / "reports" / "demo" / "tables.md").read_text(encoding="utf-8")
    assert between_marks(text, name, shown(tables)) == text


def test_results_hold_two_tables_and_the_readme_one_of_five_rows():
    tables = (ROOT / "reports" / "demo" / "tables.md").read_text(encoding="utf-8")
    assert first_tables(tables).count("### ") == SHOWN
    rows = some_rows(tables).splitlines()
    assert [row.split()[1].partition("@")[0] for row in rows[2:]] == list(ROWS)
    assert "**" not in some_rows(tables)


def test_a_page_without_its_marks_is_an_error():
    with pytest.raises(SystemExit, match="demo table"):
        between_marks("# benchsep\n", "demo table", "### a table\n")


def test_reports_hold_small_files_only():
    """Markdown, CSV, baselines and small pictures: no second rendering of a table."""
    for path in (ROOT / "reports").rglob("*"):
        if path.is_file():
            assert path.suffix in {".md", ".csv", ".json", ".jsonl", ".png", ".jpg"}, path
            limit = 150_000 if path.suffix in {".png", ".jpg"} else 250_000
            assert path.stat().st_size < limit, path
