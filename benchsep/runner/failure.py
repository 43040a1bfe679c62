"""The reason of a failed job, for any exception of third-party code."""

from __future__ import annotations

from benchsep._util.reason import reason_of

interrupts_are_failures = False
"""Whether a KeyboardInterrupt comes from a system: True in worker processes, because a terminal
does not interrupt these."""


def failure(error: BaseException) -> str:
    """The reason of a failed job; third-party code may raise anything, including ``SystemExit``.

    Raises
    ------
    KeyboardInterrupt
        the user interrupted.
    """
    if isinstance(error, KeyboardInterrupt) and not interrupts_are_failures:
        raise error
    return reason_of(error)
