"""Checks paths that callers of the library pass."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchsep.errors import UsageError


def as_path(given: Any, what: str) -> Path:
    """``given`` as a path; ``what`` is its name in messages.

    Raises
    ------
    UsageError
        it is neither a text nor a ``Path``, is empty (which would mean the working folder), or
        contains a zero byte.
    """
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"{what} is {type(given).__name__}, expected a path (a text or a Path)")
    text = os.fspath(given)
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{what} is {text!r}, expected a path; '.' is the working folder")
    return Path(text)
