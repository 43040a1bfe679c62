"""Writes the listening page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def write_site(run: Any, songs: Sequence[Any], out: Path) -> list[Path]:
    """Not written yet."""
    return []
