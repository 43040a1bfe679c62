"""Runs jobs on a pool of local processes, which survives crashes of its workers, or in this
process.

If a worker dies or exceeds the time limit, only its current job fails: the job's cells get the
status ``failed``, and the rest of its unit goes to another worker. All processes that a worker has
started end with it. If this process is killed, a watcher process ends them all.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from benchsep import registry
from benchsep._util.processes import end_marked, exit_reason, new_mark, watcher
from benchsep.errors import SeparatorError, StoreError, Unavailable
from benchsep.runner import loaded_system
from benchsep.runner.claims import REFRESH_S, Owner, this_process
from benchsep.runner.execute import complete_job
from benchsep.runner.executors.base import Executor, Unit, one_thread, run_one, units_of
from benchsep.runner.executors.worker import as_error, start_worker
from benchsep.runner.loaded_track import LoadedTrack
from benchsep.runner.store import Store
from benchsep.systems.spec import Spec
from benchsep.systems.surroundings import forget_random_states

if TYPE_CHECKING:
    from benchsep.datasets.track import Track
    from benchsep.runner.job import Job, Outcome
    from benchsep.systems.contract import SystemInfo

POLL_S = 0.5
EXIT_CODE_S = 2.0
STARTING_S = 30.0
"""Additional seconds for a worker to start and to import packages, because this may be slow on a
busy machine."""
MAY_DIE_LOADING = 2
"""Most workers that may die while loading the same system; the first may have been killed by
chance."""
MAY_DIE_AT_START = 3
"""Most consecutive workers that may die before their first job, which no job can cause."""


class Inline(Executor):
    """Runs all jobs in this process."""

    def describe(self, spec: str, device: str) -> SystemInfo:
        with one_thread():  # computations while a model is loaded affect values, too
            return loaded_system.describe(spec, device)

    def estimate_stamps(self, spec: str, device: str, tracks: Sequence[Track]) -> list[str]:
        with one_thread():
            return loaded_system.estimate_stamps(spec, device, tracks)

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        forget_random_states()
        root = root.absolute()  # a system may change the working folder
        with one_thread():
            for unit in units_of(jobs, 1):
                for job in unit:
                    self.tell_start(job)
                    yield run_one(job, root)


@dataclass
class Pool(Executor):
    """Starts and replaces local processes; they are reused for all calls inside one ``with``
    block.
    """

    count: int
    timeout: float | None = None
    """Time limit per job in seconds; the load of a system may take :data:`STARTING_S` more."""
    most_jobs: int | None = None
    """Upper bound for the number of jobs, if known; not more workers are started early."""
    workers: list[_Worker] = field(default_factory=list)
    mark: str = field(default_factory=new_mark)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    """Holds the watcher, which ends the workers and their children if this process is killed."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.stop()
        self.workers.clear()
        end_marked(self.mark)
        self.stack.close()

    def describe(self, spec: str, device: str) -> SystemInfo:
        """The ``info`` of a system, which a worker loads and keeps for its jobs.

        The other workers start at the same time and load the system afterwards, during the plan;
        its downloads are then complete.

        Raises
        ------
        SeparatorError
            the system cannot be loaded, its process died twice, or it exceeded the time limit.
        """
        if _is_ours(spec):
            return loaded_system.describe(spec, device)
        self._start_all()
        info = cast("SystemInfo", self._ask("cannot be loaded", "describe", spec, device))
        for worker in self.workers:
            if worker.is_early:
                worker.tell("load", spec, device)
        return info

    def estimate_stamps(self, spec: str, device: str, tracks: Sequence[Track]) -> list[str]:
        """The stamps of a system's files, from a worker; raises as :meth:`describe` does."""
        if _is_ours(spec):
            return loaded_system.estimate_stamps(spec, device, tracks)
        stamps = self._ask("cannot tell its files", "stamps", spec, device, list(tracks))
        return cast("list[str]", stamps)

    def _start_all(self) -> None:
        """Start the workers for the jobs early, because their imports take long."""
        most = self.count if self.most_jobs is None else min(self.count, self.most_jobs)
        for _ in range(len(self.workers), most - 1):  # one more answers the question
            self.start().tell("prepare")

    def _ask(self, lacks: str, what: str, spec: str, *order: Any) -> Any:
        for _ in range(MAY_DIE_LOADING):
            # A worker may die while loading early; the jobs handle this.
            asked = (w for w in self.workers if w.idle and not w.is_early)
            worker = next(asked, None) or self.start()
            kind, content = self._answer(worker, (what, spec, *order))
            if kind == "answer":
                return content
            if kind == "error":
                raise as_error(*content)
            worker.stop()
            self.workers.remove(worker)
            if kind == "late":
                break
        raise SeparatorError(f"{spec} {lacks}: {content}")

    def _answer(self, worker: _Worker, order: tuple[Any, ...]) -> tuple[str, Any]:
        """The answer of a worker; without one, ``died`` or ``late`` with the reason."""
        with contextlib.suppress(OSError):
            worker.pipe.send(order)
        started = time.monotonic()
        while True:
            wait([worker.pipe], POLL_S)
            died = worker.has_died()
            if message := worker.receive():
                return message
            if died or worker.has_closed_its_pipe():
                return "died", f"its process died ({worker.last_words()})"
            if self.timeout and time.monotonic() - started > self.timeout + STARTING_S:
                return "late", f"it took more than {self.timeout + STARTING_S:g} s"

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        units = units_of(jobs, self.count)
        crew = _Crew(self, deque(units), root.absolute(), min(self.count, len(units)))
        yield from crew.run()

    # -- workers ---------------------------------------------------------------------------------

    def start(self) -> _Worker:
        """Another worker."""
        if not self.workers:
            self.stack.close()
            self.stack.enter_context(watcher(self.mark))
        worker = _Worker(self.mark)
        self.workers.append(worker)
        return worker


def _is_ours(spec: str) -> bool:
    """Whether a system is benchsep's own (``dir:``, ``cmd:``): its info needs no computation, so a
    finished run needs no worker, whose start takes a second.
    """
    return registry.is_ours("system", Spec.parse(spec).name)


@dataclass(eq=False)
class _Worker:
    """The parent's handle of a worker process."""

    pool_mark: str
    mark: str = field(default_factory=new_mark)
    unit: Unit = field(default_factory=list)
    current: int = -1
    """Index of the running job in its unit; -1 before the first."""
    is_under_way: bool = False
    is_early: bool = False
    """True: it was started before there were jobs, to load systems early."""
    since: float = 0.0
    """Start time of the running job, on the monotonic clock."""

    def __post_init__(self) -> None:
        try:
            self.process, self.pipe = start_worker(self.pool_mark, self.mark)
        except OSError as error:
            raise Unavailable(
                f"no worker process can be started ({error.strerror or error}); to run systems in "
                "this process, pass --inline"
            ) from error

    @property
    def idle(self) -> bool:
        return not self.unit

    @property
    def job(self) -> Job | None:
        """The job that the worker has claimed or may have claimed."""
        return self.unit[self.current] if self.is_under_way and self.unit else None

    def assign(self, unit: Unit, root: Path, owner: Owner) -> None:
        self.unit, self.current, self.since = unit, -1, time.monotonic()
        self.is_under_way = False
        with contextlib.suppress(OSError):  # it is dead, as the next look at it tells
            self.pipe.send(("unit", unit, root, owner))

    def tell(self, *order: str) -> None:
        """Send an order that has no answer."""
        self.is_early = True
        with contextlib.suppress(OSError):  # it is dead, as the next look at it tells
            self.pipe.send(order)

    def receive(self) -> tuple[str, Any] | None:
        """The next message, or ``None`` if there is none (yet)."""
        try:
            return cast("tuple[str, Any]", self.pipe.recv()) if self.pipe.poll() else None
        except (EOFError, OSError):
            return None

    def has_died(self) -> bool:
        """Whether the process has ended; a child of it may still keep the pipe open."""
        return self.process.poll() is not None

    def has_closed_its_pipe(self) -> bool:
        """Whether no more messages can come, although the process may still run."""
        try:
            if not self.pipe.poll():
                return False
            with socket.socket(fileno=os.dup(self.pipe.fileno())) as there:
                return not there.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except (EOFError, OSError):
            return True

    def last_words(self) -> str:
        """How the process ended; waits briefly for its exit code."""
        try:
            return exit_reason(self.process.wait(EXIT_CODE_S))
        except subprocess.TimeoutExpired:
            return "it closed its pipe"

    def is_overdue(self, timeout: float) -> bool:
        return self.is_under_way and time.monotonic() - self.since > timeout

    def stop(self) -> None:
        """End the process and all that it has started."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()
        end_marked(self.mark)


@dataclass
class _Crew:
    """The state of one call of :meth:`Pool.run`: assigns units to the pool's workers."""

    pool: Pool
    queue: deque[Unit]
    root: Path
    size: int
    owner: Owner = field(default_factory=this_process)
    deaths: int = 0
    """Consecutive workers that died before a job."""
    refreshed: float = field(default_factory=time.monotonic)

    def run(self) -> Iterator[Outcome | Job]:
        try:
            yield from self._run()
        finally:
            self._leave_nothing()

    def _leave_nothing(self) -> None:
        """End the workers that are still busy, and release their claims."""
        claims = Store(self.root, self.owner).claims
        for worker in [worker for worker in self.pool.workers if not worker.idle]:
            worker.stop()
            self.pool.workers.remove(worker)
            for job in worker.unit[max(0, worker.current) :]:
                claims.release(job.label, job.track.name)  # if it is ours
        claims.sweep()

    def _run(self) -> Iterator[Outcome | Job]:
        while True:
            while len(self.pool.workers) < self.size:
                self.pool.start()
            for worker in self.pool.workers:
                if worker.idle and self.queue:
                    worker.assign(self.queue.popleft(), self.root, self.owner)
            busy = [worker for worker in self.pool.workers if not worker.idle]
            if not busy:
                return
            wait([worker.pipe for worker in busy], POLL_S)
            for worker in busy:
                yield from self._look_at(worker)
            self._refresh_claims()

    def _look_at(self, worker: _Worker) -> Iterator[Outcome | Job]:
        died = worker.has_died()  # checked first: earlier messages are still in the pipe
        if message := worker.receive():
            yield from self._handle_message(worker, *message)
        elif died or worker.has_closed_its_pipe():
            yield from self._replace(worker, f"its worker died ({worker.last_words()})")
        elif self.pool.timeout and worker.is_overdue(self.pool.timeout):
            yield from self._replace(worker, f"took more than {self.pool.timeout:g} s")

    def _handle_message(self, worker: _Worker, kind: str, content: Any) -> Iterator[Outcome | Job]:
        if kind == "start":
            self.deaths = 0
            worker.current, worker.is_under_way, worker.since = content, True, time.monotonic()
            self.pool.tell_start(worker.unit[content])
        elif kind == "done" and not Store(self.root).path(content.label, content.track).exists():
            # A system has changed the root folder of its process (chroot).
            yield from self._replace(worker, "its worker wrote its record elsewhere")
        elif kind == "done":
            worker.is_under_way = False
            yield content
        elif kind == "is done":
            worker.is_under_way = False
        elif kind == "claimed":
            worker.is_under_way = False
            yield worker.unit[content]
        elif kind == "store error":
            text, is_full = content
            if is_full:
                raise StoreError(text)
            # A system may have removed the write permission of its own process only.
            yield from self._replace(worker, f"its worker could not write: {text}")
        elif kind == "error":
            raise as_error(*content)
        elif kind == "free":
            worker.unit, worker.current = [], -1
        elif kind == "spoilt":
            yield from self._replace(worker, "")

    def _replace(self, worker: _Worker, why: str) -> Iterator[Outcome | Job]:
        """Record the running job as failed, queue the rest of its unit, start another worker."""
        worker.stop()
        self.pool.workers.remove(worker)
        if rest := worker.unit[worker.current + 1 :]:
            self.queue.appendleft(rest)
        if job := worker.job:
            store = Store(self.root, self.owner)
            store.claims.release(job.label, job.track.name)
            yield complete_job(job, LoadedTrack(None, why), store)
        elif why and worker.current < 0 and not worker.is_early:  # else it died while loading early
            self.deaths += 1
            if self.deaths >= MAY_DIE_AT_START:
                raise Unavailable(
                    f"{self.deaths} worker processes died at their start; the last one: {why}. "
                    "Stored results are intact. To run systems in this process, pass --inline"
                )

    def _refresh_claims(self) -> None:
        """Touch the claims, so that other machines do not take them for abandoned."""
        if time.monotonic() - self.refreshed < REFRESH_S:
            return
        self.refreshed = time.monotonic()
        claims = Store(self.root, self.owner).claims
        for worker in self.pool.workers:
            if job := worker.job:
                claims.refresh(job.label, job.track.name)
