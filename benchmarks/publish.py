"""Keep the small part of a report in the repository: Markdown, CSV and small pictures.

    python -m benchmarks.publish REPORT FOLDER [--readme]

``REPORT`` is what ``benchsep report`` or ``benchsep ablate`` wrote, ``FOLDER`` is one of
``reports/``. Charts become PNG files of 64 colours, the drums' spectrograms of the first song
become ``spectrograms.jpg``, all 600 pixels wide. ``--readme`` also writes the report's first
tables into README.md, between the two marks.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from PIL import Image

README = Path(__file__).resolve().parents[1] / "README.md"
START = "<!-- demo table: written by `make readme` from runs/demo-report -->\n"
END = "<!-- end of demo table -->\n"
SHOWN = 2
"""Tables in the README: the overview and ViSQOL per stem."""
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


def with_tables(readme: str, tables: str) -> str:
    """``readme`` with the first tables of a report's ``tables.md`` between the two marks."""
    head, start, rest = readme.partition(START)
    _, end, tail = rest.partition(END)
    if not start or not end:
        raise SystemExit(f"README.md needs these two lines:\n{START}{END}")
    shown = "\n### ".join(tables.split("\n### ")[:SHOWN])
    return f"{head}{START}{shown.strip()}\n{END}{tail}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("report", type=Path, help="folder that benchsep wrote")
    parser.add_argument("out", type=Path, help="folder below reports/")
    parser.add_argument("--readme", action="store_true", help="write tables into README.md too")
    options = parser.parse_args()
    if not options.report.is_dir():
        raise SystemExit(f"{options.report}: no such folder; write the report first")
    publish(options.report, options.out)
    if options.readme:
        tables = (options.report / "tables.md").read_text(encoding="utf-8")
        README.write_text(with_tables(README.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
