"""Budget of a training, and periods of its events: in steps, CPU time or wall time.

Conventions
-----------
Times are in seconds, summed over all resumptions of a training. Under several processes all of them
use the times of rank 0, read every few steps (see :class:`benchsep_training.loop.Loop`), so that
they stop, validate and save at the same step.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from benchsep.errors import UsageError


@dataclass(frozen=True)
class Spent:
    """The used budget of a training: optimizer steps, CPU seconds, wall seconds."""

    step: int = 0
    cpu: float = 0.0
    wall: float = 0.0


class Stopwatch:
    """Measures the used budget, including earlier processes of the same training."""

    def __init__(self, before: Spent) -> None:
        self.before = before
        self.started = time.process_time(), time.monotonic()

    def read(self, step: int) -> Spent:
        """The total used budget."""
        cpu, wall = time.process_time() - self.started[0], time.monotonic() - self.started[1]
        return Spent(step, self.before.cpu + cpu, self.before.wall + wall)


@dataclass(frozen=True)
class Budget:
    """The budget of a training, which ends at the first reached bound.

    Raises
    ------
    ValueError
        No bound is given.
    UsageError
        A bound is not positive.
    """

    steps: int | None = None
    cpu_minutes: float | None = None
    wall_minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and not self.timed:
            raise ValueError("no budget was given; give steps, cpu_minutes or wall_minutes")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"found a budget of {self.steps} steps, expected 1 or more")
        for minutes in (self.cpu_minutes, self.wall_minutes):
            if minutes is not None and not 0 < minutes < math.inf:
                raise UsageError(f"found a budget of {minutes:g} minutes, expected more than 0")

    @property
    def timed(self) -> bool:
        """Whether a clock may end the training."""
        return self.cpu_minutes is not None or self.wall_minutes is not None

    def progress(self, spent: Spent) -> float:
        """Used share of the budget, 0 to 1: the largest over its bounds."""
        shares = []
        if self.steps is not None:
            shares.append(spent.step / self.steps)
        if self.cpu_minutes is not None:
            shares.append(spent.cpu / (60 * self.cpu_minutes))
        if self.wall_minutes is not None:
            shares.append(spent.wall / (60 * self.wall_minutes))
        return min(1.0, max(shares))


@dataclass(frozen=True)
class Every:
    """A period in steps or CPU seconds; without both, the event never occurs."""

    steps: int | None = None
    cpu_seconds: float | None = None

    @property
    def timed(self) -> bool:
        """Whether the period depends on a clock."""
        return self.cpu_seconds is not None

    def passed(self, before: Spent, after: Spent) -> bool:
        """Whether a multiple of the period was reached between the two moments.

        Multiples count from the start of the training, so a resumed one keeps the same moments.
        """
        by_step = bool(self.steps) and _crossed(before.step, after.step, self.steps or 1)
        by_clock = bool(self.cpu_seconds) and _crossed(
            before.cpu, after.cpu, self.cpu_seconds or 1.0
        )
        return by_step or by_clock


NEVER = Every()


def _crossed(before: float, after: float, period: float) -> bool:
    return before // period < after // period
