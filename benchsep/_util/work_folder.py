"""Temporary folders with their owner's name, so that a later process removes those of the dead.

A process that is killed removes nothing, and who watches it may be killed with it. The songs in
such a folder would stay in the system's temporary folder for ever.
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
    """An empty folder ``benchsep-<kind>-<owner>-…`` while the ``with`` lasts.

    Before it is made, folders of this kind and user whose process is gone are removed.
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
    """Whether it is a folder of this user and no link: what others put there is not ours."""
    try:
        is_ours = (
            not hasattr(os, "getuid") or entry.stat(follow_symlinks=False).st_uid == os.getuid()
        )
        return is_ours and entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
