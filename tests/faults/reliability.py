"""Writes ``reports/reliability.md`` from what the long campaign measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_report(figures: dict[str, dict[str, Any]], path: Path, *, passed: bool) -> None:
    path.write_text(repr(figures) + str(passed))
