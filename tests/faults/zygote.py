"""A process that has imported everything and forks: a run that is killed costs its own time only.

Importing torch and pandas takes two seconds, so a hundred real process starts would spend their
time where nothing is written. Here each request is a fork of a process that has imported
everything and computed nothing; what runs in it is the program's own ``main``.

Protocol: one JSON object a line on stdin, one a line on stdout.

request   ``argv`` (first word ``benchsep`` or ``tokensep``, or ``train`` with a folder),
          ``log`` (path: what it prints), and optionally
          ``kill_after`` (seconds: then kill -9),
          ``kill_at`` ([folder, n, how]: die at the n-th file operation below ``folder``),
          ``count`` (folder: report the number of operations), ``file_size`` (RLIMIT_FSIZE, bytes)
reply     ``code`` (negative: the signal), ``seconds``, ``operations``

Dying at a file operation
-------------------------
``before``  kill -9 just before the operation
``empty``   as if killed after opening a file and before writing to it: it is there, empty if
            opening empties it
``torn``    as if killed half-way through writing: of what was written to the file opened last, half
            is gone (what stood there before something was appended stays)
Python's audit events see each open-for-writing, rename, unlink, mkdir and rmdir.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


class Operations:
    """Counts file operations below a folder and dies at one of them."""

    def __init__(self, folder: str, at: int, how: str, counter: int | None) -> None:
        self.folder, self.at, self.how, self.counter = folder, at, how, counter
        self.seen, self.last, self.kept = 0, "", 0
        self.pid = os.getpid()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or os.getpid() != self.pid:
            return
        path = self._path(event, arguments)
        if not path.startswith(self.folder):
            return
        self.seen += 1
        if self.counter is not None:
            os.pwrite(self.counter, str(self.seen).encode(), 0)
        if self.seen == self.at:
            emptied = os.O_TRUNC if event == "open" and arguments[2] & os.O_TRUNC else 0
            self._die(event, path, emptied)
        if event == "open":
            self.last = path
            self.kept = _size(path) if arguments[2] & os.O_APPEND else 0

    @staticmethod
    def _path(event: str, arguments: tuple[Any, ...]) -> str:
        path = arguments[0]
        if event == "open":
            flags = arguments[2] or 0
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return ""
        return os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""

    def _die(self, event: str, path: str, emptied: int) -> None:
        self.at = -1
        if self.how == "empty" and event == "open":
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | emptied, 0o644))
        if self.how == "torn" and self.last and os.path.exists(self.last):  # noqa: PTH110
            os.truncate(self.last, self.kept + (_size(self.last) - self.kept) // 2)
        os.kill(os.getpid(), signal.SIGKILL)


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0  # noqa: PTH110, PTH202


def serve() -> None:
    """Answer requests until stdin ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    counter = Path(request["log"] + ".count")
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(request, counter)
    if (delay := request.get("kill_after")) is not None:
        signal.sigtimedwait({signal.SIGCHLD}, delay)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    signal.sigtimedwait({signal.SIGCHLD}, 0)
    text = counter.read_text() if counter.exists() else ""
    return {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - began,
        "operations": int(text or 0),
    }


def _child(request: dict[str, Any], counter: Path) -> None:
    code = 99
    try:
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        if size := request.get("file_size"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        _watch(request, counter)
        sys.argv = list(request["argv"])
        _program(sys.argv[0])()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(request: dict[str, Any], counter: Path) -> None:
    kill_at, count = request.get("kill_at"), request.get("count")
    if kill_at:
        sys.addaudithook(Operations(*kill_at, None))
    elif count:
        handle = os.open(counter, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        sys.addaudithook(Operations(count, -1, "before", handle))


def _program(name: str) -> Any:
    if name == "train":
        from tests.faults.training import main as program
    elif name == "tokensep":
        from tokensep.cli import main as program
    else:
        from benchsep.cli.app import main as program
    return program


MODULES = """
PIL.Image benchsep.cli.app benchsep.datasets.folder benchsep.imported.museval
benchsep.report.tables.build benchsep.report.write benchsep.runner.cost benchsep.runner.frame
benchsep.runner.run benchsep.runner.score
benchsep_baselines.mixture benchsep_baselines.oracles jinja2 matplotlib.pyplot numba pandas
rich.progress scipy.signal soundfile soxr tests.faults.training tokensep.cli
tokensep.integration.system tokensep.integration.teachers tokensep.train.lm
tokensep.train.pseudo_labels torch._dynamo torch.utils.tensorboard
"""
"""With what they import at their first call: ``torch._dynamo`` takes five times as long as a
training."""


def _import_everything() -> None:
    for name in MODULES.split():
        importlib.import_module(name)
    from benchsep.metrics.catalog import get_metric

    for name in ("usdr", "sisdr", "lsd"):
        get_metric(name)


if __name__ == "__main__":
    _import_everything()
    serve()
