"""Files of a separation that are read as a stem although their names say more.

A folder of estimates says it once (``SystemInfo.remark``). The files of a program are known only
when it has run, so a run collects their names with each separation.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from benchsep.systems.noted import Noted

_noted = Noted[str]("names of estimates")


def names_noted() -> AbstractContextManager[dict[str, str]]:
    """Inside, :func:`note_name` fills the dictionary: stem to the name of its file."""
    return _noted.collected()


def note_name(stem: str, name: str) -> None:
    """Record for :func:`names_noted` the name of the file that is read as a stem."""
    if _noted.current is not None:
        _noted.current[stem] = name
