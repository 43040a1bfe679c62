"""Files of a separation that are read as a stem although their names say more.

A folder of estimates says it once (``SystemInfo.remark``). The files of a program are known only
when it has run, so a run collects their names with each separation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_noted: ContextVar[dict[str, str] | None] = ContextVar("names of estimates", default=None)


@contextmanager
def names_noted() -> Iterator[dict[str, str]]:
    """Inside, :func:`note_name` fills the dictionary: stem to the name of its file."""
    found: dict[str, str] = {}
    before = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(before)


def note_name(stem: str, name: str) -> None:
    """Record for :func:`names_noted` the name of the file that is read as a stem."""
    found = _noted.get()
    if found is not None:
        found[stem] = name
