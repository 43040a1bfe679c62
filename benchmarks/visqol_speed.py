"""ViSQOL: CPU time and memory against visqol-python on the same audio, and growth with length.

    python -m benchmarks.visqol_speed [--seconds 10 30] [--data ROOT] [--own-only] [-o FILE.json]

Stems are real excerpts joined end to end: vocals of the MUSDB18 7-second edition under ``ROOT``,
or of the embedded clip (repeated as often as needed). The estimate is the vocals with a fifth of
the accompaniment and some noise. Each program runs in a process of its own, warmed up on two
seconds, single-threaded; seconds are CPU seconds of that process. ``second system`` is what
another estimate of the same track costs, the reference's part being done.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

RATE = 48_000
THREADS = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
    )
}


def excerpts(root: str | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(vocals, mixture) mono at 48 kHz of one real excerpt after another, without end."""
    if root:
        from benchsep.datasets.musdb import musdb18_7s

        tracks = [t for split in ("test", "train") for t in musdb18_7s(root, split).tracks()]
    else:
        from benchsep.datasets.clip import ClipDataset

        tracks = ClipDataset().tracks()
    while True:
        for track in tracks:
            audio = track.load()
            vocals, mixture = audio.stems["vocals"], audio.mixture
            yield tuple(a.mono().resampled(RATE).samples[0] for a in (vocals, mixture))


def joined(root: str | None, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Reference and estimate of a length, float32 mono at 48 kHz."""
    samples = round(seconds * RATE)
    vocals: list[np.ndarray] = []
    mixture: list[np.ndarray] = []
    for pair in excerpts(root):
        vocals.append(pair[0])
        mixture.append(pair[1])
        if sum(map(len, vocals)) >= samples:
            break
    reference, rest = (np.concatenate(part)[:samples] for part in (vocals, mixture))
    noise = np.random.default_rng(0).standard_normal(samples, dtype=np.float32)
    return reference, (0.8 * reference + 0.2 * rest + 1e-3 * noise).astype(np.float32)


def peak_megabytes() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_own(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    from benchsep.metrics.visqol.engine import Reference

    Reference(reference[: 2 * RATE]).compare(estimate[: 2 * RATE])
    start = time.process_time()
    prepared = Reference(reference)
    score = prepared.compare(estimate).score
    first = time.process_time()
    prepared.compare(estimate)
    second = time.process_time()
    return {
        "score": score,
        "seconds": first - start,
        "second system": second - first,
        "peak MB": peak_megabytes(),
    }


def measure_upstream(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    import visqol
    from visqol.audio_utils import AudioSignal
    from visqol.visqol_manager import VisqolManager

    manager = VisqolManager()
    manager.init(str(Path(visqol.__file__).parent / "model" / "libsvm_nu_svr_model.txt"))

    def run(samples: int) -> float:
        parts = (x[:samples].astype(np.float64) for x in (reference, estimate))
        return float(manager.run_from_signals(*(AudioSignal(x, RATE) for x in parts)).moslqo)

    run(2 * RATE)
    start = time.process_time()
    score = run(len(reference))
    return {"score": score, "seconds": time.process_time() - start, "peak MB": peak_megabytes()}


def in_process(which: str, audio: Path) -> dict[str, float]:
    """Measure in a fresh process, so that memory and caches are its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.visqol_speed", "--child", which, str(audio)],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **THREADS},
    )
    return json.loads(done.stdout)


def child(which: str, audio: str) -> None:
    with np.load(audio) as pair:
        reference, estimate = pair["reference"], pair["estimate"]
    measure = measure_own if which == "own" else measure_upstream
    print(json.dumps(measure(reference, estimate)))


def row(root: str | None, seconds: float, own_only: bool) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pair.npz"
        reference, estimate = joined(root, seconds)
        np.savez(path, reference=reference, estimate=estimate)
        own = in_process("own", path)
        upstream = None if own_only else in_process("upstream", path)
    out: dict[str, object] = {"audio seconds": seconds, "own": own, "upstream": upstream}
    if upstream:
        out["ratio"] = upstream["seconds"] / own["seconds"]
        out["ratio second system"] = upstream["seconds"] / own["second system"]
    return out


def show(rows: list[dict]) -> None:
    print("| audio | visqol-python | benchsep | ratio | second system | ratio | peak MB | scores |")
    print("|---|---|---|---|---|---|---|---|")
    for r in rows:
        own, up = r["own"], r["upstream"]
        print(
            f"| {r['audio seconds']:g} s | "
            + (f"{up['seconds']:.2f} s" if up else "-")
            + f" | {own['seconds']:.2f} s | "
            + (f"{r['ratio']:.1f}x" if up else "-")
            + f" | {own['second system']:.2f} s | "
            + (f"{r['ratio second system']:.1f}x" if up else "-")
            + f" | {own['peak MB']:.0f}"
            + (f" / {up['peak MB']:.0f}" if up else "")
            + f" | {own['score']:.5f}"
            + (f" / {up['score']:.5f} |" if up else " |"),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 30.0])
    parser.add_argument("--data", help="root of the MUSDB18 7-second edition")
    parser.add_argument("--own-only", action="store_true", help="leave visqol-python out")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(*options.child)
        return
    rows = [row(options.data, seconds, options.own_only) for seconds in options.seconds]
    show(rows)
    if options.output:
        machine = {"machine": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps({**machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
