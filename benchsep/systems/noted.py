"""Notes on the stems of one separation, from the code that reads them to the run that asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar

Note = TypeVar("Note")


class Noted(Generic[Note]):
    """One kind of note: stem to its note."""

    def __init__(self, name: str) -> None:
        self._found: ContextVar[dict[str, Note] | None] = ContextVar(name, default=None)

    @contextmanager
    def collected(self) -> Iterator[dict[str, Note]]:
        """Inside, :attr:`current` is this dictionary."""
        found: dict[str, Note] = {}
        before = self._found.set(found)
        try:
            yield found
        finally:
            self._found.reset(before)

    @property
    def current(self) -> dict[str, Note] | None:
        """The notes of the separation under way; ``None`` if nobody collects them."""
        return self._found.get()
