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
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from benchsep._util.words import amount
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


class Reading(NamedTuple):
    """One way to read the name of a stem file."""

    track: str
    """What stands before the stem; empty where the name is that of the stem alone."""
    stem: str
    """As the file spells it."""


def meanings(files: Iterable[Path], track: str | None = None) -> dict[Path, Reading]:
    """What each file is of, without those that name no stem, or another track than ``track``.

    ``Oh No_vocals.wav`` may be the vocals of "Oh No", or all but the vocals of "Oh". That reading
    is taken whose track is the name of the file's folder, then the one whose track more of the
    files can be of. Of equally many it is the longer name of a track where there are several
    files, as nobody keeps only what is left beside each of two stems; else the more likely one.
    """
    found = {}
    for path in files:
        if readings := [r for r in _readings(path.name) if _is_of(r, track)]:
            found[path] = readings
    if all(len(readings) == 1 for readings in found.values()):
        return {path: readings[0] for path, readings in found.items()}
    counts = Counter(track_key(r.track) for readings in found.values() for r in readings)

    def weight(reading: Reading, song: str) -> tuple[bool, int, int]:
        count = counts[track_key(reading.track)]
        is_own = bool(reading.track) and _is_track(reading.track, song)
        return is_own, count, len(reading.track) if count > 1 else 0

    # max takes the first of equals, which is the most likely one.
    return {
        path: max(readings, key=partial(weight, song=path.parent.name))
        for path, readings in found.items()
    }


@lru_cache(maxsize=4096)  # a large folder repeats a few names thousands of times
def _readings(file_name: str) -> tuple[Reading, ...]:
    """Every way to read a file's name, the most likely one first."""
    base = _base(file_name)
    if is_known(base):
        return (Reading("", base),)
    # audio-separator writes the stem in brackets, the model's name follows.
    brackets = [
        Reading(base[: match.start()], match[1])
        for match in reversed(list(re.finditer(r"[ _.-]*\(([^()]+)\)", base)))
        if is_known(match[1])
    ]
    cuts = [m.start() for m in re.finditer(r"[ _.-]", base) if is_known(base[m.end() :])]
    # Of "Oh No_vocals" the words "No" and "vocals" are joined otherwise than "No" and "Oh" are.
    cuts.sort(key=lambda cut: _is_joined_otherwise(base, cut))
    plain = [Reading(base[:cut].rstrip(" _.-"), base[cut + 1 :].strip(" _.-")) for cut in cuts]
    return tuple(dict.fromkeys((*brackets, *plain)))


def _is_joined_otherwise(base: str, cut: int) -> bool:
    """Whether one space stands before the stem at ``cut``, and another sign between its words."""
    between = re.search(r"[ _.-]", base[cut + 1 :])
    before = base[: cut + 1]
    lone = before.endswith(" ") and not before.rstrip(" ").endswith(("-", "_", "."))
    return lone and between is not None and between[0] != " "


def track_key(name: str) -> str:
    """The form in which tracks in file names are compared."""
    return folded(name.rstrip(" _.-"))


def _is_of(reading: Reading, track: str | None) -> bool:
    return track is None or not reading.track or _is_track(reading.track, track)


def _is_track(prefix: str, track: str) -> bool:
    return track_key(prefix) == track_key(track)


def stem_files(files: Iterable[Path], track: str | None = None) -> dict[str, Path]:
    """Stem name (as :func:`benchsep.stems.names.canonical` has it) to file.

    Of one name in several formats the first of :data:`SUFFIXES` is taken; a file that is named
    after the stem alone comes before one with a prefix.

    Raises
    ------
    AudioError
        if two files of the same kind claim one stem.
    """
    chosen = {}
    for stem, claims in claims_of(files, track).items():
        first, *others = claims
        if others and others[0][0] == first[0]:
            raise AudioError(
                f"{first[1].name} and {others[0][1].name} in {first[1].parent} both claim to be "
                f"{stem}; keep the files of one model per folder"
            )
        chosen[stem] = first[1]
    return chosen


def claims_of(
    files: Iterable[Path], track: str | None = None
) -> dict[str, list[tuple[tuple[int, int], Path]]]:
    """Stem to the files that claim it, each with its place, the least and best first."""
    found: dict[str, list[tuple[tuple[int, int], Path]]] = {}
    for path, reading in meanings(files, track).items():
        claim = _order(path.name, reading.stem), path
        found.setdefault(canonical(reading.stem), []).append(claim)
    return {stem: sorted(claims, key=lambda claim: claim[0]) for stem, claims in found.items()}


def read_as_stems(groups: Iterable[Iterable[Path]]) -> str:
    """A few words on files that are read as a stem though their names say more: ``lead_vocals``.

    What stands before the stem may be the name of the song, or a part of the stem that is then
    scored as the whole: nobody but the user can tell. ``groups``: the audio files of each track's
    own folder. Words that several stems have in common, or the folder has, are the song's.
    """
    found: dict[str, str] = {}
    count = 0
    for group in groups:
        given = list(group)
        readings = meanings(given)
        first = {stem: claims[0][1] for stem, claims in claims_of(given).items()}
        before = [track_key(readings[path].track) for path in first.values()]
        for stem, path in first.items():
            own = track_key(readings[path].track)
            if before.count(own) == 1 and not _names_folder(own, path.parent.name):
                found.setdefault(path.name, stem)
                count += 1
    if not found:
        return ""
    named = ", ".join(f"{name} as {stem}" for name, stem in list(found.items())[:4])
    return f"read by the end of their names: {named} ({amount(count, 'file')})"


def _names_folder(before: str, folder: str) -> bool:
    """Whether the words before a stem are none, the last ones of the folder, or hold all of it."""
    words, all_words = (re.split(r"[\s_.-]+", text) for text in (before, track_key(folder)))
    if not before or words == all_words[-len(words) :]:
        return True
    size = len(all_words)
    return any(words[at : at + size] == all_words for at in range(len(words) - size + 1))


@lru_cache(maxsize=4096)
def _order(file_name: str, stem: str) -> tuple[int, int]:
    """The place of a file among those of its stem: without a prefix first, then by format."""
    suffix = Path(file_name).suffix.casefold()
    return (0 if stem == _base(file_name) else 1, SUFFIXES.index(suffix))


def _base(file_name: str) -> str:
    """The name of a file without its suffix, in NFC."""
    return unicodedata.normalize("NFC", file_name.removesuffix(Path(file_name).suffix))


def by_track(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Track, in the form of :func:`track_key`, to the files that have it in their names.

    In names such as ``<track>_(Vocals)_<model>.wav`` or ``<track>_bass.wav``.
    """
    found: dict[str, list[Path]] = {}
    for path, reading in meanings(files).items():
        if reading.track:
            found.setdefault(track_key(reading.track), []).append(path)
    return found
