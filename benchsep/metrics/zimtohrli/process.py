"""Runs the package ``zimtohrli`` in a separate process, so that a crash is harmless.

Conventions
-----------
request  two lengths as int64, then the two signals as float32, on the process's stdin
answer   one float64 on its stdout
end      the process ends when its stdin closes, so at the latest with its parent process
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float32]


class Worker:
    """Starts the process when needed, and restarts it after a crash."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def mos(self, reference: Signal, estimate: Signal) -> float | str:
        """The score of two signals ``[frames]`` at 48 kHz, or why there is none."""
        with self._lock:
            process = self._running()
            assert process.stdin is not None and process.stdout is not None
            try:
                _write(process.stdin, reference, estimate)
                answer = process.stdout.read(8)
            except OSError:
                answer = b""
            if len(answer) < 8:
                code = self._end(process)
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                return f"the package zimtohrli crashed ({how})"
        value = float(np.frombuffer(answer, np.float64)[0])
        return value if np.isfinite(value) else f"the package zimtohrli gave {value}"

    def close(self) -> None:
        """End the process; a later request starts another."""
        with self._lock:
            if self._process is not None and self._owner == os.getpid():
                self._end(self._process)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        self._process = None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):  # the rest of the data to a dead process
                    pipe.close()
        return process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        # a forked child must not share the pipe of its parent
        if self._process is not None and self._owner == os.getpid():
            if self._process.poll() is None:
                return self._process
            self._end(self._process)
        if self._process is None or self._owner != os.getpid():
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from {__name__} import serve; serve()"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._owner = os.getpid()
        return self._process


def _write(pipe: IO[bytes], *signals: Signal) -> None:
    pipe.write(np.array([len(s) for s in signals], np.int64).tobytes())
    for signal in signals:
        pipe.write(np.ascontiguousarray(signal, np.float32).tobytes())
    pipe.flush()


def serve() -> None:
    """Answer requests until stdin closes."""
    import zimtohrli

    model = zimtohrli.Pyohrli()
    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    while len(head := source.read(16)) == 16:
        signals = [
            np.frombuffer(source.read(4 * int(n)), np.float32)
            for n in np.frombuffer(head, np.int64)
        ]
        value = zimtohrli.mos_from_zimtohrli(model.distance(*signals))
        target.write(np.float64(value).tobytes())
        target.flush()
