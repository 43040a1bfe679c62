"""Import librosa without breaking its compiled code.

librosa compiles NumPy ufuncs when it is imported and keeps them on disk, in numba's cache. That
cache is not made for two writers: when two processes import librosa for the first time at once, it
can keep the function of one and the wrapper of the other, and ``librosa.util.peak_pick`` then ends
every process of that installation with a segmentation fault. Workers of a run do start together, so
the import is done here, one process at a time.
"""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType


@lru_cache(maxsize=1)
def import_librosa() -> ModuleType:
    """``librosa`` with its ufuncs compiled; other processes of this user wait meanwhile."""
    from filelock import FileLock

    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    with FileLock(Path(tempfile.gettempdir()) / f"benchsep-librosa-{user}.lock"):
        import librosa
        import librosa.util.utils  # where the ufuncs are; librosa itself loads it on first use
    return librosa
