"""Metrics with torch on a device against the CPU engines: seconds, memory, differences.

    python -m benchmarks.metric_devices [--device cuda] [--seconds 30 240] [-o FILE.json]

Songs are the embedded clip, repeated; estimates are its stems with bleed and noise. Each engine is
warmed up on two seconds. Seconds are of the clock, single-threaded on the CPU: of the first system
on a song, whose references are new, and of a second one. ``torch-cpu`` runs a device's code on the
CPU: it shows the differences of values without a GPU, and no speed.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

METRICS = ("bsseval", "mrstft", "visqol")
BLEED, NOISE = 0.2, 1e-3


def song(seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """True stems and estimates of four stereo stems."""
    from benchsep.audio import Audio
    from benchsep.datasets.clip import ClipDataset

    stems = ClipDataset().tracks()[0].load().stems
    rate = next(iter(stems.values())).rate
    frames = round(seconds * rate)
    truth = {
        stem: np.tile(audio.samples, (1, -(-frames // audio.frames)))[:, :frames]
        for stem, audio in stems.items()
    }
    total = np.sum(list(truth.values()), axis=0)
    noise = np.random.default_rng(0).standard_normal(total.shape, dtype=np.float32)
    heard = {s: x + BLEED * (total - x) + NOISE * noise for s, x in truth.items()}
    found = [
        {s: Audio(np.ascontiguousarray(x, np.float32), rate) for s, x in each.items()}
        for each in (truth, heard)
    ]
    return found[0], found[1]


def measured(name: str, device: str, seconds: float) -> tuple[dict[str, float], list[float]]:
    """Seconds and peak device memory of a metric; and its values, those of windows too."""
    from benchsep.metrics.catalog import get_metric
    from benchsep.metrics.device import scoring_on
    from benchsep.metrics.metric import References

    metric, (truth, heard) = get_metric(name), song(seconds)
    references, stems = References(truth), tuple(truth)
    times = []
    with scoring_on(device):
        warm_truth, warm_heard = song(2.0)
        metric.score_track(References(warm_truth), warm_heard, stems)
        _reset_peak(device)
        for _ in range(2):
            began = time.perf_counter()
            scores = metric.score_track(references, dict(heard), stems)
            times.append(time.perf_counter() - began)
    cells = [cell for row in scores.values() for cell in row.values() if cell.status == "ok"]
    values = [v for cell in cells for v in (cell.value, *(cell.frames or ())) if v is not None]
    spent = {"first system": times[0], "second system": times[1], "peak MB": _peak(device)}
    return spent, values


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: str) -> float:
    if not device.startswith("cuda"):
        return 0.0
    import torch

    return torch.cuda.max_memory_allocated(device) / 2**20


def row(name: str, device: str, seconds: float) -> dict[str, Any]:
    """One metric on one length, on the CPU and on the device."""
    cpu, expected = measured(name, "cpu", seconds)
    there, found = measured(name, device, seconds)
    largest = max(abs(a - b) for a, b in zip(expected, found, strict=True))
    return {"metric": name, "audio seconds": seconds, "cpu": cpu, device: there,
            "largest difference": largest}  # fmt: skip


def show(found: dict[str, Any], device: str) -> None:
    """A row of the table."""
    cpu, there = found["cpu"], found[device]
    words = [f"{cpu[k]:.2f} s | {there[k]:.3f} s" for k in ("first system", "second system")]
    print(
        f"| {found['metric']} | {found['audio seconds']:g} s | {' | '.join(words)} | "
        f"{there['peak MB']:.0f} MB | {found['largest difference']:.1g} |",
        flush=True,
    )


def machine(device: str) -> str:
    import torch

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    return f"{name}, torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or torch-cpu")
    parser.add_argument("--seconds", type=float, nargs="+", default=[30.0, 240.0])
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    from threadpoolctl import threadpool_limits

    from benchsep.metrics.device import resolved

    resolved(options.device)
    print(f"{machine(options.device)}\n")
    print(f"| metric | audio | CPU, first system | {options.device} | CPU, second | "
          f"{options.device} | its peak | largest difference |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    with threadpool_limits(1):
        for seconds in options.seconds:
            for name in options.metrics:
                rows.append(row(name, options.device, seconds))
                show(rows[-1], options.device)
    if options.output:
        content = {"machine": machine(options.device), "rows": rows}
        options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
