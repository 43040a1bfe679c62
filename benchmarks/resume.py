"""Seconds that a finished run of 50 tracks x 5 systems x 4 stems takes when started again.

``python -m benchmarks.resume`` makes short songs, runs the reference systems and a folder of
estimates over them once, and then runs the same command twice more, in a new process each time. It
prints wall-clock seconds, which are meaningful on an idle machine only, and CPU seconds.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchsep.audio import STEMS, Audio, write_audio

RATE, NUM_SAMPLES = 44_100, 8_820


def make_songs(root: Path, tracks: int) -> None:
    rng = np.random.default_rng(0)
    for index in range(tracks):
        for stem in STEMS:
            samples = rng.normal(0, 0.1, (2, NUM_SAMPLES)).astype(np.float32)
            write_audio(root / f"song {index:02d}" / f"{stem}.wav", Audio(samples, RATE))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tracks", type=int, default=50)
    measure(parser.parse_args().tracks)


def measure(tracks: int) -> None:
    with tempfile.TemporaryDirectory() as work:
        songs = Path(work) / "songs"
        make_songs(songs, tracks)
        command = [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{songs}"]
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
