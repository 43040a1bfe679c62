"""BSSEval v4 against museval: CPU time, memory and values on the same real audio, in one run.

    python -m benchmarks.bsseval FOLDER [--seconds 7] [--systems 1] [--skip-museval]

``FOLDER`` holds ``.stem.mp4`` excerpts (the 7-second edition); as many as needed are joined to
``--seconds`` of four stereo stems. Set OMP_NUM_THREADS=OPENBLAS_NUM_THREADS=1 for a fair ratio:
it is of process CPU time. Each engine runs in a process of its own, so that peak memory is its own;
the memory of the audio and the imports is taken off. museval needs ffmpeg on PATH.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STEMS = ("vocals", "drums", "bass", "other")


def joined(folder: Path, seconds: float) -> np.ndarray:
    """``[4, 2, frames]`` float32, excerpts one after the other, rounded to 16 bit."""
    from benchsep.datasets.musdb import load_stem_mp4

    parts: list[np.ndarray] = []
    wanted, rate = 0, 44_100
    for path in sorted(folder.glob("*.stem.mp4")):
        parts.append(np.stack([load_stem_mp4(path).stems[s].samples for s in STEMS]))
        wanted += parts[-1].shape[2]
        if wanted >= seconds * rate:
            break
    if not parts:
        raise SystemExit(f"{folder} holds no .stem.mp4")
    # A short folder is repeated: what is timed does not depend on the notes.
    whole = np.concatenate(parts, axis=2)
    return _to(whole, round(seconds * rate))


def _to(signal: np.ndarray, frames: int) -> np.ndarray:
    times = -(-frames // signal.shape[2])
    return np.ascontiguousarray(np.tile(signal, (1, 1, times))[:, :, :frames])


def estimates_of(truth: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = 1e-3 * rng.standard_normal(truth.shape, dtype=np.float32)
    return (truth + 0.2 * (truth.sum(0) - truth) + noise).astype(np.float32)


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_ours(truth: np.ndarray, systems: int) -> dict:
    import scipy.fft
    import scipy.linalg  # noqa: F401 -- imported before memory and time are counted

    from benchsep.audio import Audio
    from benchsep.metrics.bsseval import basis_of
    from benchsep.metrics.bsseval.engine import frame_scores
    from benchsep.metrics.metric import References

    before, start = peak_mb(), time.process_time()
    references = References({s: Audio(x, 44_100) for s, x in zip(STEMS, truth, strict=True)})
    basis = basis_of(references)
    assert basis is not None
    shared = time.process_time() - start
    frames = {}
    for seed in range(systems):
        heard = dict(zip(STEMS, estimates_of(truth, seed), strict=True))
        found = frame_scores(basis, heard)
        frames = frames or {s: x.tolist() for s, x in found.items()}
    cpu = time.process_time() - start
    return {"cpu": cpu, "references": shared, "mb": peak_mb() - before, "frames": frames}


def run_museval(truth: np.ndarray, systems: int) -> dict:
    from museval.metrics import bss_eval

    before, start = peak_mb(), time.process_time()
    frames = {}
    for seed in range(systems):
        heard = estimates_of(truth, seed)
        found = np.stack(
            bss_eval(
                truth.transpose(0, 2, 1).astype(float),
                heard.transpose(0, 2, 1).astype(float),
                window=44_100,
                hop=44_100,
            )[:4]
        )
        frames = frames or {s: found[:, i].tolist() for i, s in enumerate(STEMS)}
    cpu = time.process_time() - start
    return {"cpu": cpu, "mb": peak_mb() - before, "frames": frames}


def child(engine: str, audio: Path, systems: int) -> dict:
    command = [
        sys.executable,
        "-m",
        "benchmarks.bsseval",
        str(audio),
        "--engine",
        engine,
        "--systems",
        str(systems),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=7.0)
    parser.add_argument("--systems", type=int, default=1)
    parser.add_argument("--skip-museval", action="store_true")
    parser.add_argument("--engine", choices=("ours", "museval"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        run = run_ours if options.engine == "ours" else run_museval
        print(json.dumps(run(np.load(options.folder), options.systems)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        audio = Path(scratch) / "truth.npy"
        np.save(audio, joined(options.folder, options.seconds))
        ours = child("ours", audio, options.systems)
        shared = f"{ours['references']:.2f} of it for the references"
        print(f"benchsep: {ours['cpu']:.2f} CPU s ({shared}), {ours['mb']:.0f} MB over the audio")
        if options.skip_museval:
            return
        theirs = child("museval", audio, options.systems)
    print(f"museval:  {theirs['cpu']:.2f} CPU s, {theirs['mb']:.0f} MB over the audio")
    cpu, memory = theirs["cpu"] / ours["cpu"], theirs["mb"] / ours["mb"]
    print(f"ratio:    {cpu:.1f}x CPU, {memory:.1f}x memory")
    for row, value in enumerate(("SDR", "ISR", "SIR", "SAR")):
        gaps = [np.subtract(ours["frames"][s][row], theirs["frames"][s][row]) for s in STEMS]
        print(f"{value}: largest difference on a frame {np.nanmax(np.abs(gaps)):.1e} dB")


if __name__ == "__main__":
    main()
