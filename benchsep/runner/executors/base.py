"""What every executor has in common: the interface, units of work, and how a process does a job.

Conventions
-----------
job       one (system, track)
unit      jobs on one track, one after the other on one worker, so that the track is decoded and
          what depends on its references is computed once
outcomes  in any order; a job that another run is working on comes back as itself
threads   one inside each worker: results are the same bytes on one core and on eight, and ``-j``
          says how many cores are used. Seeds come from the job alone
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
    """Does jobs. A context manager: what it holds (processes, connections) ends with it."""

    on_start: Callable[[Job], None] | None = None
    """Told of each job that a worker begins, where this process knows (not on a cluster)."""

    def tell_start(self, job: Job) -> None:
        """A worker begins a job."""
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
        """What a system says of itself, asked where it cannot harm this process, if possible.

        Raises
        ------
        UsageError, SeparatorError
            it cannot be loaded.
        """

    @abstractmethod
    def estimate_stamps(self, spec: str, device: str, tracks: Sequence[Track]) -> list[str]:
        """What a system whose estimates are files says of those of each track, asked likewise.

        Raises
        ------
        UsageError, SeparatorError
            it cannot say so.
        """

    @abstractmethod
    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        """Do the jobs and store their cells under ``root``.

        Yields an outcome for each job, or the job itself if another run is working on it.
        """


def units_of(jobs: list[Job], workers: int) -> list[Unit]:
    """Group jobs by track; where there are fewer tracks than workers, split each track's jobs."""
    by_track: dict[str, Unit] = {}
    for job in jobs:
        by_track.setdefault(job.track.name, []).append(job)
    shares = max(1, -(-workers // max(1, len(by_track))))  # rounded up
    return [unit[i::shares] for unit in by_track.values() for i in range(shares) if unit[i::shares]]


@contextmanager
def one_thread() -> Iterator[None]:
    """Numeric libraries use one thread inside; the caller's setting comes back after."""
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
    """One job in this process: its outcome, or the job itself if another run works on it."""
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
    """The job's track, decoded. The last one stays in memory for the next job of its unit.

    The job's own stamp is not asked: it holds the files of estimates too, which differ by system.
    """
    key = f"{root}\n{job.track.name}\n{job.track.paths}\n{input_stamp(job.track, None)}"
    if key not in _last_track:
        _last_track.clear()
        _last_track[key] = load_track(job.track)
    return _last_track[key]
