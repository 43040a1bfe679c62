"""The best number of worker processes on this machine, for the advice of ``benchsep plan`` on
``-j``.

Every worker computes with one thread (:mod:`benchsep.runner.executors.worker`), so only processes
use several cores. On two cores, two workers were 1.80 times as fast as one, with 1.04 times the CPU
time (``python -m benchmarks.pool``, eight songs of 20 s): tracks are independent, while threads
would wait for each other at every transform and layer. The limit is then memory.

Conventions
-----------
memory   MB; of a worker that scores with the default metrics, by the length of the longest track:
         :data:`WORKER_MB`. A separator's weights are not known before it is loaded
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

WORKER_MB = (1000.0, 6.0)
"""A fixed part, and a part per second of audio. Measured peaks, rounded up: 1259 MB for a song of
60 s, 2238 MB for one of 240 s (folders of four stereo stems, default metrics)."""
_MEMORY = Path("/proc/meminfo")


def workers_for(jobs: int, longest_seconds: float) -> tuple[int, str]:
    """The number of workers for ``-j``, and the reason."""
    cores = _cores()
    need = WORKER_MB[0] + WORKER_MB[1] * longest_seconds
    limits = {f"{cores} cores": cores, f"{jobs} jobs": max(1, jobs)}
    free = free_megabytes()
    if free is not None:
        text = f"{free / 1000:.1f} GB of memory free, {need / 1000:.1f} GB per worker"
        limits[text] = max(1, int(free // need))
    reason = min(limits, key=lambda text: limits[text])
    return limits[reason], reason


def advice(jobs: int, longest_seconds: float) -> str:
    """The advice as a sentence for the forecast."""
    workers, reason = workers_for(jobs, longest_seconds)
    return (
        f"best on this machine: -j {workers}; each worker uses one thread ({reason}; the weights "
        "of a separator need additional memory)"
    )


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_megabytes() -> float | None:
    """Available memory in MB without swapping; ``None``: unknown."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in _MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 1024
    return None
