"""The reason of a failed job, whatever foreign code has raised."""

from __future__ import annotations

from benchsep._util.reason import reason_of

interrupts_are_failures = False
"""Whether a KeyboardInterrupt is one of a system's: true in worker processes, which no terminal
interrupts."""


def failure(error: BaseException) -> str:
    """The reason of a failed job; foreign code may raise anything, ``SystemExit`` included.

    Raises
    ------
    KeyboardInterrupt
        it is one of the user.
    """
    if isinstance(error, KeyboardInterrupt) and not interrupts_are_failures:
        raise error
    return reason_of(error)
