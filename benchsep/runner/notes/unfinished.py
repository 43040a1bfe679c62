"""Whether a run was stopped before its end: songs are missing, or still have older values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unfinished(manifest: Mapping[str, Any]) -> list[str]:
    """A sentence, if the run that wrote the manifest has not come to its end."""
    if manifest.get("finished", True):
        return []
    return [
        "This run is not finished: songs may be missing, or have the values of an earlier run in "
        "the folder. `benchsep run` again with the same -o continues it."
    ]
