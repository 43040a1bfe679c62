"""Finds the files of a folder that hold the stems of a track; every reader uses it.

Conventions
-----------
names      compared in NFC and without case (:func:`same_name`): macOS stores NFD, Windows and
           macOS ignore case
junk       files that a NAS, macOS or Windows leaves in a folder (``@eaDir``, ``._x.wav``, ...) are
           ignored (:func:`is_junk`)
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
from collections.abc import Collection, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from benchsep._util.words import amount
from benchsep.errors import AudioError
from benchsep.stems.names import canonical, is_known

SUFFIXES = (".wav", ".flac", ".aiff", ".aif", ".w64", ".caf", ".mp3", ".m4a", ".ogg", ".opus")
"""Suffixes of audio files, best first: if a stem exists in several formats, the first one is
read."""

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

    A dot at the start is not enough: a song's name may begin with one.
    """
    return _is_junk_name(Path(path).name)


def _is_junk_name(name: str) -> bool:
    name = name.casefold()
    return name.startswith("._") or name in JUNK or (name[:1] == "." and ".partial" in name)


def entries(folder: Path) -> list[Path]:
    """Entries of a folder, sorted by name, without junk; empty if the path is not a folder."""
    return [folder / entry.name for entry in _sorted_entries(folder)]


def _sorted_entries(folder: Path) -> list[os.DirEntry[str]]:
    """As :func:`entries`, but without a ``Path`` for each name: a data set may have thousands of
    folders.
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
    # A link may be broken or point to itself; ``DirEntry.is_dir`` raises then.
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

    The separator of words is kept: ``a_b`` and ``a b`` are two tracks.
    """
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def same_name(one: str, other: str) -> bool:
    """Whether two names look the same to a person."""
    return folded(one) == folded(other)


def matching(name: str, candidates: Iterable[Path]) -> Path | None:
    """The entry with this name: the one with the exact spelling, else the only one that looks the
    same.

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
    """One interpretation of a stem file's name."""

    track: str
    """The text before the stem; empty if the file name is the stem alone."""
    stem: str
    """The stem, as the file name spells it."""


def meanings(files: Iterable[Path], track: str | None = None) -> dict[Path, Reading]:
    """The track and the stem of each file. Files without a stem's name, or of a track other than
    ``track``, are left out.

    ``Oh No_vocals.wav`` may be the vocals of "Oh No", or all but the vocals of "Oh". The rules, in
    this order: the reading whose track is the name of the file's folder; the reading whose track
    fits more of the files; with several files, the reading with the longer track name (a folder
    with only the rests of two stems is unlikely); else the more likely reading.
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
    """All interpretations of a file name, the most likely one first."""
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
    # "Oh No_vocals" is the vocals of "Oh No": "Oh" and "No" are joined by a space, "vocals" is not.
    cuts.sort(key=lambda cut: _is_joined_otherwise(base, cut))
    plain = [Reading(base[:cut].rstrip(" _.-"), base[cut + 1 :].strip(" _.-")) for cut in cuts]
    return tuple(dict.fromkeys((*brackets, *plain)))


def _is_joined_otherwise(base: str, cut: int) -> bool:
    """Whether a space stands before the stem at ``cut``, and another sign inside the stem."""
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

    If a name exists in several formats, the first of :data:`SUFFIXES` is taken. A file whose name
    is the stem alone comes before one with a prefix.

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
    """Stem to the files that claim it, each with its rank; the lowest rank is the best and comes
    first.
    """
    found: dict[str, list[tuple[tuple[int, int], Path]]] = {}
    for path, reading in meanings(files, track).items():
        claim = _order(path.name, reading.stem), path
        found.setdefault(canonical(reading.stem), []).append(claim)
    return {stem: sorted(claims, key=lambda claim: claim[0]) for stem, claims in found.items()}


def read_as_stems(groups: Iterable[Iterable[Path]]) -> str:
    """A note on files that are read as a stem although their names say more: ``lead_vocals``.

    The text before the stem is either the song's name, or it says that the file is only a part of
    the stem, which is then scored as the whole stem. Only the user can know which. ``groups``: the
    audio files of each track's own folder. Words that several stems share with each other, or with
    the folder, belong to the song.
    """
    found: dict[str, str] = {}
    count = 0
    for group in groups:
        for stem, path in loosely_named(list(group)).items():
            found.setdefault(path.name, stem)
            count += 1
    if not found:
        return ""
    named = ", ".join(f"{name} as {stem}" for name, stem in list(found.items())[:4])
    return f"read by the end of their names: {named} ({amount(count, 'file')})"


def loosely_named(files: Collection[Path], song: str | None = None) -> dict[str, Path]:
    """Stem to its file, where the text before the stem is neither the song nor shared with others.

    ``song``: the name of the song; ``None``: that of each file's folder.
    """
    readings = meanings(files)
    first = {stem: claims[0][1] for stem, claims in claims_of(files).items()}
    before = {stem: track_key(readings[path].track) for stem, path in first.items()}
    count = Counter(before.values())
    return {
        stem: path
        for stem, path in first.items()
        if count[before[stem]] == 1
        and not _names_folder(before[stem], path.parent.name if song is None else song)
    }


def _names_folder(before: str, folder: str) -> bool:
    """Whether there is no text before the stem, or it matches the folder's name: its last words, or
    a text that contains it.
    """
    words, all_words = (re.split(r"[\s_.-]+", text) for text in (before, track_key(folder)))
    if not before or words == all_words[-len(words) :]:
        return True
    size = len(all_words)
    return any(words[at : at + size] == all_words for at in range(len(words) - size + 1))


@lru_cache(maxsize=4096)
def _order(file_name: str, stem: str) -> tuple[int, int]:
    """The rank of a file among those of its stem: first files without a prefix, then by format."""
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
