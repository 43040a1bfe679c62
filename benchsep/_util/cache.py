"""The folder for downloads of benchsep and its user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """``BENCHSEP_CACHE``, else ``benchsep`` in the user's cache (``XDG_CACHE_HOME``)."""
    if own := os.environ.get("BENCHSEP_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "benchsep"
