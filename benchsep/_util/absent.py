"""What this machine lacks, said in one form: ``package absent: …`` and ``weights absent: …``.

``benchsep list`` shows the first two words, ``benchsep doctor`` and the rows of a run the whole.
"""

from __future__ import annotations

PACKAGE, WEIGHTS = "package absent", "weights absent"


def package_absent(text: str) -> str:
    """``text`` says what the package is for, and the command that installs it."""
    return f"{PACKAGE}: {text}"


def weights_absent(text: str) -> str:
    """``text`` says which weights are looked for and where, and the command that fetches them."""
    return f"{WEIGHTS}: {text}"


def in_short(reason: str) -> str:
    """The first words of a reason, for a column; empty for an empty one."""
    kind = reason.partition(": ")[0]
    return kind if kind in (PACKAGE, WEIGHTS) else reason and "unavailable"
