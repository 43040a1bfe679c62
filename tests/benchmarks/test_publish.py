"""What is kept of a report in the repository is small, and the README shows its first tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.publish import END, SHOWN, START, publish, with_tables

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


def test_the_readme_shows_the_first_tables_of_the_demos_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tables = (ROOT / "reports" / "demo" / "tables.md").read_text(encoding="utf-8")
    assert with_tables(readme, tables) == readme
    shown = readme.partition(START)[2].partition(END)[0]
    assert shown.count("### ") == SHOWN


def test_a_readme_without_its_marks_is_an_error():
    with pytest.raises(SystemExit, match="demo table"):
        with_tables("# benchsep\n", "### a table\n")


def test_reports_hold_small_files_only():
    """Markdown, CSV, baselines and small pictures: no second rendering of a table."""
    for path in (ROOT / "reports").rglob("*"):
        if path.is_file():
            assert path.suffix in {".md", ".csv", ".json", ".jsonl", ".png", ".jpg"}, path
            limit = 150_000 if path.suffix in {".png", ".jpg"} else 250_000
            assert path.stat().st_size < limit, path
