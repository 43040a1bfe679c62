"""A worker process: its start and its main loop.

It is a new interpreter that imports benchsep but not the main program, so a notebook, or a script
without ``if __name__ == "__main__"``, is not run again in every worker.

Conventions
-----------
messages   to a worker: ``("describe", spec, device)``, ``("stamps", spec, device, tracks)``,
           ``("unit", jobs, root, owner)``, and, without an answer, ``("prepare",)`` and
           ``("load", spec, device)``. From a worker, always pairs: ``("answer", result)`` or
           ``("error", (kind, text))``. For a unit: ``("start", index)`` of a job,
           ``("done", outcome)``, ``("is done", index)`` if it was done already,
           ``("claimed", index)`` if another process does it,
           ``("free", spoilt)`` at the end, ``("spoilt", index)`` after a job that left the
           process unusable, ``("store error", (text, full))`` if results cannot be written: a full
           disk ends the run; otherwise perhaps only this process cannot write
session    its own, so Ctrl-C and the end of a terminal reach only the parent. If the parent dies,
           the kernel ends the worker
output     goes to standard error
claims     owned by the parent, which outlives its workers
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.util import _args_from_interpreter_flags  # type: ignore[attr-defined]
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep import errors
from benchsep._util.memory import keep_freed_memory
from benchsep._util.processes import adopt_orphans, end_with_parent
from benchsep.errors import BenchsepError, SeparatorError, StoreError
from benchsep.runner import failure
from benchsep.runner.done import begin, is_done
from benchsep.runner.execute import complete_job
from benchsep.runner.executors.base import Unit, one_thread
from benchsep.runner.loaded_system import describe, estimate_stamps
from benchsep.runner.loaded_track import LoadedTrack, load_track
from benchsep.runner.store import Store
from benchsep.systems import surroundings

if TYPE_CHECKING:
    from benchsep.runner.claims import Owner

ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}
"""The environment of a process that computes with one thread."""

BOOT = (
    "import sys; from multiprocessing.connection import Connection; "
    "pipe = Connection(int(sys.argv[1])); sys.path[:], parent = pipe.recv(); "
    "from benchsep.runner.executors.worker import serve; serve(pipe, parent)"
)


def start_worker(*marks: str) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a worker process with ``marks`` in its environment; returns it and the parent's pipe
    end.

    Raises
    ------
    OSError
        no process can be started.
    """
    ours, theirs = Pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, *_args_from_interpreter_flags(), "-P", "-c", BOOT,
             str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=2,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env={**os.environ, **ONE_THREAD, **dict.fromkeys(marks, "1")},
        )  # fmt: skip
    finally:
        # Only the child may hold its end; otherwise its death would not close the pipe.
        theirs.close()
    with contextlib.suppress(OSError):  # it has already died; the caller checks the process
        ours.send((sys.path, os.getpid()))
    return process, ours


# -- in a worker process ------------------------------------------------------------------------


def serve(pipe: Connection, parent: int) -> None:
    """The main loop of a worker: do orders until the parent closes the pipe or is gone."""
    end_with_parent(parent)
    keep_freed_memory()
    adopt_orphans()  # so that the daemons of a program are found: `benchsep.systems.program`
    signal.signal(signal.SIGINT, lambda *_: None)
    failure.interrupts_are_failures = True
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while _serve_one(pipe):
            pass
    sys.stderr.flush()
    os._exit(0)  # threads that a system left would block the normal exit


def _serve_one(pipe: Connection) -> bool:
    """Do one order; False: this process must not do another one."""
    try:
        order = pipe.recv()
    except (EOFError, OSError):
        return False
    except Exception as error:  # unpickling third-party objects may raise anything
        text = f"a job cannot be sent to a worker process ({error!r}); use --inline"
        pipe.send(("error", ("UsageError", text)))
        return False
    if order[0] == "unit":
        return _do(pipe, *order[1:])
    if order[0] == "prepare":
        import torch  # noqa: F401  # takes a second, during the parent's plan
    elif order[0] == "load":
        with contextlib.suppress(BenchsepError):  # its first job fails again and reports the reason
            describe(*order[1:], keep=True)
    else:
        pipe.send(_answer(*order))
    return not surroundings.spoilt


def _answer(what: str, *order: Any) -> tuple[str, Any]:
    ask: Callable[..., Any] = estimate_stamps if what == "stamps" else describe
    try:
        return "answer", ask(*order, keep=True)
    except BenchsepError as error:
        return "error", (type(error).__name__, str(error))


def as_error(kind: str, text: str) -> BenchsepError:
    """The error from a worker's description; an exception class of a plugin becomes a
    SeparatorError.
    """
    known = getattr(errors, kind, SeparatorError)
    return known(text) if issubclass(known, BenchsepError) else SeparatorError(text)


def _do(pipe: Connection, unit: Unit, root: Path, owner: Owner) -> bool:
    """Do a unit; False: this process must not do another one."""
    try:
        # Before this point, ONE_THREAD limits the threads, so that describing a system needs no
        # import of torch.
        with one_thread():
            store = Store(root, owner)
            whole = run_unit(unit, store, lambda kind, content: pipe.send((kind, content)))
    except StoreError as error:
        pipe.send(("store error", (str(error), _has_no_room(error))))
        return False
    if whole:
        pipe.send(("free", None))
    return whole


def _has_no_room(error: StoreError) -> bool:
    return getattr(error.__cause__, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def run_unit(unit: Unit, store: Store, notify: Callable[[str, object], None]) -> bool:
    """Do the jobs of a unit; ``notify`` gets the messages that the module lists.

    Returns False if a system left the process unusable for other jobs.
    """
    loaded: LoadedTrack | None = None
    for index, job in enumerate(unit):
        notify("start", index)
        if not begin(job, store):
            # The parent may decide otherwise, because a failed download is known in this process
            # only.
            notify("is done" if is_done(job, store) else "claimed", index)
            continue
        try:
            loaded = loaded or load_track(job.track)
            notify("done", complete_job(job, loaded, store))
        finally:
            store.claims.release(job.label, job.track.name)
        if surroundings.spoilt:
            notify("spoilt", index)
            return False
    return True
