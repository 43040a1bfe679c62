"""How the cost of the default metrics grows: with length, with systems, and with songs.

    python -m benchmarks.growth --data FOLDER [-o reports/benchmarks/growth]

``FOLDER`` holds ``.stem.mp4`` excerpts, joined to one long song of four stereo stems. CPU seconds
of one thread from decoded audio to values, after a warm-up (:func:`benchmarks.whole_song.own`):

length    the first system on songs of 7 s to two minutes
systems   three systems on the same half minute: only the first one pays for the references
songs     four half minutes one after the other in one process, with the memory after each

Writes ``growth.json`` and the tables of it, ``growth.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import upstream
from benchmarks.upstream import RATE, THREADS
from benchmarks.whole_song import SYSTEMS, joined, own, separated
from benchsep._util.text_table import markdown_row

LENGTHS = (7, 30, 60, 120)
SECONDS = 30
SONGS = 4


def part(stems: upstream.Stems, first: float, seconds: float) -> upstream.Stems:
    """A piece of each stem."""
    span = slice(round(first * RATE), round((first + seconds) * RATE))
    return {name: np.ascontiguousarray(x[:, span]) for name, x in stems.items()}


def measure(truth: upstream.Stems) -> dict[str, Any]:
    """``length``, ``systems`` and ``songs``: rows of a number and the seconds of each metric."""
    found: dict[str, Any] = {"length": [], "systems": [], "songs": []}
    heard = separated(truth, SYSTEMS[0])
    for seconds in LENGTHS:
        costs = own(part(truth, 0, seconds), [part(heard, 0, seconds)])["seconds"]
        found["length"].append({"n": seconds, **{name: c[0] for name, c in costs.items()}})
    song = part(truth, 0, SECONDS)
    costs = own(song, [separated(song, spec) for spec in SYSTEMS])["seconds"]
    for index in range(len(SYSTEMS)):
        row = {name: c[index] for name, c in costs.items()}
        found["systems"].append({"n": index + 1, **row})
    for index in range(SONGS):
        pieces = [part(x, index * SECONDS, SECONDS) for x in (truth, heard)]
        costs = own(pieces[0], pieces[1:])["seconds"]
        row = {name: c[0] for name, c in costs.items()}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        found["songs"].append({"n": index + 1, **row, "peak MB": round(peak)})
    return found


def table(title: str, unit: str, rows: list[dict[str, float]]) -> str:
    """A Markdown table: a row a number, and the sum of all metrics."""
    names = [name for name in rows[0] if name not in ("n", "peak MB")]
    head = [unit, "all", *names, *(["peak MB"] if "peak MB" in rows[0] else [])]
    lines = [
        f"## {title}",
        "",
        markdown_row(head),
        markdown_row(["---", *["--:"] * (len(head) - 1)]),
    ]
    for row in rows:
        costs = [row[name] for name in names]
        more = [f"{row['peak MB']:.0f}"] if "peak MB" in row else []
        lines.append(
            markdown_row([f"{row['n']:g}", *(f"{c:.2f}" for c in (sum(costs), *costs)), *more])
        )
    return "\n".join(lines)


def text(content: dict[str, Any]) -> str:
    """``growth.md``."""
    parts = [
        "# Growth of the default metrics",
        f"`python -m benchmarks.growth --data FOLDER`. {content['machine']}.\n"
        "CPU seconds of one thread; load of the machine at the start and at the end: "
        f"{content['load'][0]:.1f} and {content['load'][1]:.1f}.",
        table("With length (first system)", "seconds", content["length"]),
        table(f"With systems ({SECONDS} s each)", "system", content["systems"]),
        table(f"With songs ({SECONDS} s each, one process)", "song", content["songs"]),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("reports/benchmarks/growth"))
    options = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in list(THREADS)[:4]):
        parser.error("set " + " ".join(f"{n}=1" for n in list(THREADS)[:4]))
    before = os.getloadavg()[0]
    content = measure(joined(options.data, max(*LENGTHS, SONGS * SECONDS)))
    content |= {"machine": upstream.machine(), "load": [before, os.getloadavg()[0]]}
    options.output.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    options.output.with_suffix(".md").write_text(text(content))
    print(text(content))


if __name__ == "__main__":
    main()
