"""Who does the jobs: this process, or a pool of local processes that survives its workers.

Conventions
-----------
unit      jobs on one track, done one after the other by one worker, so that the track is decoded
          and what depends on its references is computed once
threads   every worker computes with one thread: results are the same bytes on one core and
          on eight, and ``-j`` says how many cores are used
failure   a worker that dies, or exceeds the time limit, costs its current job only: the job's cells
          say so, the rest of its unit goes to another worker
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchsep.errors import StoreError
from benchsep.runner.done import begin
from benchsep.runner.job import Job, LoadedTrack, Outcome, load_track, run_job
from benchsep.runner.store import Store

Unit = list[Job]
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}
POLL_S = 0.5


def units_of(jobs: list[Job], workers: int) -> list[Unit]:
    """Group jobs by track; when there are fewer tracks than workers, part each track's jobs."""
    by_track: dict[str, Unit] = {}
    for job in jobs:
        by_track.setdefault(job.track.name, []).append(job)
    shares = max(1, -(-workers // max(1, len(by_track))))
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


def do_unit(unit: Unit, root: Path, say: Callable[[str, object], None]) -> None:
    """Do the jobs of a unit.

    ``say`` is told ``start`` with a job's index and ``done`` with its
    :class:`Outcome` (or ``claimed`` with the index when another process is, or was, at work on it).
    """
    store = Store(root)
    loaded: LoadedTrack | None = None
    for index, job in enumerate(unit):
        say("start", index)
        if not begin(job, store):
            say("claimed", index)
            continue
        try:
            loaded = loaded or load_track(job.track)
            say("done", run_job(job, loaded, store))
        finally:
            store.release(job.label, job.track.name)


def run_inline(units: list[Unit], root: Path) -> Iterator[Outcome | Job]:
    """All in this process. Yields an outcome for each job, or the job itself if claimed."""
    with one_thread():
        for unit in units:
            for job in unit:
                yield do_one(job, root)


_last_track: dict[str, LoadedTrack] = {}


def do_one(job: Job, root: Path) -> Outcome | Job:
    """One job in this process; the last track stays decoded. The job itself if claimed."""
    store = Store(root)
    if not begin(job, store):
        return job
    try:
        return run_job(job, loaded_track(job, root), store)
    finally:
        store.release(job.label, job.track.name)


def loaded_track(job: Job, root: Path) -> LoadedTrack:
    """The job's track; the last one stays decoded."""
    key = f"{root}\n{job.track.name}\n{job.track.paths}\n{job.stamp}"
    if key not in _last_track:
        _last_track.clear()
        _last_track[key] = load_track(job.track)
    return _last_track[key]


# -- local processes ---------------------------------------------------------------------------


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
                do_unit(unit, root, lambda kind, what: pipe.send((kind, what)))
            except StoreError as error:  # no room for results: the whole run must know
                pipe.send(("no room", str(error)))
                return
            pipe.send(("free", None))


@dataclass
class _Worker:
    root: Path
    unit: Unit = field(default_factory=list)
    current: int = -1
    since: float = 0.0

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, self.root), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def idle(self) -> bool:
        return not self.unit

    def give(self, unit: Unit) -> None:
        self.unit, self.current, self.since = unit, -1, time.monotonic()
        self.pipe.send(unit)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def run_pool(
    units: list[Unit], root: Path, workers: int, timeout: float | None
) -> Iterator[Outcome | Job]:
    """On ``workers`` local processes. Yields as :func:`run_inline` does."""
    saved = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    queue = deque(units)
    pool = [_Worker(root) for _ in range(min(workers, len(units)))]
    try:
        yield from _drive(queue, pool, root, timeout)
    finally:
        for worker in pool:
            worker.stop()
        for name, value in saved.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _drive(
    queue: deque[Unit], pool: list[_Worker], root: Path, timeout: float | None
) -> Iterator[Outcome | Job]:
    while True:
        for worker in pool:
            if worker.idle and queue:
                worker.give(queue.popleft())
        busy = {worker.pipe: worker for worker in pool if not worker.idle}
        if not busy:
            return
        for pipe in wait(list(busy), POLL_S):
            yield from _hear(busy[pipe], queue, pool, root)  # type: ignore[index]  # our pipes
        for worker in [w for w in pool if timeout and _overdue(w, timeout)]:
            yield from _lose(worker, f"took more than {timeout:g} s", queue, pool, root)


def _overdue(worker: _Worker, timeout: float) -> bool:
    return worker.current >= 0 and not worker.idle and time.monotonic() - worker.since > timeout


def _hear(
    worker: _Worker, queue: deque[Unit], pool: list[_Worker], root: Path
) -> Iterator[Outcome | Job]:
    try:
        kind, what = worker.pipe.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        yield from _lose(worker, f"its worker died ({worker.process.exitcode})", queue, pool, root)
        return
    if kind == "start":
        worker.current, worker.since = what, time.monotonic()
    elif kind == "done":
        yield what
    elif kind == "claimed":
        yield worker.unit[what]
    elif kind == "no room":
        raise StoreError(str(what))
    elif kind == "free":
        worker.unit, worker.current = [], -1


def _lose(
    worker: _Worker, why: str, queue: deque[Unit], pool: list[_Worker], root: Path
) -> Iterator[Outcome | Job]:
    """Record the job that was under way as failed, queue the rest, start another worker."""
    worker.stop()
    pool.remove(worker)
    pool.append(_Worker(root))
    if worker.current < 0:
        raise RuntimeError(f"a worker ended before it began: {why}")
    job, rest = worker.unit[worker.current], worker.unit[worker.current + 1 :]
    if rest:
        queue.appendleft(rest)
    store = Store(root)
    store.release(job.label, job.track.name)
    yield run_job(job, LoadedTrack(None, why), store)
