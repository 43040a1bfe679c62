"""Runs a program once and ends all processes that it started, even if this process is killed.

Conventions
-----------
session   a new one, without standard input: a signal from benchsep's terminal does not reach the
          program
output    standard output and error together; the beginning and the end of it are kept
ends      the program, its session, and all processes with its mark
          (:mod:`benchsep._util.processes`), daemons included. If this process adopts orphans (a
          worker does), also processes without the mark. If this process dies, the kernel ends the
          program, and a watcher process ends the rest
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import IO

from benchsep._util.processes import (
    children,
    end_marked,
    end_with_parent,
    new_mark,
    watcher,
)

OUTPUT_BYTES = 1 << 16
"""Most bytes of a program's output that are kept; the middle is left out."""
CHUNK = 1 << 16
DRAIN_S = 2.0


@dataclass(frozen=True)
class Ended:
    """How a program ended: ``code`` is its exit code, ``-N`` for signal N, ``None`` for a
    timeout.
    """

    code: int | None
    output: str


def run_program(words: list[str], folder: str, seconds: float) -> Ended:
    """Run a program to its end, for at most ``seconds``.

    If this process dies meanwhile, ``folder`` is removed.

    Raises
    ------
    OSError
        it cannot be started.
    """
    mark, before = new_mark(), children(os.getpid())
    output = _Output(OUTPUT_BYTES)
    with watcher(mark, folder) as guard:
        before.add(guard)
        process = _started(words, mark)
        assert process.stdout is not None
        reader = threading.Thread(target=output.read, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process, mark, before)
            reader.join(DRAIN_S)
    return Ended(code, output.text())


def _started(words: list[str], mark: str) -> subprocess.Popen[bytes]:
    me = os.getpid()
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, mark: "1"},
        preexec_fn=(lambda: end_with_parent(me)) if sys.platform == "linux" else None,
    )


def _end(process: subprocess.Popen[bytes], mark: str, before: set[int]) -> None:
    """Kill the program and all that it has started."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    end_marked(mark)
    while orphans := children(os.getpid()) - before:  # each round, what those have started
        for pid in orphans:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


class _Output:
    """The beginning and the end of what a program prints: at most ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.half, self.head, self.tail, self.total = limit // 2, b"", b"", 0

    def read(self, pipe: IO[bytes]) -> None:
        """Read to the end, so that the program never blocks on a full pipe."""
        with contextlib.suppress(OSError, ValueError), pipe:
            while data := os.read(pipe.fileno(), CHUNK):
                self.total += len(data)
                room = self.half - len(self.head)
                self.head += data[:room]
                self.tail = (self.tail + data[room:])[-self.half :]

    def text(self) -> str:
        """The kept bytes as text; a gap states how many bytes are left out."""
        gap = self.total - len(self.head) - len(self.tail)
        middle = f"\n… ({gap} bytes) …\n".encode() if gap else b""
        return (self.head + middle + self.tail).decode("utf-8", "replace")
