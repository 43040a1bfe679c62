"""A track: a mixture and its true stems, loaded when asked for.

Conventions
-----------
name      unique within its dataset; any Unicode, never used as a path without escaping
edition   which encoding of the data this is: ``hq``, ``aac``, ``aac-7s``, ``folder``, ``clip``,
          ``moisesdb``, ``mixtures``. A table never mixes scores of different editions
mixture   ``file`` (decoded from its own file) or ``sum`` (the sum of the stems); the manifest
          records it
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
    """All files that the track is read from; if size or time of one changes, the track is read
    again. Empty: each plan loads the track and compares its audio."""
    stems: tuple[str, ...] = STEMS
    """The stems that have a true reference."""
    offers: tuple[str, ...] = ()
    """All stems that :meth:`load_offered` returns, of any stem set; empty: the same as
    ``stems``."""
    absent: tuple[str, ...] = ()
    """Stems that are known to be absent from the song."""
    offered_loader: Callable[[], TrackAudio] | None = field(default=None, repr=False, compare=False)
    """Returns the audio of all stems of ``offers``; ``None``: ``loader`` is used."""

    def load(self) -> TrackAudio:
        return self.loader()

    def load_offered(self) -> TrackAudio:
        """The audio with all stems of :attr:`offers`, from which references of other stem sets are
        made. Raises as :meth:`load` does.
        """
        return (self.offered_loader or self.loader)()


def name_of(path: Path) -> str:
    r"""A file's or folder's name as text; bytes that are not UTF-8 are written out (``\xff``)."""
    return os.fsencode(path.name).decode("utf-8", "backslashreplace")


class Dataset(Protocol):
    """The contract of an entry point in ``benchsep.datasets``.

    An entry point is a factory. It is called as ``factory(root=…, split=…, text=…)``; ``text`` is
    the part of the spec after the colon (``folder:PATH``). A factory takes the arguments that it
    needs; the others are an error for the user.
    """

    name: str
    edition: Edition
    notes: tuple[str, ...]
    """Facts that a reader of the tables needs: ``rounded to 16 bit``, ``mixture = sum of
    stems``."""

    def tracks(self) -> list[Track]: ...
