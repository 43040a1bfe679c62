"""Append the speed of every metric to ``reports/benchmarks/history.csv``.

    python -m benchmarks.history --data FOLDER [--seconds 30] [--figures FILE.json]

One command: it measures with :mod:`benchmarks.whole_song` (upstream packages and benchsep in the
same run, two systems), or takes the figures that this module wrote, and appends a row a case. A
case is ``METRIC first`` or ``METRIC further`` of a song of so many seconds; ``ratio`` is upstream's
time over ours in that run, and is comparable between machines where seconds are not.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import upstream, whole_song

HISTORY = Path(__file__).parents[1] / "reports/benchmarks/history.csv"
COLUMNS = ("commit", "date", "machine", "case", "cpu_s", "ratio")


def rows(figures: dict[str, Any], commit: str, date: str) -> list[dict[str, str]]:
    """A row a case of what ``whole_song -o`` wrote."""
    found = []
    for row in figures["rows"]:
        theirs, ours = whole_song.totals(row)
        for metric, costs in ours.items():
            later = sum(costs[1:]) / len(costs[1:]) if costs[1:] else None
            for kind, cost in (("first", costs[0]), ("further", later)):
                if cost is None:
                    continue
                ratio = f"{theirs[metric] / cost:.2f}" if metric in theirs and cost else ""
                case = f"{metric} {kind} {row['audio seconds']:g} s"
                values = (commit, date, figures["machine"], case, f"{cost:.3f}", ratio)
                found.append(dict(zip(COLUMNS, values, strict=True)))
    return found


def append(path: Path, new: list[dict[str, str]]) -> None:
    """Add rows at the end; a new file gets a header."""
    known = path.exists()
    with path.open("a", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS, lineterminator="\n")
        if not known:
            writer.writeheader()
        writer.writerows(new)


def head() -> str:
    """The commit of this checkout, with a plus sign where files differ from it."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(HISTORY.parent), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with .stem.mp4 files, searched below")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--figures", type=Path, help="what whole_song -o wrote, instead of --data")
    options = parser.parse_args()
    if options.figures:
        figures = json.loads(options.figures.read_text(encoding="utf-8"))
    elif options.data:
        systems = list(whole_song.SYSTEMS[:2])
        measured = whole_song.measure(options.data, options.seconds, systems, own_only=False)
        figures = {"machine": upstream.machine(), "rows": [measured]}
    else:
        parser.error("--data FOLDER: where .stem.mp4 files lie; or --figures FILE.json")
    commit = head()
    if commit.endswith("+"):  # the speed of an experiment is nobody's history
        parser.error(f"files differ from {commit[:-1]}: commit them first")
    date = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    append(HISTORY, rows(figures, commit, date))


if __name__ == "__main__":
    main()
