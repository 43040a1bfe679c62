"""Temporary folders with the owner in their name, so that later processes can remove abandoned
ones.

A killed process removes nothing, and its watcher may be killed with it. The songs in its folder
would stay in the system's temporary folder forever.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchsep._util.atomic import is_orphaned, owner_name


@contextmanager
def work_folder(kind: str) -> Iterator[Path]:
    """Context with an empty folder ``benchsep-<kind>-<owner>-…``.

    Before, folders of the same kind and user whose process has ended are removed.
    """
    prefix = f"benchsep-{kind}-"
    _sweep(prefix)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{owner_name()}-") as folder:
        yield Path(folder)


def _sweep(prefix: str) -> None:
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as found:
        for entry in list(found):
            if entry.name.startswith(prefix) and _is_own_folder(entry):
                path = Path(entry.path)
                if is_orphaned(path):
                    shutil.rmtree(path, ignore_errors=True)


def _is_own_folder(entry: os.DirEntry[str]) -> bool:
    """Whether the entry is a folder of this user and not a link, so that it may be removed."""
    try:
        is_ours = (
            not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()
        )
        return is_ours and entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
