"""A note on an unfinished run: songs may be missing or have older values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unfinished(manifest: Mapping[str, Any]) -> list[str]:
    """A sentence if the run that wrote the manifest is not finished."""
    if manifest.get("finished", True):
        return []
    return [
        "This run is not finished: songs may be missing, or have the values of an earlier run in "
        "the folder. To continue it, call `benchsep run` again with the same -o."
    ]
