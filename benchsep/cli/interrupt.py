"""A clean end of a run after Ctrl-C, a closed terminal or ``kill``: workers end, claims are
released.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal asked the program to end; ``code`` is its exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


class _Asked(KeyboardInterrupt):
    """Not an ``Exception``, so that no handler treats it as a failure of a job."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Context in which the first signal ends the running code; later signals wait until it has
    ended.

    Raises
    ------
    Interrupted
        a signal arrived.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise _Asked(number)

    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:  # `nohup` ignores this signal
            signal.signal(number, end)
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(getattr(error, "number", signal.SIGINT)) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
