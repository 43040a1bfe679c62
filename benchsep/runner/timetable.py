"""Estimates the remaining time of a run from the rates of ``benchsep plan`` and its progress.

Conventions
-----------
weight     expected seconds of work of a job; after the first job, only ratios of weights matter
remaining  before the first job is done: sum of weights divided by the number of workers. After it:
           elapsed time times remaining weight divided by finished weight
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchsep.errors import DatasetError
from benchsep.metrics.catalog import get_metric, stems_scored

if TYPE_CHECKING:
    from benchsep.runner.cost import Rates
    from benchsep.runner.job import Job
    from benchsep.runner.plan import Plan

UNKNOWN_RATE = 1.0
"""Seconds of separation per second of audio, if no rate is known."""
UNKNOWN_LENGTH = 60.0
"""Length in seconds of a track without a length in its header."""


def job_weights(plan: Plan, rates: Rates) -> dict[tuple[str, str], float]:
    """Expected seconds of work of each job, by (label, track); positive."""
    return {(job.label, job.track.name): _weight(job, plan, rates) for job in plan.jobs}


def _weight(job: Job, plan: Plan, rates: Rates) -> float:
    from benchsep.runner.cost import at, device_of, rate_of, scored_share, seconds_of

    try:
        length = seconds_of(job.track)
    except DatasetError:
        length = UNKNOWN_LENGTH
    if job.info.unavailable:
        return 1e-3
    rate = rate_of(rates, device_of(job), job)
    seconds = length * (UNKNOWN_RATE if rate is None else rate)
    for name in plan.suite.metrics:
        metric = get_metric(name)
        # An unknown device counts as the CPU, because only ratios of weights matter.
        cost = rates.of_metric(metric, job.metric_device) or rates.metrics.get(name)
        if cost is None or plan.unavailable.get(name):
            continue
        stems = stems_scored(metric, job.stems, all_stems=job.all_stems)
        seconds += scored_share(metric, stems, job) * at(cost.each, length)
    return max(1e-3, seconds * len(job.draws_to_run))


@dataclass
class Timetable:
    """The progress of a run and its remaining time."""

    weights: dict[tuple[str, str], float]
    workers: int
    done: int = 0
    _done_weight: float = field(default=0.0, repr=False)

    @property
    def jobs(self) -> int:
        return len(self.weights)

    @property
    def share(self) -> float:
        """The share of the work that is done, 0 to 1."""
        total = sum(self.weights.values())
        return self._done_weight / total if total else 1.0

    def finish(self, label: str, track: str) -> None:
        """Note a finished job."""
        self.done += 1
        self._done_weight += self.weights.get((label, track), 0.0)

    def remaining(self, elapsed: float) -> float:
        """Seconds until the end, ``elapsed`` seconds after the start."""
        left = sum(self.weights.values()) - self._done_weight
        if self._done_weight <= 0.0:
            return max(0.0, left / max(1, self.workers) - elapsed)
        return elapsed * left / self._done_weight

    def per_minute(self, elapsed: float) -> float:
        """Finished jobs per minute."""
        return 60 * self.done / elapsed if elapsed > 0 else 0.0
