"""An hour of audio within a stated bound: memory from 1 minute to 60, as kept in a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROBE = """
import json, sys
import numpy as np
from benchsep.audio import Audio, read_audio, write_audio
from benchsep.memory import PeakMemory
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.metric import References
from benchsep.system import load_system

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
ROOT = Path(__file__).parents[2]


def probe(minutes: float, folder: Path, metrics: tuple[str, ...]) -> dict[str, float]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'systems'}"}
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(minutes), str(folder), *metrics],
        env=environment, capture_output=True, text=True, check=False,
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
