"""Words of messages that depend on a number."""

from __future__ import annotations


def amount(count: int, noun: str) -> str:
    """``1 cell``, ``3 cells``; nouns whose plural adds an s."""
    return f"{count} {noun}{'s' * (count != 1)}"


def amount_is(count: int, noun: str) -> str:
    """``1 cell is``, ``3 cells are``."""
    return f"{amount(count, noun)} {'is' if count == 1 else 'are'}"
