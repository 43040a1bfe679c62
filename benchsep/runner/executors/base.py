"""The interface of executors, units of work, and how a process does a job.

Conventions
-----------
job       one (system, track)
unit      jobs on one track that one worker does in sequence, so that the track is decoded once and
          work on its references is done once
outcomes  in any order; a job that another run is doing is returned itself
threads   one per worker, so results are the same bytes on one core and on eight; ``-j`` is the
          number of used cores. Seeds depend only on the job
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from benchsep.runner.done import begin
from benchsep.runner.execute import complete_job
from benchsep.runner.loaded_track import LoadedTrack, load_track
from benchsep.runner.stamps import input_stamp
from benchsep.runner.store import Store

if TYPE_CHECKING:
    from benchsep.datasets.track import Track
    from benchsep.runner.job import Job, Outcome
    from benchsep.systems.contract import SystemInfo

Unit = list["Job"]


class Executor(ABC):
    """Does jobs. A context manager that ends its processes and connections at exit."""

    on_start: Callable[[Job], None] | None = None
    """Called for each job that a worker starts, if this process knows it (not on a cluster)."""

    def tell_start(self, job: Job) -> None:
        """Call :attr:`on_start`, if it is set."""
        if self.on_start is not None:
            self.on_start(job)

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
    def describe(self, spec: str, device: str) -> SystemInfo:
        """The ``info`` of a system, loaded in another process if possible.

        Raises
        ------
        UsageError, SeparatorError
            it cannot be loaded.
        """

    @abstractmethod
    def estimate_stamps(self, spec: str, device: str, tracks: Sequence[Track]) -> list[str]:
        """The stamps of a system whose estimates are files, one per track; likewise in another
        process.

        Raises
        ------
        UsageError, SeparatorError
            the system cannot compute them.
        """

    @abstractmethod
    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        """Do the jobs and store their cells under ``root``.

        Yields an outcome for each job, or the job itself if another run is doing it.
        """


def units_of(jobs: list[Job], workers: int) -> list[Unit]:
    """Group jobs by track; with fewer tracks than workers, split each track's jobs."""
    by_track: dict[str, Unit] = {}
    for job in jobs:
        by_track.setdefault(job.track.name, []).append(job)
    shares = max(1, -(-workers // max(1, len(by_track))))  # rounded up
    return [unit[i::shares] for unit in by_track.values() for i in range(shares) if unit[i::shares]]


@contextmanager
def one_thread() -> Iterator[None]:
    """Context in which numeric libraries use one thread; the old setting is restored at the end."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(threadpool_limits(1))
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def run_one(job: Job, root: Path) -> Outcome | Job:
    """Do one job in this process: returns its outcome, or the job itself if another run is doing
    it.
    """
    store = Store(root)
    if not begin(job, store):
        return job
    try:
        with store.claims.kept_fresh(job.label, job.track.name):
            return complete_job(job, loaded_track(job, root), store)
    finally:
        store.claims.release(job.label, job.track.name)


_last_track: dict[str, LoadedTrack] = {}


def loaded_track(job: Job, root: Path) -> LoadedTrack:
    """The job's decoded track. The last one stays in memory for the next job of its unit.

    Only jobs of one call of ``run`` share it: the next call may make another mixture or other
    references of the same files. The job's own stamp is not used, because it includes the files of
    estimates, which differ by system.
    """
    stamp = input_stamp(job.track) if job.track.paths else ""
    key = f"{job.session}\n{root}\n{job.track.name}\n{job.track.paths}\n{stamp}"
    if key not in _last_track:
        _last_track.clear()
        _last_track[key] = load_track(job.track)
    return _last_track[key]
