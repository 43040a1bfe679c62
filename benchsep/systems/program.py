"""One call of a program, which leaves no process behind, however it or this process ends.

Conventions
-----------
session   of its own, without input: a signal for benchsep's terminal does not reach half of it
output    standard output and error together; the beginning and the end of it are kept
ends      the program with its session, and whatever carries its mark
          (:mod:`benchsep._util.processes`): daemons, too. Where this process adopts orphans (a
          worker does), also what has dropped the mark. If this process dies, the kernel ends the
          program and a watcher the rest
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
"""Of what a program prints; the middle is left out."""
CHUNK = 1 << 16
DRAIN_S = 2.0


@dataclass(frozen=True)
class Ended:
    """How a program ended: ``code`` is negative for a signal and ``None`` if it took too long."""

    code: int | None
    output: str


def run_program(words: list[str], folder: str, seconds: float) -> Ended:
    """Run a program to its end, or for ``seconds``.

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
        """Read to the end, so that the program never waits for room."""
        with contextlib.suppress(OSError, ValueError), pipe:
            while data := os.read(pipe.fileno(), CHUNK):
                self.total += len(data)
                room = self.half - len(self.head)
                self.head += data[:room]
                self.tail = (self.tail + data[room:])[-self.half :]

    def text(self) -> str:
        """What was kept; a gap says how much was not."""
        gap = self.total - len(self.head) - len(self.tail)
        middle = f"\n… ({gap} bytes) …\n".encode() if gap else b""
        return (self.head + middle + self.tail).decode("utf-8", "replace")
