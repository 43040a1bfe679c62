"""What a status of an old file means: records of format 1, baselines written from them.

They had one kind, ``unavailable``, for what the signals do not have and for what a machine lacks.
The texts of benchsep's own metrics tell which; those of plugins cannot be known and are asked for
once more.
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
    """The text form that a status has today.

    Raises
    ------
    ValueError
        the text starts with no known kind.
    """
    if not text.startswith("unavailable"):
        return text
    status = Status.parse(text)
    return str(Status("undefined", status.reason)) if _OF_THE_SIGNALS.match(status.reason) else text
