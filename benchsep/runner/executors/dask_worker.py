"""Code that runs on the workers of a Dask cluster: jobs or stages of jobs, with the client's
settings.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchsep._util.version import __version__
from benchsep.errors import StoreError, UsageError
from benchsep.runner.execute import complete_job, separate_job
from benchsep.runner.executors.base import loaded_track, one_thread
from benchsep.runner.job import Job, Outcome
from benchsep.runner.separation import DrawResult
from benchsep.runner.store import Store

GRACE_S = 1.0
"""Seconds between the report of a timeout and the end of the process, so that the report can be
sent."""


@dataclass(frozen=True)
class Order:
    """Information for a worker in addition to the job: the run folder and the client's settings."""

    root: Path
    folder: str
    """The client's working folder; relative paths in specs and data sets refer to it."""
    environ: dict[str, str]
    """The client's ``BENCHSEP_…`` variables."""
    version: str
    timeout: float | None
    """Seconds that a task may take."""
    topic: str
    """The topic of Dask's events on which a worker reports a timeout."""


_one_at_a_time = threading.Lock()


def run_full_job(job: Job, order: Order) -> Outcome:
    """Separate and score."""
    with _as_client(order):
        return complete_job(job, loaded_track(job, order.root), Store(order.root))


def run_separation(job: Job, order: Order) -> dict[int, DrawResult]:
    """The first stage of a split job."""
    with _as_client(order):
        return separate_job(job, loaded_track(job, order.root), Store(order.root))


def run_scoring(job: Job, order: Order, separated: dict[int, DrawResult]) -> Outcome:
    """The second stage of a split job."""
    with _as_client(order):
        return complete_job(job, loaded_track(job, order.root), Store(order.root), separated)


@contextlib.contextmanager
def _as_client(order: Order) -> Iterator[None]:
    """Context with the client's settings and working folder, one thread, and a time limit.

    Raises
    ------
    UsageError
        the versions of benchsep on this machine and on the client differ.
    StoreError
        this machine does not see the run folder.
    """
    with _one_at_a_time, _environment(order), one_thread(), _time_limit(order):
        if order.version != __version__:
            raise UsageError(
                f"a worker has benchsep {__version__}, the client {order.version}; "
                "install the same on all machines"
            )
        if not (order.root / "manifest.json").is_file():
            raise StoreError(
                f"a worker does not see the run folder {order.root}; it must be on a file system "
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
    """Context that reports a timeout to the client and then ends this process.

    A thread cannot be stopped from outside, so the process ends; Dask's nanny replaces it.
    """
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
