"""Paths as a caller of the library gives them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchsep.errors import UsageError


def as_path(given: Any, what: str) -> Path:
    """The path that was given as ``what``.

    Raises
    ------
    UsageError
        no text and no ``Path``; an empty one, which would be the working folder; one with a zero
        byte, which no file system has.
    """
    if not isinstance(given, str | os.PathLike):
        raise UsageError(f"{what} is {type(given).__name__}, expected a path (a text or a Path)")
    text = os.fspath(given)
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{what} is {text!r}, expected a path; '.' is the working folder")
    return Path(text)
