"""A track: a mixture and its true stems, loaded when asked for.

Conventions
-----------
name      unique within its dataset; any Unicode, never used as a path without escaping
edition   which encoding of the data this is: ``hq``, ``aac``, ``aac-7s``, ``folder``, ``clip``,
          ``moisesdb``, ``mixtures``. Scores of different editions never share a table.
mixture   ``file`` (decoded from its own file) or ``sum`` (the sum of the stems): a recorded choice
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from benchsep.audio import STEMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchsep.audio import Audio

Edition = Literal["hq", "aac", "aac-7s", "folder", "clip", "moisesdb", "mixtures"]


@dataclass(frozen=True)
class TrackAudio:
    """All audio of a track: same rate and length throughout.

    Raises (when built by a dataset)
    ------
    DatasetError
        missing stem, rate or length mismatch, truncated or corrupt file; the track is named.
    """

    mixture: Audio
    stems: dict[str, Audio]
    mixture_source: Literal["file", "sum"]


@dataclass(frozen=True)
class Track:
    """One song of a dataset. ``load()`` decodes; nothing is cached here."""

    name: str
    split: str
    edition: Edition
    loader: Callable[[], TrackAudio] = field(repr=False, compare=False)
    paths: tuple[str, ...] = ()
    """Files behind the track; may be empty."""
    stems: tuple[str, ...] = STEMS
    """The stems that have a true reference."""
    offers: tuple[str, ...] = ()
    """All stems that :meth:`load_offered` gives, of whatever set; empty: as ``stems``."""
    absent: tuple[str, ...] = ()
    """Stems that are known not to sound in the song."""
    offered_loader: Callable[[], TrackAudio] | None = field(default=None, repr=False, compare=False)
    """``None``: as ``loader``."""

    def load(self) -> TrackAudio:
        return self.loader()

    def load_offered(self) -> TrackAudio:
        """The audio with all stems that the data set has, for the references of another set."""
        return (self.offered_loader or self.loader)()


def name_of(path: Path) -> str:
    r"""A file's or folder's name as text; bytes that are not UTF-8 are written out (``\xff``)."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


class Dataset(Protocol):
    """The contract of an entry point in ``benchsep.datasets``.

    Factories are called as ``factory(root=…, split=…, text=…)`` where ``text`` is what
    followed the colon (``folder:PATH``); each takes what it needs and refuses the rest.
    """

    name: str
    edition: Edition
    notes: tuple[str, ...]
    """Facts a reader of the table must know: ``rounded to 16 bit``, ``mixture = sum of stems``."""

    def tracks(self) -> list[Track]: ...
