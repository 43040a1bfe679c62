"""A run with ``-j 2`` against ``-j 1``: wall-clock and CPU seconds.

    python -m benchmarks.pool --data FOLDER [--tracks 8] [--seconds 30] [--metrics …] [-j 2]
        [--systems bs_roformer:checkpoint=mini --metrics usdr]

``FOLDER`` holds ``.stem.mp4`` excerpts, joined to songs of ``--seconds``. Without ``--systems`` the
estimates are those of ``oracle-irm``, written once, so that scoring is all there is to do; with
it, the systems separate the songs. Each run is a process of its
own into a fresh folder; CPU seconds are its and its workers'. Wall-clock time means something on
idle cores alone, so the load average at the start is printed with it; the ratio of CPU seconds
shows what a pool costs, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.upstream import RATE, STEMS, THREADS
from benchmarks.whole_song import joined, separated
from benchsep.audio import Audio, write_audio

METRICS = "visqol,mrstft,usdr,sisdr,bsseval,dnsmos"


def make_songs(data: Path, root: Path, tracks: int, seconds: float) -> None:
    whole = joined(data, tracks * seconds)
    frames = round(seconds * RATE)
    for index in range(tracks):
        part = {s: x[:, index * frames : (index + 1) * frames] for s, x in whole.items()}
        truth = {s: np.ascontiguousarray(x) for s, x in part.items()}
        for kind, stems in (("songs", truth), ("estimates", separated(truth, "oracle-irm"))):
            for stem in STEMS:
                path = root / kind / f"song {index:02d}" / f"{stem}.wav"
                write_audio(path, Audio(stems[stem], RATE))


def run(root: Path, jobs: int, metrics: str, systems: str) -> tuple[float, float]:
    """Wall-clock and CPU seconds; ``systems`` as ``benchsep run`` takes them, or empty."""
    out = root / f"run-{jobs}"
    command = [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{root}/songs"]
    systems = systems or f"dir:{root}/estimates"
    command += ["--systems", systems, "--no-yardsticks", "--metrics", metrics]
    command += ["-j", str(jobs), "-o", str(out), "--format", "csv"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **THREADS})
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--tracks", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--metrics", default=METRICS)
    parser.add_argument("--systems", default="", help="default: the estimates of oracle-irm")
    parser.add_argument("-j", "--jobs", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        make_songs(options.data, root, options.tracks, options.seconds)
        print(f"load average at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        what = (options.metrics, options.systems)
        found = {jobs: run(root, jobs, *what) for jobs in (1, options.jobs)}
    for jobs, (wall, cpu) in found.items():
        print(f"-j {jobs}: {wall:.1f} s wall-clock, {cpu:.1f} CPU s")
    one, many = found[1], found[options.jobs]
    print(f"{one[0] / many[0]:.2f}x wall-clock, {many[1] / one[1]:.2f}x CPU")


if __name__ == "__main__":
    main()
