"""Who does the jobs of a run: one interface over this process, local processes, a Dask cluster.

Conventions
-----------
jobs       (system, track); those of one track follow each other where they can, so that the track
           is decoded once
outcomes   in any order; a job that another run is at work on comes back as itself
bytes      the same whoever does the jobs: one thread inside each, seeds from the job alone
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from benchsep.runner.executors.local import run_inline, run_pool, units_of

if TYPE_CHECKING:
    from benchsep.runner.job import Job, Outcome
    from benchsep.runner.suite import Suite


class Executor(ABC):
    """Does jobs. A context manager: what it holds (processes, connections) ends with it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        return None

    @abstractmethod
    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        """Do the jobs and store their cells under ``root``."""


class Inline(Executor):
    """All in this process."""

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        return run_inline(units_of(jobs, 1), root)


@dataclass
class Pool(Executor):
    """Local processes, which it starts and replaces."""

    workers: int
    timeout: float | None = None

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        return run_pool(units_of(jobs, self.workers), root, self.workers, self.timeout)


def executor_for(suite: Suite, jobs: int) -> Executor:
    """The executor that a suite asks for: its cluster, else its number of processes.

    Raises
    ------
    Unavailable
        a cluster is asked for and Dask is not installed.
    """
    if suite.cluster and jobs:
        from benchsep.runner.executors.dask import Cluster

        return Cluster(suite.cluster, suite.timeout)
    workers = suite.jobs or os.cpu_count() or 1
    if (workers == 1 or jobs <= 1) and suite.timeout is None:
        return Inline()
    return Pool(workers, suite.timeout)
