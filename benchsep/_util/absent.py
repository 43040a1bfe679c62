"""Reasons for missing software in one form: ``package absent: …`` and ``weights absent: …``.

``benchsep list`` shows the first two words, ``benchsep doctor`` and the rows of a run the whole
text.
"""

from __future__ import annotations

PACKAGE, WEIGHTS = "package absent", "weights absent"


def package_absent(text: str) -> str:
    """The reason for a missing package. ``text``: its purpose, and the command that installs it."""
    return f"{PACKAGE}: {text}"


def weights_absent(text: str) -> str:
    """The reason for missing weights. ``text``: which weights, where, and the command that fetches
    them.
    """
    return f"{WEIGHTS}: {text}"


def in_short(reason: str) -> str:
    """The first words of a reason, for a column; empty if the reason is empty."""
    kind = reason.partition(": ")[0]
    return kind if kind in (PACKAGE, WEIGHTS) else reason and "unavailable"
