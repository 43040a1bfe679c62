"""Messages for the user that are not results: progress, warnings, reasons for waiting."""

from __future__ import annotations

import sys


def notify(message: str) -> None:
    """Print one line on stderr, so that standard output holds results only."""
    print(f"benchsep: {message}", file=sys.stderr, flush=True)
