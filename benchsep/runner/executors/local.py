"""Jobs in this process, or on a pool of local processes that survives its workers.

A worker that dies, or exceeds the time limit, costs its current job only: the job's cells get the
status ``failed``, and the rest of its unit goes to another worker.

Messages from a worker, each a pair: ``("start", index)`` of a job in the unit, ``("done",
outcome)``, ``("claimed", index)``, ``("free", None)`` at the end of the unit, and ``("store error",
text)`` where results cannot be written, which ends the run.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, cast

from benchsep.errors import StoreError
from benchsep.runner.done import begin
from benchsep.runner.execute import LoadedTrack, complete_job, load_track
from benchsep.runner.executors.base import Executor, Unit, one_thread, run_one, units_of
from benchsep.runner.store import Store

if TYPE_CHECKING:
    from benchsep.runner.job import Job, Outcome

ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}
"""The environment of a process that computes with one thread."""
POLL_S = 0.5
EXIT_CODE_S = 5.0
"""How long the exit code of a worker that closed its pipe may take to be known."""


class Inline(Executor):
    """All in this process."""

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        with one_thread():
            for unit in units_of(jobs, 1):
                for job in unit:
                    yield run_one(job, root)


@dataclass
class Pool(Executor):
    """Local processes, which it starts and replaces."""

    workers: int
    timeout: float | None = None
    """Seconds that one job may take."""

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        units = units_of(jobs, self.workers)
        saved = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(ONE_THREAD)  # a spawned process inherits it before it imports NumPy
        crew = _Crew(deque(units), root, self.timeout)
        try:
            crew.start(min(self.workers, len(units)))
            yield from crew.run()
        finally:
            crew.stop()
            for name, value in saved.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


# -- in a worker process ------------------------------------------------------------------------


def run_unit(unit: Unit, root: Path, notify: Callable[[str, object], None]) -> None:
    """Do the jobs of a unit; ``notify`` gets the messages that the module lists."""
    store = Store(root)
    loaded: LoadedTrack | None = None
    for index, job in enumerate(unit):
        notify("start", index)
        if not begin(job, store):
            notify("claimed", index)
            continue
        try:
            loaded = loaded or load_track(job.track)
            notify("done", complete_job(job, loaded, store))
        finally:
            store.claims.release(job.label, job.track.name)


def _serve(pipe: Connection, root: Path) -> None:
    """A worker's life: receive units until the parent closes the pipe or is gone."""
    with one_thread():
        while True:
            try:
                unit = pipe.recv()
            except (EOFError, OSError):
                return
            if unit is None:
                return
            try:
                run_unit(unit, root, lambda kind, content: pipe.send((kind, content)))
            except StoreError as error:
                pipe.send(("store error", str(error)))
                return
            pipe.send(("free", None))


# -- in the parent ------------------------------------------------------------------------------


@dataclass
class _Worker:
    root: Path
    unit: Unit = field(default_factory=list)
    current: int = -1
    """Index in the unit of the job under way; -1 before the first."""
    since: float = 0.0
    """When that job started, on the monotonic clock."""

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.root), daemon=True)
        self.process.start()
        # Only the child may hold its end: else its death would not close the pipe.
        theirs.close()

    @property
    def idle(self) -> bool:
        return not self.unit

    def assign(self, unit: Unit) -> None:
        self.unit, self.current, self.since = unit, -1, time.monotonic()
        self.pipe.send(unit)

    def is_overdue(self, timeout: float) -> bool:
        running = self.current >= 0 and not self.idle
        return running and time.monotonic() - self.since > timeout

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


@dataclass
class _Crew:
    """The workers of one call of :meth:`Pool.run`, and the units that wait for them."""

    queue: deque[Unit]
    root: Path
    timeout: float | None
    workers: list[_Worker] = field(default_factory=list)

    def start(self, count: int) -> None:
        for _ in range(count):
            self.workers.append(_Worker(self.root))

    def stop(self) -> None:
        for worker in self.workers:
            worker.stop()

    def run(self) -> Iterator[Outcome | Job]:
        while True:
            for worker in self.workers:
                if worker.idle and self.queue:
                    worker.assign(self.queue.popleft())
            busy = {worker.pipe: worker for worker in self.workers if not worker.idle}
            if not busy:
                return
            for pipe in wait(list(busy), POLL_S):
                yield from self._handle_message(busy[cast("Connection", pipe)])
            limit = self.timeout
            for worker in [w for w in self.workers if limit and w.is_overdue(limit)]:
                yield from self._replace_worker(worker, f"took more than {limit:g} s")

    def _handle_message(self, worker: _Worker) -> Iterator[Outcome | Job]:
        try:
            kind, content = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(EXIT_CODE_S)
            yield from self._replace_worker(worker, f"its worker died ({worker.process.exitcode})")
            return
        if kind == "start":
            worker.current, worker.since = content, time.monotonic()
        elif kind == "done":
            yield content
        elif kind == "claimed":
            yield worker.unit[content]
        elif kind == "store error":
            raise StoreError(str(content))
        elif kind == "free":
            worker.unit, worker.current = [], -1

    def _replace_worker(self, worker: _Worker, why: str) -> Iterator[Outcome | Job]:
        """Record the job under way as failed, queue the rest of its unit, start another worker."""
        worker.stop()
        self.workers.remove(worker)
        self.workers.append(_Worker(self.root))
        if worker.current < 0:
            raise RuntimeError(f"a worker ended before its first job: {why}")
        job, rest = worker.unit[worker.current], worker.unit[worker.current + 1 :]
        if rest:
            self.queue.appendleft(rest)
        store = Store(self.root)
        store.claims.release(job.label, job.track.name)
        yield complete_job(job, LoadedTrack(None, why), store)
