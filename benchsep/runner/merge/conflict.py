"""What two runs say differently of one thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "edition", "stem set", "request", "file", "data", "system", "metric", "estimates", "value"
]


@dataclass(frozen=True)
class Conflict:
    """One reason why runs cannot be merged."""

    kind: Kind
    subject: str
    """Of what: a song, a system, a metric, a cell."""
    found: str
    """What each run says of it."""


def disagreement(kind: Kind, subject: str, said: Iterable[tuple[str, str]]) -> list[Conflict]:
    """A conflict if the runs say different things; runs that say the same stand together.

    ``said``: name of a run, and what it says.
    """
    runs: dict[str, list[str]] = {}
    for run, text in said:
        names = runs.setdefault(text, [])
        if run not in names:
            names.append(run)
    if len(runs) < 2:
        return []
    return [
        Conflict(
            kind, subject, "; ".join(f"{', '.join(who)}: {text}" for text, who in runs.items())
        )
    ]
