"""DNSMOS: CPU time and values against speechmos, in one run on the same audio.

    python -m benchmarks.dnsmos [--seconds 7 60 240] [--root FOLDER_OF_STEM_MP4]

Prints a Markdown table. Songs are joined from real excerpts: the vocals under ``--root``, else
the four stems of the clip that ``stempeg`` ships. Both sides run on one thread; times are
process CPU seconds, so other load on the machine does not count.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

from benchsep.metrics import dnsmos as ours

VALUES = ("ovrl", "sig", "bak", "p808")


def excerpts(root: Path | None) -> list[np.ndarray]:
    """Real mono signals at 16 kHz."""
    from benchsep.datasets.clip import ClipDataset
    from benchsep.datasets.musdb import load_stem_mp4

    if root is None:
        found = list(ClipDataset().tracks()[0].load().stems.values())
    else:
        paths = sorted(root.rglob("*.stem.mp4"))
        if not paths:
            sys.exit(f"{root}: no .stem.mp4 below it")
        found = [load_stem_mp4(path).stems["vocals"] for path in paths[:40]]
    signals = [audio.mono().resampled(ours.RATE).samples[0] for audio in found]
    return [np.clip(signal, -1, 1) for signal in signals]


def single_threaded_speechmos():
    """speechmos with its onnxruntime sessions limited to one thread, as ours are."""
    import onnxruntime
    import speechmos.dnsmos as theirs

    def session(path: str):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(path, options)

    theirs.ort = type("ort", (), {"InferenceSession": staticmethod(session)})
    return lambda signal: theirs.run(signal, ours.RATE)


def timed(function, signal):
    start = time.process_time()
    result = function(signal)
    return result, time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[7, 30, 60])
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    upstream, joined = single_threaded_speechmos(), np.concatenate(excerpts(options.root))
    for function in (upstream, ours.dnsmos):  # load networks and filters before the clock runs
        function(joined[: ours.RATE])
    print("| song, s | windows | speechmos, CPU s | benchsep, CPU s | ratio | largest difference |")
    print("|---|---|---|---|---|---|")
    for seconds in options.seconds:
        signal = np.resize(joined, int(seconds * ours.RATE))
        found, fast = timed(ours.dnsmos, signal)
        expected, slow = timed(upstream, signal)
        worst = max(abs(found[name].mean() - expected[f"{name}_mos"]) for name in VALUES)
        row = f"| {seconds:g} | {len(found['ovrl'])} | {slow:.2f} | {fast:.2f} | {slow / fast:.1f} "
        print(f"{row}| {worst:.1e} |", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(f"\npeak memory of both together: {peak:.0f} MB")


if __name__ == "__main__":
    main()
