"""A worker process: what runs in it, and how it is started.

It is a fresh interpreter that imports benchsep and nothing of the program that started it: a script
without ``if __name__ == "__main__"`` or a notebook is not run again in every worker.

Conventions
-----------
messages   to a worker: ``("describe", spec, device)``, ``("stamps", spec, device, tracks)``,
           ``("unit", jobs, root, owner)``, and without an answer ``("prepare",)`` and
           ``("load", spec, device)``. From it, each a pair: ``("answer", what was asked for)``
           or ``("error", (kind, text))``; of a unit ``("start", index)`` of a job in it,
           ``("done", outcome)``, ``("is done", index)`` of one that was done already, ``("claimed",
           index)`` of one that another process does, ``("free", spoilt)`` at its end;
           ``("spoilt", index)`` after a job that left a process in which nothing else should run;
           ``("store error", (text, full))`` where results cannot be written: a disk without room
           ends the run; else it may be this process alone that cannot write
session    of its own: Ctrl-C and a terminal that hangs up reach the parent alone. When the parent
           dies in whatever way, the kernel ends the worker
output     goes to standard error
claims     in the name of the parent, which outlives its workers
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
    """A worker process that carries ``marks``, and the parent's end of its pipe.

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
        # Only the child may hold its end: else its death would not close the pipe.
        theirs.close()
    with contextlib.suppress(OSError):  # it is dead already, as whoever looks at the process sees
        ours.send((sys.path, os.getpid()))
    return process, ours


# -- in a worker process ------------------------------------------------------------------------


def serve(pipe: Connection, parent: int) -> None:
    """A worker's life: answer and do units until the parent closes the pipe or is gone."""
    end_with_parent(parent)
    keep_freed_memory()
    adopt_orphans()  # so that the daemons of a program are found: `benchsep.systems.program`
    signal.signal(signal.SIGINT, lambda *_: None)
    failure.interrupts_are_failures = True
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while _serve_one(pipe):
            pass
    sys.stderr.flush()
    os._exit(0)  # threads that a system has left would hold the process up


def _serve_one(pipe: Connection) -> bool:
    """Do one order; False if this process should do no other."""
    try:
        order = pipe.recv()
    except (EOFError, OSError):
        return False
    except Exception as error:  # whatever unpickling foreign objects raises
        text = f"a job cannot be sent to a worker process ({error!r}); use --inline"
        pipe.send(("error", ("UsageError", text)))
        return False
    if order[0] == "unit":
        return _do(pipe, *order[1:])
    if order[0] == "prepare":
        import torch  # noqa: F401  # takes a second: while the parent makes the plan
    elif order[0] == "load":
        with contextlib.suppress(BenchsepError):  # its first job fails again, and says why
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
    """The error that a worker described; one of a plugin's own kinds as a SeparatorError."""
    known = getattr(errors, kind, SeparatorError)
    return known(text) if issubclass(known, BenchsepError) else SeparatorError(text)


def _do(pipe: Connection, unit: Unit, root: Path, owner: Owner) -> bool:
    """Do a unit; False if this process should do nothing after it."""
    try:
        # ONE_THREAD holds for what is loaded before: to describe a system needs no import of torch.
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

    Returns False if a system left the process in a state in which nothing else should run.
    """
    loaded: LoadedTrack | None = None
    for index, job in enumerate(unit):
        notify("start", index)
        if not begin(job, store):
            # The parent may see it otherwise: a download that failed is known in this process only.
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
