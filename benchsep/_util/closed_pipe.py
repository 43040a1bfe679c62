"""``benchsep show RUN | head``: a reader that has gone is no error to print."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_if_nobody_reads() -> Iterator[None]:
    """Inside, a closed pipe ends the program with exit code 1 and without a message.

    Short output is written when the program ends: it is written here, or Python itself would print
    ``Exception ignored``.

    Raises
    ------
    SystemExit
        nobody reads the output.
    OSError
        the output cannot be written, to a full disk for instance.
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
        # what could not be written stays in the buffer: Python tries once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
