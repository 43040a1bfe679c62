"""A conflict: different statements of two runs on the same thing."""

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
    """The song, system, metric or cell in question."""
    found: str
    """The statement of each run."""


def disagreement(kind: Kind, subject: str, said: Iterable[tuple[str, str]]) -> list[Conflict]:
    """A conflict if the statements differ; runs with the same statement are grouped.

    ``said``: pairs of a run's name and its statement.
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
