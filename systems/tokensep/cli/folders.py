"""Checks output folders before the work begins."""

from __future__ import annotations

import os
from pathlib import Path

from tokensep.errors import UsageError


def check_output(folder: Path, option: str) -> Path:
    """``folder``, if it exists or can be created. It is not created yet.

    Raises
    ------
    UsageError
        It is a file, is below a file, or is not writable.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{option} {folder}: {place} is a file; give an existing or a new folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(
            f"{option} {folder}: {place} is not writable; fix its permissions, or give another "
            "folder"
        )
    return folder
