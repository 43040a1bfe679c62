"""Converts statuses of old files: records of format 1, and baselines written from them.

They had one kind, ``unavailable``, for values that are undefined for the signals and for software
that is not installed. The texts of benchsep's own metrics show which; for plugins this is unknown,
and the values are computed once more.
"""

from __future__ import annotations

import re

from benchsep.metrics.status import Status

_OF_THE_SIGNALS = re.compile(
    r"no (mixture|onset)\b|logWMSE needs the mixture|\w+ is silent$|the reference is never silent"
    r"|the (system gives|track has) no\b"
)
"""Reasons of ``unavailable`` that are ``undefined`` today."""


def meaning(text: str) -> str:
    """The current text form of a status.

    Raises
    ------
    ValueError
        the text starts with no known kind.
    """
    if not text.startswith("unavailable"):
        return text
    status = Status.parse(text)
    return str(Status("undefined", status.reason)) if _OF_THE_SIGNALS.match(status.reason) else text
