"""A closed pipe (``benchsep show RUN | head``) ends the program without an error message."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_if_nobody_reads() -> Iterator[None]:
    """Context in which a closed pipe ends the program with exit code 1 and without a message.

    Short output is only written at the end of the program. It is flushed here, because otherwise
    Python would print ``Exception ignored``.

    Raises
    ------
    SystemExit
        the pipe is closed.
    OSError
        the output cannot be written, for example to a full disk.
    """
    try:
        try:
            yield
        finally:
            _flush()
    except BrokenPipeError:
        raise SystemExit(1) from None


def _flush() -> None:
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except OSError:
        # unwritten output stays in the buffer, and Python would try again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
