"""Seconds that a finished run of 50 tracks x 5 systems x 4 stems takes when started again.

``python -m benchmarks.resume`` makes short songs, runs the yardsticks and a folder of estimates
over them once, then times the same command twice more, in a new process each time. CPU seconds are
shown beside the wall-clock time, which means something on an idle machine alone.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchsep.audio import STEMS, Audio, write_audio

TRACKS, RATE, FRAMES = 50, 44_100, 8_820


def make_songs(root: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(TRACKS):
        for stem in STEMS:
            samples = rng.normal(0, 0.1, (2, FRAMES)).astype(np.float32)
            write_audio(root / f"song {index:02d}" / f"{stem}.wav", Audio(samples, RATE))


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        songs = Path(work) / "songs"
        make_songs(songs)
        command = [sys.executable, "-m", "benchsep.cli.app", "run", "--dataset", f"folder:{songs}"]
        command += ["--systems", f"dir:{songs}", "--metrics", "usdr,sisdr,mrstft"]
        command += ["-o", str(Path(work) / "run"), "--format", "md"]
        for label in ("first", "again", "again"):
            started, before = time.perf_counter(), _cpu_of_children()
            subprocess.run(command, check=True, capture_output=True)
            wall, cpu = time.perf_counter() - started, _cpu_of_children() - before
            print(f"{label}: {wall:.1f} s, {cpu:.1f} CPU s", flush=True)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
