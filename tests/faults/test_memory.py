"""An hour of audio within a stated bound: memory from 1 minute to 60, as kept in a table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs

PROBE = """
import json, sys
import numpy as np
from benchsep.audio import Audio, read_audio, write_audio
from benchsep._util.memory import PeakMemory
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.metric import References
from benchsep.systems.spec import load_system

minutes, rate, folder = float(sys.argv[1]), 44_100, sys.argv[2]
frames = round(60 * minutes * rate)
rng = np.random.default_rng(0)
samples = np.tile(rng.normal(0, 0.1, (2, rate)).astype(np.float32), round(60 * minutes))
write_audio(folder + "/song.wav", Audio(samples, rate), subtype="PCM_16")
del samples
for metric in sys.argv[3:]:
    get_metric(metric)
load_system("mixture")
found = {"signal_mb": frames * 2 * 4 / 2**20}
with PeakMemory() as memory:
    before = memory.peak_mb
    song = read_audio(folder + "/song.wav")
found["read"] = memory.peak_mb
with PeakMemory() as memory:
    estimates = load_system("mixture").separate(song, seed=0)
found["separate"] = memory.peak_mb
references = References({"vocals": song}, song)
for name in sys.argv[3:]:
    with PeakMemory() as memory:
        given = {"vocals": estimates["vocals"]}
        scores = get_metric(name).score_track(references, given, ("vocals",))
    found[name] = memory.peak_mb
    found[name + " status"] = sorted({s.status for s in scores["vocals"].values()})
print(json.dumps(found))
"""
BOUND = {"usdr": 7.0, "sisdr": 7.0}
"""Peak memory of reading, separating and scoring, in signals (float32 stereo), at an hour."""


def probe(minutes: float, folder: Path, metrics: tuple[str, ...]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(minutes), str(folder), *metrics],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1500:]
    return json.loads(done.stdout)


def test_memory_grows_with_the_signal_and_no_faster(tmp_path, sizes, figures):
    """Growth per signal from the shortest to the longest, for each step and metric."""
    metrics = ("usdr", "sisdr")
    lengths = (0.25, 1.5) if sizes(0, 1) == 0 else (1.0, 10.0, 60.0)
    found = {m: probe(m, tmp_path, metrics) for m in lengths}
    short, long = found[lengths[0]], found[lengths[-1]]
    grown = long["signal_mb"] - short["signal_mb"]
    growth = {
        step: round((long[step] - short[step]) / grown, 2)
        for step in ("read", "separate", *metrics)
    }
    for step, factor in growth.items():
        assert factor <= BOUND.get(step, 7.0), (step, factor, found)
    assert long["usdr status"] == ["ok"]
    figures.update(minutes=found, growth=growth)


WINDOWED = ("mrstft", "lsd", "logwmse", "bsseval", "visqol", "dnsmos")


def test_metrics_that_work_in_windows_grow_with_the_signal_and_no_faster(tmp_path, sizes, figures):
    """Measured up to four minutes: what they keep is proportional, so more only costs time."""
    metrics = sizes(WINDOWED[:2], WINDOWED)
    lengths = sizes((0.25, 1.0), (1.0, 4.0))
    short, long = (probe(m, tmp_path, metrics) for m in lengths)
    grown = long["signal_mb"] - short["signal_mb"]
    growth = {m: round((long[m] - short[m]) / grown, 1) for m in metrics}
    assert max(growth.values()) <= 7.0, (growth, short, long)
    figures.update({f"{m} [signals]": factor for m, factor in growth.items()})


SEPARATION = """
import json, sys
import numpy as np
from benchsep.audio import Audio
from benchsep._util.memory import PeakMemory
from benchsep.systems.spec import load_system

noise = np.random.default_rng(0).normal(0, 0.1, (2, 44_100)).astype(np.float32)
system, found = load_system(sys.argv[1]), []
for seconds in map(int, sys.argv[2:]):
    song = Audio(np.tile(noise, seconds), 44_100)
    with PeakMemory() as memory:
        system.separate(song, seed=0)
    found.append((memory.peak_mb, song.samples.nbytes / 2**20))
print(json.dumps(found))
"""
"""One system, songs of growing length; ``[[peak MB, signal MB], ...]``."""
WARM_S = 3
"""A first short song: what a system makes once is not counted."""
MINIS = ("htdemucs:checkpoint=mini", "bs_roformer:checkpoint=mini", "tokensep:checkpoint=mini")
LONG_BOUND = {MINIS[2]: 18}
"""Signals. Four tries of tokensep had 14.8 to 17.1: what the guided decoder leaves to the allocator
after the shorter song differs from try to try."""
ONE_PASS = "tokensep:checkpoint=mini,refine=none,decoding=parallel"
"""A third of the time of the default decoding, in the same windows; without the guided decoder,
whose piece of 22 s is held once and weighs more than such short songs."""


def test_models_separate_in_windows_and_grow_with_the_signal_and_no_faster(sizes, figures):
    """Four stems are four signals; demucs holds three such sets while it shifts and overlaps."""
    short, long = sizes((18, 45), (60, 180))
    for spec in sizes((ONE_PASS,), MINIS):
        # over so few seconds, a piece that is held once weighs many signals: 21 to 28 were measured
        bound = sizes(40, LONG_BOUND.get(spec, 16))
        done = subprocess.run(
            [sys.executable, "-c", SEPARATION, spec, *map(str, (WARM_S, short, long))],
            env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-1500:]
        _, (least, small), (most, large) = json.loads(done.stdout)
        growth = (most - least) / (large - small)
        assert growth <= bound, (spec, growth, least, most)
        figures[f"{spec.split(':')[0]} [signals]"] = round(growth, 1)


LARGEST = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""
"""Runs a command; prints its exit code and the peak [MB] of the largest of its processes."""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_holds_one_song_for_each_worker_however_many_there_are(
    tmp_path, sizes, figures, jobs
):
    # the second song of a worker is read while the first one is still there
    few, many, seconds = 2 * jobs, sizes(6, 30), sizes(10.0, 20.0)
    songs = noise_songs(
        tmp_path / "songs", tuple(f"song {i}" for i in range(many)), seconds, 44_100
    )
    song_mb = 5 * 2 * 4 * 44_100 * seconds / 2**20  # four stems and the mixture

    def largest(limit: int) -> float:
        command = [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{songs}",
                   "--systems", sizes("mixture", "mixture,oracle-irm"), "--metrics", "usdr,sisdr",
                   "--no-yardsticks", "-j", str(jobs), "--limit", str(limit),
                   "-o", str(tmp_path / f"run-{limit}")]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", LARGEST, *command],
            env=environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        code, peak = done.stdout.split()
        assert code == "0", done.stderr
        return float(peak)

    peaks = {n: largest(n) for n in (few, many)}
    assert peaks[many] - peaks[few] < song_mb, (peaks, song_mb)
    figures.update({
        "one song [MB]": round(song_mb),
        **{f"largest process, {n} songs [MB]": round(peak) for n, peak in peaks.items()},
    })  # fmt: skip
