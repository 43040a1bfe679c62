"""Runs jobs on a Dask cluster: ``--cluster tcp://…``, ``file:…`` or ``local:4``.

Conventions
-----------
client       this process: it plans, claims jobs in the store, assigns them to workers, and collects
             outcomes. It owns the claims and refreshes them, so a lost worker leaves no claim
worker       a process that does one job at a time with one thread
             (:mod:`benchsep.runner.executors.dask_worker`); it loads a system once, and writes
             cells to the run folder, which all machines must see under the same path
track queue  jobs on one track that one worker does in sequence; it keeps the decoded track
stages       if some workers declare the Dask resource ``GPU`` and others do not, the former
             separate and the latter score. Estimates are sent as float32, so values are the same
             bytes. Jobs of systems that need no accelerator are not split
lost         the job of a lost worker goes to another worker. A job that has lost more than
             :data:`MAY_LOSE` workers is recorded as failed, because it may be the cause
time limit   per stage of a job

Only this module and the worker's module import the package ``distributed``, and only if a cluster
is used.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from benchsep._util.notify import notify
from benchsep._util.version import __version__
from benchsep.datasets.track import Track
from benchsep.errors import BenchsepError, Unavailable
from benchsep.runner.claims import REFRESH_S
from benchsep.runner.done import begin
from benchsep.runner.execute import complete_job
from benchsep.runner.executors.base import Executor, units_of
from benchsep.runner.executors.dask_worker import Order, run_full_job, run_scoring, run_separation
from benchsep.runner.executors.local import Pool
from benchsep.runner.job import Job, Outcome
from benchsep.runner.loaded_track import LoadedTrack
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo

POLL_S = 0.5
ANSWER_S = 60.0
"""Longest time in seconds until the (short) outcome of a finished job arrives."""
MAY_LOSE = 3
"""Most workers that one job may lose; Dask has the same limit for tasks that are not pinned."""
LEAVING_S = 30.0
"""Time in seconds in which a worker that has reported a timeout gets no job: it ends, and later
another worker may have its address."""
GPU = "GPU"
"""The resource that a worker with a GPU declares: ``dask worker … --resources GPU=1``."""

INSTALL = "pip install 'benchsep[cluster]'"


class Cluster(Executor):
    """Does jobs on the cluster at an address.

    Parameters
    ----------
    address
        ``tcp://host:port`` (or another scheme of Dask) of a scheduler, ``file:PATH`` of a
        scheduler file, ``local:N`` for a cluster of N processes on this machine.
    timeout
        Seconds that one system may take on one track.

    Raises
    ------
    Unavailable
        Dask is not installed, no scheduler answers, or it is lost on the way.
    """

    def __init__(self, address: str, timeout: float | None = None) -> None:
        self.address, self.timeout = address, timeout
        self._stack = contextlib.ExitStack()
        self._client: Any = None
        self._asked = self._stack.enter_context(Pool(1, timeout))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    def describe(self, spec: str, device: str) -> SystemInfo:
        """In a worker process of this machine."""
        return self._asked.describe(spec, device)

    def estimate_stamps(self, spec: str, device: str, tracks: Sequence[Track]) -> list[str]:
        """Also in a worker process of this machine."""
        return self._asked.estimate_stamps(spec, device, tracks)

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        """See :class:`benchsep.runner.executors.base.Executor`; connects to the cluster if
        necessary.
        """
        if self._client is None:
            self._client = self._stack.enter_context(_connected(self.address, self._stack))
        order = Order(
            root=root.resolve(),
            folder=str(Path.cwd()),
            environ={k: v for k, v in os.environ.items() if k.startswith("BENCHSEP_")},
            version=__version__,
            timeout=self.timeout,
            topic=f"benchsep-{uuid4().hex}",
        )
        scheduler = _Scheduler(self._client, order)
        try:
            yield from scheduler.run_all(jobs)
        finally:
            scheduler.end()


def _connected(address: str, stack: contextlib.ExitStack) -> Any:
    """A Dask client of the scheduler at ``address``; a cluster that is started here ends with
    ``stack``.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise Unavailable(f"--cluster needs Dask: {INSTALL}") from error
    try:
        if address == "local" or address.startswith("local:"):
            workers = int(address.partition(":")[2] or os.cpu_count() or 1)
            # No memory limit, because Dask would kill large jobs.
            local = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None
            )
            return distributed.Client(stack.enter_context(local), set_as_default=False)
        if address.startswith("file:"):
            path = Path(address.removeprefix("file:")).expanduser()
            if not path.is_file():  # Dask would wait for it forever
                raise FileNotFoundError(
                    f"{path}: no such file; expected the scheduler file of a Dask cluster"
                )
            return distributed.Client(scheduler_file=str(path), set_as_default=False)
        return distributed.Client(address, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise Unavailable(
            f"no Dask scheduler answers at {address} ({error or type(error).__name__}); start one "
            "with `dask scheduler` and workers with `dask worker`, or use --cluster local:4"
        ) from error


def _workers_of(client: Any) -> dict[str, bool]:
    """Address of each worker, and whether it declares a GPU.

    Raises
    ------
    OSError, TimeoutError
        the scheduler does not answer (``Client.scheduler_info`` would return an old list).
    """
    scheduler: Any = import_module("distributed").Scheduler
    limited = "n_workers" in signature(scheduler.identity).parameters  # since 2025
    identity = client.sync(client.scheduler.identity, **({"n_workers": -1} if limited else {}))
    return {a: bool(w.get("resources", {}).get(GPU)) for a, w in identity["workers"].items()}


@dataclass(eq=False)
class _TrackQueue:
    """Jobs on one track; the first one is running."""

    jobs: deque[Job]
    worker: str = ""
    futures: list[Any] = field(default_factory=list)
    """Futures of the separation (if the job is split into stages) and of the whole job."""
    lost: int = 0
    """Workers that the running job has lost."""

    @property
    def job(self) -> Job:
        return self.jobs[0]


class _Scheduler:
    """The state of one call of :meth:`Cluster.run`: assigns jobs to workers."""

    def __init__(self, client: Any, order: Order) -> None:
        self.client, self.order = client, order
        self.store = Store(order.root)
        self.waiting: deque[_TrackQueue] = deque()
        self.active: list[_TrackQueue] = []
        self.claimed: set[tuple[str, str]] = set()
        self.overdue: dict[str, str] = {}
        """Tasks that exceeded the time limit, with their workers."""
        self.ending: dict[str, float] = {}
        """Workers that have reported a timeout and will end, with the time of the report."""
        self.present: dict[str, bool] = {}
        """Addresses of workers, with whether they declare a GPU."""
        self.news = threading.Event()
        """Set when a task is done or a timeout is reported."""
        self.refreshed = time.monotonic()
        self.warned_of = ""
        if order.timeout is not None:
            client.subscribe_topic(order.topic, self._note_overdue)

    def _note_overdue(self, event: Any) -> None:
        self.ending[event[1]["worker"]] = time.monotonic()
        self.overdue[event[1]["key"]] = event[1]["worker"]
        self.news.set()

    def run_all(self, jobs: list[Job]) -> Iterator[Outcome | Job]:
        """Do the jobs; yields as :meth:`Executor.run` does."""
        gpu, rest = self._workers()
        units = units_of(jobs, max(1, len(gpu) + len(rest)))
        self.waiting = deque(_TrackQueue(deque(unit)) for unit in units)
        while self.waiting or self.active:
            gpu, rest = self._workers()
            yield from self._requeue_lost(gpu | rest)
            yield from self._assign(gpu, rest)
            yield from self._handle_finished()
            self._refresh()

    def end(self) -> None:
        """Clean up after any end of the run."""
        for queue in self.active:
            self._cancel(queue)
        for label, track in self.claimed:
            self.store.claims.release(label, track)
        if self.order.timeout is not None:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.client.unsubscribe_topic(self.order.topic)

    # -- workers ---------------------------------------------------------------------------------

    def _workers(self) -> tuple[set[str], set[str]]:
        """Addresses of workers with a GPU and of those without, as last known."""
        if self.client.status != "running":
            raise self._connection_lost()
        # A busy scheduler may not answer in time; the last list then stays valid.
        with contextlib.suppress(OSError, TimeoutError):
            self.present = _workers_of(self.client)
        free = {a: has_gpu for a, has_gpu in self.present.items() if not self._is_ending(a)}
        gpu = {address for address, has_gpu in free.items() if has_gpu}
        rest = set(free) - gpu
        self._warn_if_no_workers(gpu, rest)
        return gpu, rest

    def _is_ending(self, address: str) -> bool:
        return time.monotonic() - self.ending.get(address, -math.inf) < LEAVING_S

    def _warn_if_no_workers(self, gpu: set[str], rest: set[str]) -> None:
        """Warn once if there is no worker to wait for."""
        missing = ""
        if not gpu and not rest:
            missing = "worker"
        elif not gpu and any(len(queue.futures) > 1 for queue in self.active):
            missing = "worker with a GPU"
        if missing and missing != self.warned_of:
            notify(f"the cluster has no {missing}; waiting for one")
        self.warned_of = missing

    def _connection_lost(self) -> Unavailable:
        where = self.client.scheduler.address if self.client.scheduler else "the cluster"
        return Unavailable(
            f"the connection to the scheduler at {where} was lost; stored results are intact. Run "
            "again to continue"
        )

    # -- assigning -------------------------------------------------------------------------------

    def _assign(self, gpu: set[str], rest: set[str]) -> Iterator[Outcome | Job]:
        """Give each free worker a queue; two queues if a GPU worker separates for it."""
        split_stages = bool(gpu and rest)
        for address in sorted(rest or gpu):
            busy = sum(queue.worker == address for queue in self.active)
            for _ in range((2 if split_stages else 1) - busy):
                if not self.waiting:
                    return
                yield from self._begin(self._queue_for(address), split_stages=split_stages)

    def _queue_for(self, address: str) -> _TrackQueue:
        """The queue that the worker had before, else the first."""
        before = (queue for queue in self.waiting if queue.worker == address)
        queue = next(before, self.waiting[0])
        self.waiting.remove(queue)
        queue.worker = address
        return queue

    def _begin(self, queue: _TrackQueue, *, split_stages: bool) -> Iterator[Outcome | Job]:
        """Start the queue's next job that no other run is doing or has done."""
        while queue.jobs:
            job = queue.job
            claim = (job.label, job.track.name)
            if claim in self.claimed or begin(job, self.store):
                self.claimed.add(claim)
                self._submit(queue, split_stages=split_stages and job.info.needs_accelerator)
                self.active.append(queue)
                return
            yield queue.jobs.popleft()

    def _submit(self, queue: _TrackQueue, *, split_stages: bool) -> None:
        job, order = queue.job, self.order
        # A unique key, because two runs on one scheduler must not share a task.
        key = f"benchsep-{job.label}-{job.track.name}-{uuid4().hex}"
        where = {"workers": [queue.worker], "allow_other_workers": False}
        if split_stages:
            estimates = self.client.submit(
                run_separation, job, order, key=f"{key}-separate", resources={GPU: 1}
            )
            scores = self.client.submit(run_scoring, job, order, estimates, key=key, **where)
            queue.futures = [estimates, scores]
        else:
            queue.futures = [self.client.submit(run_full_job, job, order, key=key, **where)]
        queue.futures[-1].add_done_callback(lambda _: self.news.set())

    # -- results ---------------------------------------------------------------------------------

    def _handle_finished(self) -> Iterator[Outcome | Job]:
        """Wait briefly, yield the outcomes of finished jobs and continue their queues."""
        self.news.wait(POLL_S)
        self.news.clear()
        for queue in [q for q in self.active if q.futures[-1].done()]:
            yield from self._ended(queue)

    def _ended(self, queue: _TrackQueue) -> Iterator[Outcome | Job]:
        future = queue.futures[-1]
        if future.status == "finished":
            try:
                outcome = future.result(timeout=ANSWER_S)
            except (
                TimeoutError
            ):  # the worker died before it arrived; cells that it stored are found later
                self._cancel(queue)
            else:
                self._done(queue)
                yield outcome
        elif future.status == "error":
            yield from self._failed(queue, _why(future.exception()))
        else:
            raise self._connection_lost()
        self._requeue(queue)

    def _requeue(self, queue: _TrackQueue) -> None:
        """Put the rest of the queue first, because its worker has the decoded track."""
        self.active.remove(queue)
        if queue.jobs:
            self.waiting.appendleft(queue)

    def _done(self, queue: _TrackQueue) -> None:
        job = queue.jobs.popleft()
        queue.lost, queue.futures = 0, []
        self.store.claims.release(job.label, job.track.name)
        self.claimed.discard((job.label, job.track.name))

    def _failed(self, queue: _TrackQueue, why: str) -> Iterator[Outcome]:
        """Record the queue's job as failed."""
        self._cancel(queue)
        outcome = complete_job(queue.job, LoadedTrack(None, why), self.store)
        self._done(queue)
        yield outcome

    def _requeue_lost(self, workers: set[str]) -> Iterator[Outcome]:
        """Requeue the jobs of lost workers; record jobs that exceeded the time limit as failed."""
        for queue in list(self.active):
            late = {self.overdue[f.key] for f in queue.futures if f.key in self.overdue}
            if late:
                if any(w in self.present and self._is_ending(w) for w in late):
                    continue  # the worker might still finish and store the job before it ends
                yield from self._failed(queue, f"took more than {self.order.timeout:g} s")
            elif queue.worker not in workers and not queue.futures[-1].done():
                queue.lost += 1
                self._cancel(queue)
                if queue.lost > MAY_LOSE:
                    yield from self._failed(queue, f"its worker died ({queue.lost} times)")
            else:
                continue
            self._requeue(queue)

    def _cancel(self, queue: _TrackQueue) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self.client.cancel(queue.futures, force=True)
        queue.futures = []

    def _refresh(self) -> None:
        """Touch the claims, so that other machines do not consider them abandoned."""
        if time.monotonic() - self.refreshed < REFRESH_S:
            return
        self.refreshed = time.monotonic()
        for label, track in self.claimed:
            self.store.claims.refresh(label, track)


def _why(error: BaseException) -> str:
    """The reason for a job whose worker raised; errors that concern the whole run are raised
    again.
    """
    if type(error).__name__ == "KilledWorker":
        return f"its workers died: {error}"
    if isinstance(error, BenchsepError):
        raise error
    if isinstance(error, ImportError):
        raise Unavailable(
            f"a worker cannot import what it needs ({error}); install the same benchsep on all "
            "machines"
        ) from error
    raise error
