"""Which files of a folder hold the stems of a track; one finder for every reader.

Conventions
-----------
names      compared in NFC and without case (:func:`same_name`): macOS stores NFD, Windows and
           macOS ignore case
junk       what a NAS, macOS or Windows leaves in a folder (``@eaDir``, ``._x.wav``, ...) is never a
           track, a stem or a result (:func:`is_junk`)
patterns   of a stem file of a track, with ``<stem>`` in any spelling that
           :mod:`benchsep.stems.names` knows:

           ===============================  ======================================
           ``<stem>.wav``                   musdb, demucs, spleeter, MSST
           ``<track>_<stem>.wav``           MSST, UVR; also ``-``, space, ``.`` as separator
           ``<track>_(<stem>)_<model>.wav`` audio-separator, UVR
           ===============================  ======================================
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from benchsep.errors import AudioError
from benchsep.stems.names import canonical, is_known

SUFFIXES = (".wav", ".flac", ".aiff", ".aif", ".w64", ".caf", ".mp3", ".m4a", ".ogg", ".opus")
"""Audio files, best first: where one stem exists in several formats, the first one is read."""

JUNK = {
    "@eadir",
    "__macosx",
    "$recycle.bin",
    "system volume information",
    "#recycle",
    "@recycle",
    "#snapshot",
    ".@__thumb",
    "lost+found",
    ".trashes",
    ".spotlight-v100",
    ".fseventsd",
    ".git",
    ".cache",
    ".ipynb_checkpoints",
}


def is_junk(path: Path | str) -> bool:
    """Whether an entry was left by a file system, an operating system or a killed writer.

    A name that merely begins with a dot may be a song's.
    """
    return _is_junk_name(Path(path).name)


def _is_junk_name(name: str) -> bool:
    name = name.casefold()
    return name.startswith("._") or name in JUNK or (name[:1] == "." and ".partial" in name)


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name, without junk; empty where it is no folder."""
    return [folder / entry.name for entry in _sorted_entries(folder)]


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    """As :func:`entries`. A large data set has thousands of folders: no path is made of a name
    before somebody wants it.
    """
    try:
        with os.scandir(folder) as found:
            return sorted((e for e in found if not _is_junk_name(e.name)), key=lambda e: e.name)
    except (OSError, ValueError):
        if folder.is_dir():
            raise
        return []


def folders(folder: Path) -> list[Path]:
    """The sub-folders of a folder, sorted, without junk."""
    # A link may be broken or lead to itself, which the entry's own method does not forgive.
    return [
        folder / e.name
        for e in _sorted_entries(folder)
        if (e.is_dir() if not e.is_symlink() else (folder / e.name).is_dir())
    ]


def audio_files(folder: Path) -> list[Path]:
    """The audio files directly in a folder, sorted, without junk."""
    return [
        folder / e.name
        for e in _sorted_entries(folder)
        if e.name.casefold().endswith(SUFFIXES)
        and e.name.rfind(".") > 0  # ``.wav`` alone is a name without a suffix
        and (e.is_file() if not e.is_symlink() else (folder / e.name).is_file())
    ]


def folded(name: str) -> str:
    """The form in which names are compared: NFC, case folded, single spaces, no space at the ends.

    A separator of words is kept: ``a_b`` and ``a b`` are two tracks.
    """
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def same_name(one: str, other: str) -> bool:
    """Whether two names look the same to a person."""
    return folded(one) == folded(other)


def matching(name: str, candidates: Iterable[Path]) -> Path | None:
    """The entry with this name: the one of equal spelling, else the only one that looks the same.

    Raises
    ------
    AudioError
        if two entries look the same and neither has the exact spelling.
    """
    alike = [p for p in candidates if same_name(p.name, name)]
    exact = [p for p in alike if p.name == name]
    if len(alike) > 1 and not exact:
        raise AudioError(
            f"{alike[0].parent}: {alike[0].name!r} and {alike[1].name!r} both look like {name!r}; "
            "rename one of them"
        )
    return next(iter(exact or alike), None)


def stem_name(file: Path, track: str | None = None) -> str | None:
    """The stem name in a file's name, as the file spells it, or ``None``.

    ``track``: the name before the stem has to be this track's; ``None`` accepts any.
    """
    return _stem_in(file.name, track)


@lru_cache(maxsize=4096)  # a large folder repeats a few names thousands of times
def _stem_in(file_name: str, track: str | None) -> str | None:
    base = _base(file_name)
    if is_known(base):
        return base
    # audio-separator writes the stem in brackets, the model's name follows.
    for match in reversed(list(re.finditer(r"[ _.-]*\(([^()]+)\)", base))):
        if is_known(match[1]) and _is_track(base[: match.start()], track):
            return match[1]
    return next(
        (
            base[cut + 1 :].strip(" _.-")
            for cut in (m.start() for m in re.finditer(r"[ _.-]", base))
            if is_known(base[cut + 1 :]) and _is_track(base[:cut].rstrip(" _.-"), track)
        ),
        None,
    )


def _is_track(prefix: str, track: str | None) -> bool:
    return track is None or same_name(prefix.rstrip(" _.-"), track.rstrip(" _.-"))


def stem_files(files: Iterable[Path], track: str | None = None) -> dict[str, Path]:
    """Stem name (as :func:`benchsep.stems.names.canonical` has it) to file.

    Of one name in several formats the first of :data:`SUFFIXES` is taken; a file that is named
    after the stem alone comes before one with a prefix.

    Raises
    ------
    AudioError
        if two files of the same kind claim one stem.
    """
    chosen: dict[str, tuple[tuple[int, int], Path]] = {}
    for path in files:
        claim = _claim(path.name, track)
        if claim is None:
            continue
        stem, order = claim
        if stem in chosen and chosen[stem][0] == order:
            raise AudioError(
                f"{chosen[stem][1].name} and {path.name} in {path.parent} both claim to be "
                f"{stem}; keep the files of one model per folder"
            )
        if stem not in chosen or order < chosen[stem][0]:
            chosen[stem] = (order, path)
    return {stem: path for stem, (_, path) in chosen.items()}


@lru_cache(maxsize=4096)
def _claim(file_name: str, track: str | None) -> tuple[str, tuple[int, int]] | None:
    """The stem that a file is of, and its place among the files of that stem, the least first."""
    name = _stem_in(file_name, track)
    if name is None:
        return None
    plain = same_name(_base(file_name), name)
    suffix = Path(file_name).suffix.casefold()
    return canonical(name), (0 if plain else 1, SUFFIXES.index(suffix))


def _base(file_name: str) -> str:
    """The name of a file without its suffix, in NFC."""
    return unicodedata.normalize("NFC", file_name.removesuffix(Path(file_name).suffix))


def tracks_in_names(files: Iterable[Path]) -> set[str]:
    """The track names in files such as ``<track>_(Vocals)_<model>.wav`` or ``<track>_bass.wav``."""
    found = set()
    for path in files:
        name = stem_name(path)
        base = _base(path.name)
        if name is None or same_name(base, name):
            continue
        bracket = base.rfind(f"({name})")
        cut = bracket if bracket >= 0 else len(base) - len(name)
        found.add(base[:cut].rstrip(" _.-"))
    return found
