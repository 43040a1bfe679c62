"""Keep the small part of a report in the repository: Markdown, CSV and small pictures.

    python -m benchmarks.publish REPORT FOLDER [--readme]

``REPORT`` is what ``benchsep report`` or ``benchsep ablate`` wrote, ``FOLDER`` is one of
``reports/``. Charts become PNG files of 64 colours, the drums' spectrograms of the first song
become ``spectrograms.jpg``, all 600 pixels wide. ``--readme`` also writes the report's first
tables into docs/results.md and some rows of the first one into README.md, between two marks each.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "results.md"
SHOWN = 2
"""Tables in docs/results.md: the overview and the first metric per stem."""
ROWS = ("tokensep", "bs_roformer", "htdemucs", "mixture", "reference")
"""Systems of the README's table, by the name before "@"."""
COLUMNS = 5
"""Columns of the README's table: the label and the first four metrics."""
WIDTH = 600
"""Pixels of a picture's width."""


def small(picture: Path) -> Image.Image:
    with Image.open(picture) as opened:
        image = opened.convert("RGB")
    if image.width <= WIDTH:
        return image
    size = (WIDTH, round(image.height * WIDTH / image.width))
    return image.resize(size, Image.Resampling.LANCZOS)


def write_chart(picture: Path, out: Path) -> None:
    small(picture).quantize(64).save(out, optimize=True)


def write_spectrograms(picture: Path, out: Path) -> None:
    small(picture).save(out, quality=85, optimize=True)


def publish(report: Path, out: Path) -> None:
    """Copy tables and shrink pictures; files that only ``out`` has are left alone."""
    for path in sorted([*report.rglob("*.md"), *report.rglob("*.csv"), *report.rglob("*.png")]):
        target = out / path.relative_to(report)
        if target.parent not in (out, out / "figures"):
            continue  # a folder of one song
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            write_chart(path, target)
        else:
            shutil.copyfile(path, target)
    drums = sorted((report / "figures").glob("*/drums.png"))
    if drums:
        write_spectrograms(drums[0], out / "figures" / "spectrograms.jpg")


def between_marks(text: str, name: str, inserted: str) -> str:
    """``text`` with ``inserted`` between the marks of ``name``. Raises SystemExit without them."""
    start, end = f"<!-- {name}: written by `make readme`", f"<!-- end of {name} -->\n"
    head, found, rest = text.partition(start)
    rest_of_line, _, rest = rest.partition("\n")
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"these two lines are needed:\n{start} -->\n{end}")
    return f"{head}{start}{rest_of_line}\n{inserted.strip()}\n{end}{tail}"


def first_tables(tables: str) -> str:
    """The first tables of a report's ``tables.md``."""
    return "\n### ".join(tables.split("\n### ")[:SHOWN])


def some_rows(tables: str) -> str:
    """The systems ``ROWS`` of the first table of ``tables.md``, in Markdown, without bold."""
    lines = [line for line in tables.split("\n### ")[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")][:COLUMNS] for line in lines]
    by_name = {row[0].partition("@")[0]: row for row in rows[2:]}
    kept = [*rows[:2], *(by_name[name] for name in ROWS if name in by_name)]
    return "\n".join("| " + " | ".join(row).replace("**", "") + " |" for row in kept)


def write_pages(tables: str) -> None:
    for page, name, inserted in (
        (RESULTS, "demo table", first_tables(tables)),
        (README, "demo rows", some_rows(tables)),
    ):
        text = between_marks(page.read_text(encoding="utf-8"), name, inserted)
        page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("report", type=Path, help="report folder that `benchsep report` wrote")
    parser.add_argument("out", type=Path, help="folder below reports/")
    parser.add_argument(
        "--readme", action="store_true", help="also update docs/results.md and README.md"
    )
    options = parser.parse_args()
    if not options.report.is_dir():
        raise SystemExit(f"{options.report}: no such folder; write the report first")
    publish(options.report, options.out)
    if options.readme:
        write_pages((options.report / "tables.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
