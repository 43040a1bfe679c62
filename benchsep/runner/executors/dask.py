"""A Dask cluster does the jobs of a run: ``--cluster tcp://…``, ``file:…`` or ``local:4``.

Conventions
-----------
client     this process: it plans, claims jobs in the store, gives them out, and tells what came of
           them. Workers compute, and write cells to the run folder, which they must see by the
           same path; a claim is held, and kept fresh, by the client, so that a lost worker leaves
           none behind
worker     a process that does one job at a time with one thread; a system is loaded once in it
chain      jobs on one track, one after the other on one worker, which keeps the track decoded
parted     where some workers declare the Dask resource ``GPU`` and others do not, the first
           separate and the others score; estimates travel between them as they are (float32), so
           values are the same bytes. Yardsticks and folders of estimates need no GPU: those that
           score do them whole
lost       a worker that vanishes: its job goes to another; a job that has lost :data:`MAY_LOSE`
           workers and one more is recorded as failed, for it may be what kills them
time limit for each half of a parted job. The worker ends itself, since a thread cannot be
           stopped; a nanny, Dask's default, replaces it

The package ``distributed`` is imported here alone and only when a cluster is asked for.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from benchsep._util.version import __version__
from benchsep.errors import BenchsepError, StoreError, Unavailable, UsageError
from benchsep.runner.done import begin
from benchsep.runner.executors.local import loaded_track, one_thread, units_of
from benchsep.runner.executors.select import Executor
from benchsep.runner.job import Job, LoadedTrack, Outcome, Separated, run_job, separate_job
from benchsep.runner.store import Store

POLL_S = 0.5
REFRESH_S = 60.0
"""How often held claims are touched: well under the age at which they count as abandoned."""
ANSWER_S = 60.0
"""How long a finished job's answer, a few words, may take to arrive."""
MAY_LOSE = 3
"""Workers that one job may lose; Dask's own bound for work that the client does not pin."""
GRACE_S = 1.0
"""Between a worker's word that a job took too long, and its end: time for the word to leave."""
LEAVING_S = 30.0
"""How long a worker that has given its word gets no job; later, its address is another's."""
GPU = "GPU"
"""The resource that a worker with a GPU declares: ``dask worker … --resources GPU=1``."""

INSTALL = "pip install 'benchsep[cluster]'"


# -- on a worker ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Order:
    """What a worker must know besides the job: where it belongs and under which settings."""

    root: Path
    folder: str
    """The client's working folder: relative paths in specs and data sets start there."""
    environ: dict[str, str]
    """The client's ``BENCHSEP_…`` variables."""
    version: str
    timeout: float | None
    topic: str


_one_at_a_time = threading.Lock()


def do_whole(job: Job, order: Order) -> Outcome:
    """Separate and score."""
    with _at_work(order):
        return run_job(job, loaded_track(job, order.root), Store(order.root))


def do_separation(job: Job, order: Order) -> dict[int, Separated]:
    """The first half of a parted job."""
    with _at_work(order):
        return separate_job(job, loaded_track(job, order.root), Store(order.root))


def do_scoring(job: Job, order: Order, separated: dict[int, Separated]) -> Outcome:
    """The second half."""
    with _at_work(order):
        return run_job(job, loaded_track(job, order.root), Store(order.root), separated)


@contextlib.contextmanager
def _at_work(order: Order) -> Iterator[None]:
    """Make this process the client's: settings, folder, one thread, and a limit of time."""
    with _one_at_a_time, _environment(order), one_thread(), _time_limit(order):
        if order.version != __version__:
            raise UsageError(
                f"a worker has benchsep {__version__}, the client {order.version}; "
                "install the same on all machines"
            )
        if not (order.root / "manifest.json").is_file():
            raise StoreError(
                f"a worker does not see the run folder {order.root}; it must lie on a file system "
                "that all machines share, under the same path"
            )
        yield


@contextlib.contextmanager
def _environment(order: Order) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in order.environ}
    os.environ.update(order.environ)
    here = Path(order.folder).is_dir()
    try:
        with contextlib.chdir(order.folder) if here else contextlib.nullcontext():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _time_limit(order: Order) -> Iterator[None]:
    """Tell the client when the time is over, then end this process."""
    if order.timeout is None:
        yield
        return
    from distributed import get_worker

    worker = get_worker()
    key = str(worker.get_current_task())
    done = threading.Event()

    def watch() -> None:
        if not done.wait(order.timeout):
            worker.log_event(order.topic, {"key": key, "worker": worker.address})
            if not done.wait(GRACE_S):
                os._exit(1)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()


# -- the client ----------------------------------------------------------------------------------


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

    def __enter__(self) -> Self:
        self._client = self._stack.enter_context(_connected(self.address, self._stack))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stack.close()

    def run(self, jobs: list[Job], root: Path) -> Iterator[Outcome | Job]:
        """See :class:`benchsep.runner.executors.select.Executor`; needs to be entered first."""
        order = Order(
            root=root.resolve(),
            folder=str(Path.cwd()),
            environ={k: v for k, v in os.environ.items() if k.startswith("BENCHSEP_")},
            version=__version__,
            timeout=self.timeout,
            topic=f"benchsep-{uuid4().hex}",
        )
        drive = _Drive(self._client, order)
        try:
            yield from drive.all_of(jobs)
        finally:
            drive.end()


def _connected(address: str, stack: contextlib.ExitStack) -> Any:
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise Unavailable(f"--cluster needs Dask: {INSTALL}") from error
    try:
        if address == "local" or address.startswith("local:"):
            workers = int(address.partition(":")[2] or os.cpu_count() or 1)
            # No limit of memory: Dask would kill a job that is merely large.
            local = distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address=None
            )
            return distributed.Client(stack.enter_context(local), set_as_default=False)
        if address.startswith("file:"):
            path = Path(address.removeprefix("file:")).expanduser()
            if not path.is_file():  # Dask would wait for it without end
                raise FileNotFoundError(f"no file {path}")
            return distributed.Client(scheduler_file=str(path), set_as_default=False)
        return distributed.Client(address, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise Unavailable(
            f"no Dask scheduler answers at {address} ({error or type(error).__name__}); start one "
            "with `dask scheduler` and workers with `dask worker`, or use --cluster local:4"
        ) from error


def _workers_of(client: Any) -> dict[str, bool]:
    """Whether each worker declares a GPU; raises where the scheduler does not answer.

    ``Client.scheduler_info`` would return an old or an empty list then.
    """
    scheduler: Any = import_module("distributed").Scheduler
    limited = "n_workers" in signature(scheduler.identity).parameters  # since 2025
    found = client.sync(client.scheduler.identity, **({"n_workers": -1} if limited else {}))
    return {a: bool(w.get("resources", {}).get(GPU)) for a, w in found["workers"].items()}


@dataclass(eq=False)
class _Chain:
    """Jobs on one track, the first of which is under way."""

    jobs: deque[Job]
    worker: str = ""
    futures: list[Any] = field(default_factory=list)
    """Of the separation, where the job is parted, and of the job."""
    lost: int = 0

    @property
    def job(self) -> Job:
        return self.jobs[0]


class _Drive:
    """One call of :meth:`Cluster.run`."""

    def __init__(self, client: Any, order: Order) -> None:
        self.client, self.order = client, order
        self.store = Store(order.root)
        self.waiting: deque[_Chain] = deque()
        self.active: list[_Chain] = []
        self.claimed: set[tuple[str, str]] = set()
        self.overdue: dict[str, str] = {}
        """Tasks that took too long, and their workers."""
        self.ending: dict[str, float] = {}
        """Workers that have said that they are about to end themselves, and when."""
        self.present: dict[str, bool] = {}
        """Addresses of workers, and whether they declare a GPU."""
        self.news = threading.Event()
        self.refreshed = time.monotonic()
        self.told = ""
        if order.timeout is not None:
            client.subscribe_topic(order.topic, self._note_overdue)

    def _note_overdue(self, event: Any) -> None:
        self.ending[event[1]["worker"]] = time.monotonic()
        self.overdue[event[1]["key"]] = event[1]["worker"]
        self.news.set()

    def all_of(self, jobs: list[Job]) -> Iterator[Outcome | Job]:
        gpu, rest = self._workers()
        chains = units_of(jobs, max(1, len(gpu) + len(rest)))
        self.waiting = deque(_Chain(deque(chain)) for chain in chains)
        while self.waiting or self.active:
            gpu, rest = self._workers()
            yield from self._take_back(gpu | rest)
            yield from self._give_out(gpu, rest)
            yield from self._hear()
            self._refresh()

    def end(self) -> None:
        """Leave nothing behind, however the run ended."""
        for chain in self.active:
            self._cancel(chain)
        for label, track in self.claimed:
            self.store.release(label, track)
        if self.order.timeout is not None:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.client.unsubscribe_topic(self.order.topic)

    # -- who is there ----------------------------------------------------------------------------

    def _workers(self) -> tuple[set[str], set[str]]:
        """Addresses of workers with a GPU and of those without, as last heard."""
        if self.client.status != "running":
            raise self._gone()
        # No answer from a busy scheduler says nothing of its workers: what was heard last holds.
        with contextlib.suppress(OSError, TimeoutError):
            self.present = _workers_of(self.client)
        free = {a: has_gpu for a, has_gpu in self.present.items() if not self._is_ending(a)}
        gpu = {address for address, has_gpu in free.items() if has_gpu}
        rest = set(free) - gpu
        self._tell(gpu, rest)
        return gpu, rest

    def _is_ending(self, address: str) -> bool:
        return time.monotonic() - self.ending.get(address, -math.inf) < LEAVING_S

    def _tell(self, gpu: set[str], rest: set[str]) -> None:
        """Say what is waited for, once."""
        missing = ""
        if not gpu and not rest:
            missing = "worker"
        elif not gpu and any(len(chain.futures) > 1 for chain in self.active):
            missing = "worker with a GPU"
        if missing and missing != self.told:
            print(f"benchsep: the cluster has no {missing}; waiting for one", file=sys.stderr)
        self.told = missing

    def _gone(self) -> Unavailable:
        where = self.client.scheduler.address if self.client.scheduler else "the cluster"
        return Unavailable(
            f"the connection to the scheduler at {where} is lost; what is stored is intact, run "
            "again to continue"
        )

    # -- giving out ------------------------------------------------------------------------------

    def _give_out(self, gpu: set[str], rest: set[str]) -> Iterator[Outcome | Job]:
        """A chain to each free worker that scores; two where others separate for it."""
        parted = bool(gpu and rest)
        for address in sorted(rest or gpu):
            busy = sum(chain.worker == address for chain in self.active)
            for _ in range((2 if parted else 1) - busy):
                if not self.waiting:
                    return
                yield from self._begin(self._chain_for(address), parted=parted)

    def _chain_for(self, address: str) -> _Chain:
        """The chain that the worker has had, else the first."""
        own = (chain for chain in self.waiting if chain.worker == address)
        chain = next(own, self.waiting[0])
        self.waiting.remove(chain)
        chain.worker = address
        return chain

    def _begin(self, chain: _Chain, *, parted: bool) -> Iterator[Outcome | Job]:
        """Start the chain's next job that nobody else is doing or has done meanwhile."""
        while chain.jobs:
            job = chain.job
            mine = (job.label, job.track.name)
            if mine in self.claimed or begin(job, self.store):
                self.claimed.add(mine)
                self._submit(chain, parted=parted and _needs_a_gpu(job))
                self.active.append(chain)
                return
            yield chain.jobs.popleft()

    def _submit(self, chain: _Chain, *, parted: bool) -> None:
        job, order = chain.job, self.order
        # A key of its own: two runs on one scheduler must not share a task.
        key = f"benchsep-{job.label}-{job.track.name}-{uuid4().hex}"
        where = {"workers": [chain.worker], "allow_other_workers": False}
        if parted:
            made = self.client.submit(
                do_separation, job, order, key=f"{key}-separate", resources={GPU: 1}
            )
            scored = self.client.submit(do_scoring, job, order, made, key=key, **where)
            chain.futures = [made, scored]
        else:
            chain.futures = [self.client.submit(do_whole, job, order, key=key, **where)]
        chain.futures[-1].add_done_callback(lambda _: self.news.set())

    # -- hearing ---------------------------------------------------------------------------------

    def _hear(self) -> Iterator[Outcome | Job]:
        """Wait a moment; pass on what is done and go on with its chain."""
        self.news.wait(POLL_S)
        self.news.clear()
        for chain in [c for c in self.active if c.futures[-1].done()]:
            yield from self._ended(chain)

    def _ended(self, chain: _Chain) -> Iterator[Outcome | Job]:
        future = chain.futures[-1]
        if future.status == "finished":
            try:
                outcome = future.result(timeout=ANSWER_S)
            except TimeoutError:  # its worker died with it; what it stored is found again
                self._cancel(chain)
            else:
                self._done(chain)
                yield outcome
        elif future.status == "error":
            yield from self._failed(chain, _why(future.exception()))
        else:
            raise self._gone()
        self._go_on(chain)

    def _go_on(self, chain: _Chain) -> None:
        """The rest of the chain, first in the queue: its worker has the track decoded."""
        self.active.remove(chain)
        if chain.jobs:
            self.waiting.appendleft(chain)

    def _done(self, chain: _Chain) -> None:
        job = chain.jobs.popleft()
        chain.lost, chain.futures = 0, []
        self.store.release(job.label, job.track.name)
        self.claimed.discard((job.label, job.track.name))

    def _failed(self, chain: _Chain, why: str) -> Iterator[Outcome]:
        """Record the chain's job as failed."""
        self._cancel(chain)
        outcome = run_job(chain.job, LoadedTrack(None, why), self.store)
        self._done(chain)
        yield outcome

    def _take_back(self, workers: set[str]) -> Iterator[Outcome]:
        """Jobs of workers that are gone, and jobs that took too long."""
        for chain in list(self.active):
            late = {self.overdue[f.key] for f in chain.futures if f.key in self.overdue}
            if late:
                if any(w in self.present and self._is_ending(w) for w in late):
                    continue  # until it has ended it might still finish the job, and write
                yield from self._failed(chain, f"took more than {self.order.timeout:g} s")
            elif chain.worker not in workers and not chain.futures[-1].done():
                chain.lost += 1
                self._cancel(chain)
                if chain.lost > MAY_LOSE:
                    yield from self._failed(chain, f"its worker died ({chain.lost} times)")
            else:
                continue
            self._go_on(chain)

    def _cancel(self, chain: _Chain) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            self.client.cancel(chain.futures, force=True)
        chain.futures = []

    def _refresh(self) -> None:
        if time.monotonic() - self.refreshed < REFRESH_S:
            return
        self.refreshed = time.monotonic()
        for label, track in self.claimed:
            self.store.refresh(label, track)


def _needs_a_gpu(job: Job) -> bool:
    return job.info.needs_accelerator


def _why(error: BaseException) -> str:
    """What to record of a job whose worker raised; raises what concerns the whole run."""
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
