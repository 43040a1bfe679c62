"""Folders that a command will write to, looked at before the work begins."""

from __future__ import annotations

import os
from pathlib import Path

from tokensep.errors import UsageError


def check_output(folder: Path, option: str) -> Path:
    """``folder``, which is there or can be made. Nothing is made yet.

    Raises
    ------
    UsageError
        It is a file, lies below one, or nothing can be written there.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"{option} {folder}: {place} is a file; give a folder, or one to be made")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(
            f"{option} {folder}: nothing can be written in {place}; fix its permissions, or give "
            "another folder"
        )
    return folder
