"""How long a large run folder takes to load, to show and to start again, and the memory of it.

    python -m benchmarks.large_run [--tracks 1000] [--frames 7] [--keep FOLDER]

It makes a data set of tiny songs, plans a real run of eight systems with the default metrics over
it, and stores a record for each planned job with drawn values: nothing is separated or scored, and
the folder is one that ``benchsep run`` finds finished. Then each command runs in a process of its
own. Wall-clock seconds mean something on an idle machine only; CPU seconds are shown beside them.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.metrics.metric import column
from benchsep.metrics.status import Status
from benchsep.runner.done import cell_key, inputs_of, metric_id, metrics_to_score, system_id
from benchsep.runner.job import Job
from benchsep.runner.manifest import describe
from benchsep.runner.plan import make_plan
from benchsep.runner.record import Cell, Draw, Record, SystemFacts, TrackFacts
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite

RATE, NUM_SAMPLES = 44_100, 100
SYSTEMS = ("oracle-irm", "oracle-mwf")
FOLDERS = 3
"""Systems that are folders of estimates; with two oracles and the three yardsticks they are 8."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tracks", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=7, help="windows of a BSSEval cell")
    parser.add_argument("--keep", type=Path, help="make the folder here and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        measure(options.keep or Path(work), options.tracks, options.frames)


def measure(work: Path, tracks: int, frames: int) -> None:
    """Make the run in ``work`` unless it is there, then time each command."""
    suite = make_run(work, tracks, frames)
    run = work / "run"
    print(f"{tracks} tracks x 8 systems, {sum(1 for _ in run.rglob('*.json')) - 1} records")
    # As in an installed package: what was imported once is compiled, whatever this shell says.
    compileall.compile_dir(Path(benchsep.__file__).parent, quiet=1)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    code = "import benchsep; benchsep.load_run(r'{}')"
    arguments = [
        ("an empty process", ["-c", "import benchsep, pandas"]),
        ("load_run", ["-c", code.format(run)]),
        ("show", ["-m", "benchsep", "show", str(run), "--format", "md"]),
        ("run again", ["-m", "benchsep", "run", str(suite), "-o", str(run), "--format", "md"]),
    ]
    for name, words in arguments:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        out = subprocess.run(
            [sys.executable, "-c", PEAK, *words], check=True, capture_output=True, env=environment
        )
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"{name}: {wall:.1f} s, {cpu:.1f} CPU s, peak {out.stdout.split()[-1].decode()} MB")


PEAK = """
import resource, subprocess, sys
code = subprocess.run([sys.executable, *sys.argv[1:]]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(code)
"""


def make_run(work: Path, tracks: int, frames: int) -> Path:
    """A finished run in ``work/run``; returns the path of its suite."""
    songs, suite_path = work / "songs", work / "suite.yaml"
    if suite_path.exists():
        return suite_path
    make_songs(songs, tracks)
    folders = [work / f"estimates {number}" for number in range(FOLDERS)]
    for folder in folders:
        folder.symlink_to(songs, target_is_directory=True)
    systems = (*SYSTEMS, *(f"dir:{folder}" for folder in folders))
    suite = Suite(dataset=f"folder:{songs}", systems=systems, yardsticks=True)
    fill(Store(work / "run"), suite, frames)
    listed = "\n".join(f'  - "{system}"' for system in systems)
    suite_path.write_text(f'dataset: "folder:{songs}"\nsystems:\n{listed}\n', encoding="utf-8")
    return suite_path


def make_songs(root: Path, tracks: int) -> None:
    """``tracks`` folders of four stems, a few hundred bytes each."""
    rng = np.random.default_rng(0)
    for index in range(tracks):
        for stem in STEMS:
            samples = rng.normal(0, 0.1, (2, NUM_SAMPLES)).astype(np.float32)
            write_audio(root / f"song {index:04d}" / f"{stem}.wav", Audio(samples, RATE))


def fill(store: Store, suite: Suite, frames: int) -> None:
    """Store a record with drawn values for every job of the suite, and the manifest."""
    plan = make_plan(suite, store)
    rng = np.random.default_rng(1)
    for job in plan.jobs:
        store.write(drawn_record(job, rng, frames))
    mixtures = {track.name: mixture_sha256(track.name) for track in plan.tracks}
    store.write_manifest({**describe(plan), "mixtures": mixtures, "command": "", "finished": True})


def mixture_sha256(track: str) -> str:
    """A text as long as a hash, one for each track."""
    return f"{int(track.split()[-1]):064x}"


def drawn_record(job: Job, rng: np.random.Generator, frames: int) -> Record:
    """The record of a job with values drawn at random."""
    facts = TrackFacts(
        job.track.name, job.track.split, job.track.edition, "sum", mixture_sha256(job.track.name),
        dict.fromkeys(STEMS, mixture_sha256(job.track.name)), 7.0,
    )  # fmt: skip
    inputs = inputs_of(job, facts, 0)
    cells = [
        Cell(
            column(metric, value), metric.version, metric_id(metric), stem, 0,
            float(rng.normal(5, 2)), Status("ok"),
            tuple(rng.normal(5, 2, frames).tolist()) if value.window_s else None,
            float(rng.uniform(0.1, 1)),
            cell_key(inputs.estimate_id, stem, value.name, metric, facts),
        )
        for metric, stems in metrics_to_score(job)
        for stem in stems
        for value in metric.values
    ]  # fmt: skip
    system = SystemFacts(
        job.label, job.info.family, system_id(job.info), job.info.checkpoint_sha256
    )
    draw = Draw(inputs.seed, inputs.estimate_id, float(rng.uniform(1, 2)), 100.0, session="drawn")
    cells = sorted(cells, key=lambda cell: cell.place)
    return Record(system, facts, job.input_stamp, {0: draw}, tuple(cells))


if __name__ == "__main__":
    main()
