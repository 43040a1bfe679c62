"""Where the CPU seconds of a whole run go: decoding, scoring, storing, and the Python between.

    python -m benchmarks.run_profile --data FOLDER [--seconds 60] [--systems 3] [-o FILE.md]

``FOLDER`` holds ``.stem.mp4`` excerpts, joined to one song. Real systems separate it into folders
of estimates (not part of the time), and ``benchsep.run`` scores these with the default metrics in
this process, under cProfile with CPU time. A run on two seconds goes before it, so that compilation
and loading are left out. Each function's own time counts for one kind of work: compiled kernels,
transforms, networks and products, NumPy, files, functions of the metrics (``a * b`` of two arrays
has no entry of its own, and counts for the function it stands in), and all other Python.
"""

from __future__ import annotations

import argparse
import cProfile
import importlib
import pstats
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks import upstream
from benchmarks.upstream import RATE, STEMS
from benchmarks.whole_song import SYSTEMS, joined, separated

KINDS = (
    ("transforms", ("pocketfft", "_fft.", "fft_")),
    ("networks and products", ("onnxruntime", "torch", "linalg", "matmul", "einsum", "cholesky")),
    ("resampling", ("soxr",)),
    ("files", ("soundfile", "_cffi", "posix", "_io.", "hashlib", "_hashlib", "zlib", "fsync")),
)
"""Kinds of work and what the names of their functions hold; other built-in ones are NumPy's."""
OWN = "benchsep/metrics/"


def kind_of(file: str, name: str) -> str:
    """The kind of work of one function of a profile."""
    if compiled(file, name):
        return "compiled kernels"
    described = f"{file} {name}"
    for kind, parts in KINDS:
        if any(part in described for part in parts):
            return kind
    if file == "~":
        return "NumPy's functions"
    return "functions of the metrics: operators on arrays" if OWN in file else "all other Python"


def compiled(file: str, name: str) -> bool:
    """Whether a function of ours is numba's."""
    if OWN not in file:
        return False
    path = OWN + file.split(OWN)[1].removesuffix(".py").removesuffix("/__init__")
    return hasattr(getattr(importlib.import_module(path.replace("/", ".")), name, None), "py_func")


def write_song(root: Path, truth: upstream.Stems, heard: list[upstream.Stems]) -> None:
    """``songs/song/STEM.wav``, and a folder for each system."""
    from benchsep.audio import Audio, write_audio

    for number, stems in enumerate([truth, *heard]):
        folder = root / (f"system-{number}" if number else "songs") / "song"
        for stem in STEMS:
            write_audio(folder / f"{stem}.wav", Audio(stems[stem], RATE))


def run(root: Path, systems: int) -> None:
    import benchsep

    benchsep.run(
        out=root / "run",
        dataset=f"folder:{root / 'songs'}",
        systems=tuple(f"dir:{root / f'system-{k + 1}'}" for k in range(systems)),
        yardsticks=False,
        inline=True,
    )


def profiled(root: Path, systems: int) -> pstats.Stats:
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    run(root, systems)
    profile.disable()
    return pstats.Stats(profile)


def text(stats: pstats.Stats, seconds: float, systems: int, largest: int = 12) -> str:
    """Tables of the kinds of work and of the largest functions."""
    own = {(file, name): row[2] for (file, _, name), row in stats.stats.items()}  # type: ignore[attr-defined]
    total, kinds = sum(own.values()), Counter[str]()
    for place, cost in own.items():
        kinds[kind_of(*place)] += cost
    lines = [
        "# Where the CPU seconds of a whole run go",
        "",
        f"`python -m benchmarks.run_profile --data FOLDER --seconds {seconds:g}`, "
        f"{upstream.machine()}.",
        "",
        f"One song of {seconds:g} s, {systems} folders of estimates, the default metrics: "
        f"{total:.1f} CPU s under the profiler.",
        "",
        "| kind of work | CPU s | share |",
        "|---|--:|--:|",
        *(f"| {k} | {c:.2f} | {c / total:.0%} |" for k, c in kinds.most_common()),
        "",
        "| function | CPU s | share |",
        "|---|--:|--:|",
    ]
    top = sorted(own.items(), key=lambda item: -item[1])[:largest]
    for (file, name), cost in top:
        where = name if file == "~" else f"{Path(file).name}: {name}"
        lines.append(f"| `{where}` | {cost:.2f} | {cost / total:.0%} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--systems", type=int, default=len(SYSTEMS), help="number of systems, 1 to 3"
    )
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    truth = joined(options.data, options.seconds)
    heard = [separated(truth, spec) for spec in SYSTEMS[: options.systems]]
    with tempfile.TemporaryDirectory() as scratch:
        for name, frames in (("warm", 2 * RATE), ("whole", None)):
            cut = [
                {s: np.ascontiguousarray(x[:, :frames]) for s, x in y.items()}
                for y in (truth, *heard)
            ]
            write_song(Path(scratch) / name, cut[0], cut[1:])
        run(Path(scratch) / "warm", options.systems)
        stats = profiled(Path(scratch) / "whole", options.systems)
    found = text(stats, options.seconds, options.systems)
    print(found)
    if options.output:
        options.output.write_text(found, encoding="utf-8")


if __name__ == "__main__":
    main()
