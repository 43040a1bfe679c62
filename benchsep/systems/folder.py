"""A folder of estimates as a system: ``dir:PATH``.

These layouts are recognised, in this order. The system's options name the recognised layout, so
that a wrong guess is visible in the manifest. How a file names its stem (``vocals.wav``,
``<track>_vocals.wav``, ``<track>_(Vocals)_<model>.wav``) is in :mod:`benchsep.stems.files`:

================= ==========================================================
musdb             ``<root>/<split>/<track>/`` (musdb, museval)
flat              ``<root>/<track>/`` (demucs ``separated/<model>``, spleeter, MSST, and what
                  ``--keep-estimates`` keeps in ``RUN/estimates/SYSTEM``)
model             ``<root>/<model>/<track>/`` with one model (demucs ``separated``)
audio-separator   ``<root>/<track>_(Stem)_<model>.wav``, ``<root>/<track>_<stem>.wav``
================= ==========================================================

Files are paired with tracks by name, never by order. All names in the folder together determine its
stems (:mod:`benchsep.stems.meaning`): a folder with ``vocals.wav`` alone offers vocals;
``other.wav`` beside ``vocals.wav`` alone is the instrumental.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from benchsep._util.digest import file_name
from benchsep._util.words import amount
from benchsep.audio import Audio, read_audio
from benchsep.datasets.track import Track
from benchsep.errors import AudioError, BenchsepError, SeparatorError, UsageError
from benchsep.stems.files import (
    audio_files,
    by_track,
    claims_of,
    folded,
    folders,
    matching,
    meanings,
    read_as_stems,
    stem_files,
    track_key,
)
from benchsep.stems.meaning import full_map
from benchsep.stems.names import MIXTURE, StemMap, canonical
from benchsep.systems.contract import SystemInfo
from benchsep.systems.fit import change_of, fitted, note_change, summed
from benchsep.systems.grammar import FAMILIES

SPLITS = ("test", "train")


@dataclass(frozen=True)
class Layout:
    """A recognised layout; :meth:`files` gives the stem files of a track."""

    name: str
    root: Path
    nested: str = ""

    def files(self, track: Track) -> dict[str, Path]:
        """Stem name to file, as :func:`benchsep.stems.files.stem_files` finds them.

        Raises
        ------
        AudioError
            two files claim one stem, or two folders look like the track's name.
        """
        if self.name == "audio-separator":
            return stem_files(self._by_track.get(track_key(track.name), []), track.name)
        folder = self._folder(track)
        return {} if folder is None else stem_files(audio_files(folder), track=None)

    def place(self, track: Track) -> Path:
        """The folder in which the files of a track are looked for."""
        if self.name == "audio-separator":
            return self.root
        return self._folder(track) or self._base(track) / track.name

    def file_name(self, track: Track, stem: str) -> str:
        """The expected name of a stem's file in :meth:`place`."""
        prefix = f"{track.name}_" if self.name == "audio-separator" else ""
        return f"{prefix}{stem.replace(' ', '_')}.wav"

    def groups(self) -> list[list[Path]]:
        """The audio files of each track in the folder, including tracks that are not in the data
        set.
        """
        if self.name != "audio-separator":
            return [audio_files(folder) for base in self._bases() for folder in folders(base)]
        named = {path for group in self._by_track.values() for path in group}
        nameless = [path for path in audio_files(self.root) if path not in named]
        return [*self._by_track.values(), nameless]

    def tracks(self) -> list[str]:
        """The names of the folder's tracks; if they come from file names, in folded form."""
        if self.name == "audio-separator":
            return list(self._by_track)
        return [folder.name for alike in self._index.values() for folder in alike]

    def _bases(self) -> list[Path]:
        if self.name == "musdb":
            return [self.root / split for split in SPLITS]
        return [self.root / self.nested]

    def _base(self, track: Track) -> Path:
        if self.name == "musdb":
            return self.root / ("train" if track.split == "valid" else track.split)
        return self.root / self.nested

    def _folder(self, track: Track) -> Path | None:
        """The folder with the track's name, or with the escaped name that ``--keep-estimates``
        uses.
        """
        names = (track.name, file_name(track.name))
        found = (matching(name, self._folders_alike(track, name)) for name in names)
        return next((folder for folder in found if folder is not None), None)

    def _folders_alike(self, track: Track, name: str) -> list[Path]:
        return self._index.get((self._base(track), folded(name)), [])

    @cached_property
    def _index(self) -> dict[tuple[Path, str], list[Path]]:
        index: dict[tuple[Path, str], list[Path]] = {}
        for base in self._bases():
            for folder in folders(base):
                index.setdefault((base, folded(folder.name)), []).append(folder)
        return index

    @cached_property
    def _by_track(self) -> dict[str, list[Path]]:
        return by_track(audio_files(self.root))


def recognise(root: Path) -> Layout:
    """Which layout a folder of estimates follows.

    Raises
    ------
    UsageError
        if no stem file is found in any known place, or there are several models.
    """
    layout = _layout(root)
    if layout is not None:
        return layout
    meant = _meant(root)
    raise UsageError(
        f"{root}: found no estimates, expected [test/]<track>/<stem>.wav, <track>_<stem>.wav or "
        "<track>_(Vocals)_<model>.wav, with stems such as vocals, drums, bass, other; "
        f"{_held(root)}{f'; did you mean dir:{meant}?' if meant else ''}"
    )


def _layout(root: Path) -> Layout | None:
    """The layout of a folder, or ``None``; raises as :func:`recognise` does."""
    if any(_names_in(f) for split in SPLITS for f in folders(root / split)):
        return Layout("musdb", root)
    if any(_names_in(f) for f in folders(root)):
        return Layout("flat", root)
    models = [m for m in folders(root) if any(_names_in(f) for f in folders(m))]
    if len(models) > 1:
        raise UsageError(
            f"{root} has the estimates of several models ({', '.join(m.name for m in models)}); "
            f"choose one, for example dir:{models[0]}"
        )
    if models:
        return Layout("model", root, models[0].name)
    if by_track(audio_files(root)):
        return Layout("audio-separator", root)
    return None


SEARCHED = 200
"""Number of folders per level that are searched for the hint of an error."""


def _meant(root: Path, depth: int = 3) -> Path | None:
    """The first folder with estimates at most ``depth`` levels below ``root``."""
    level = [root]
    for _ in range(depth):
        level = [below for folder in level for below in folders(folder)][:SEARCHED]
        for folder in level:
            try:
                found = _layout(folder) is not None
            except UsageError:  # several models
                found = True
            if found:
                return folder
    return None


def _held(root: Path) -> str:
    """A few of the files below a folder, for a message."""
    files = (path for path in root.rglob("*") if path.is_file())
    names = [str(path.relative_to(root)) for path in islice(files, 3)]
    return f"found {', '.join(sorted(names))}" if names else "the folder has no file"


def _names_in(folder: Path) -> set[str]:
    return _names(audio_files(folder))


def _names(files: list[Path]) -> set[str]:
    """Stem names of files of any track, without the mixture."""
    return {canonical(reading.stem) for reading in meanings(files).values()} - set(MIXTURE)


def offered(names: set[str], where: Path) -> StemMap:
    """The map of the names, if at least one is a stem.

    Raises
    ------
    UsageError
        no name is a stem of any set.
    """
    stems = full_map(sorted(names))
    if not stems.stems:
        raise UsageError(
            f"{where}: found {', '.join(sorted(names))}, expected vocals, drums, bass, guitar, "
            "instrumental or another stem among them. 'other' alone is ambiguous: it may be "
            "everything but the vocals, or less"
        )
    return stems


class EstimatesFolder:
    """``dir:PATH``: estimates that exist already.

    The family and the training data are unknown unless the spec declares them
    (:mod:`benchsep.systems.grammar`): ``dir:PATH::discriminative::musdb18:train+moisesdb``.
    """

    def __init__(self, text: str, device: str = "cpu") -> None:
        self.root = Path(text).expanduser()
        if not self.root.is_dir():
            raise UsageError(f"dir:{self.root}: no such folder{_undeclared(text)}")
        self.layout = recognise(self.root)

    @cached_property
    def _groups(self) -> list[list[Path]]:
        return self.layout.groups()

    @cached_property
    def stems(self) -> StemMap:
        """The stems that the names in the folder mean; raises as :func:`offered` does."""
        return offered(set().union(*map(_names, self._groups)), self.root)

    @cached_property
    def info(self) -> SystemInfo:
        """The declaration of the folder; raises as :attr:`stems` does."""
        sums = {"stems": self.stems.folded} if self.stems.folded else {}
        return SystemInfo(
            # Also of `dir:.`; resolve() would replace the name of a link.
            name=f"dir:{Path(os.path.abspath(self.root)).name}",  # noqa: PTH100
            family="unknown",
            stems=self.stems.stems,
            needs_accelerator=False,
            from_files=True,
            options={"layout": self.layout.name, **sums},
            remark="; ".join(filter(None, self._remarks())),
        )

    def _remarks(self) -> Iterator[str]:
        yield _not_read(self._groups)
        yield _chosen(self._groups)
        if self.layout.name != "audio-separator":  # there, the words before a stem are the track
            yield read_as_stems(self._groups)

    def stamp(self, track: Track) -> str:
        """A text that changes when a file of the track's estimates changes, even if its time is set
        back or it is another file of the same size and times; and when other songs change what its
        stems mean. ``[]``: the track has no file.
        """
        try:
            stats = [(s, p.stat()) for s, p in sorted(self.layout.files(track).items())]
        except AudioError as error:
            raise SeparatorError(str(error)) from error
        files = [(s, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_ino) for s, st in stats]
        return repr([*files, sorted(self.stems.sources.items())] if files else [])

    def estimates(self, track: Track, mixture: Audio) -> dict[str, Audio | BenchsepError]:
        """The estimates of a track, resampled to the mixture's rate if necessary.

        For a stem whose file cannot be used, the result holds an error in place of audio.

        Raises
        ------
        SeparatorError
            no file for the track.
        """
        files = self.layout.files(track)
        if not files:
            first = self.layout.file_name(track, self.stems.stems[0])
            raise SeparatorError(
                f"no estimate of {track.name!r} in {self.root}: found "
                f"{', '.join(map(repr, self.layout.tracks()[:3]))}; expected "
                f"{self.layout.place(track) / first}, named after the song"
            )
        return dict(read_stems(files, self.stems, mixture)) | self._missing(files, track)

    def _missing(self, files: dict[str, Path], track: Track) -> dict[str, BenchsepError]:
        """An error for each stem that has a file for other tracks but not for this one."""
        errors: dict[str, BenchsepError] = {}
        held = ", ".join(sorted(path.name for path in files.values())[:6])
        for stem, names in self.stems.sources.items():
            lost = [self.layout.file_name(track, name) for name in names if name not in files]
            if lost:
                errors[stem] = SeparatorError(
                    f"no {', no '.join(lost[:3])} in {self.layout.place(track)}, but other songs "
                    f"have it; found {held}. Add the file (any format) and run again"
                )
        return errors


def _not_read(groups: list[list[Path]]) -> str:
    """A note on audio files without a stem's name, which are not used."""
    nameless: list[str] = []
    for group in groups:
        named = meanings(group)
        nameless += [path.name for path in group if path not in named]
    if not nameless:
        return ""
    names = ", ".join(list(dict.fromkeys(nameless))[:4])
    return (
        f"these files were not read, because their names have no stem: {names} "
        f"({amount(len(nameless), 'file')})"
    )


def _chosen(groups: list[list[Path]]) -> str:
    """A note on stems with several files, and which of these is read."""
    found: list[tuple[str, list[str]]] = []
    for group in groups:
        for (order, first), *others in claims_of(group).values():
            # Two files with the same rank are an error of the track.
            if others and others[0][0] != order:
                found.append((first.name, sorted(path.name for _, path in others)))
    if not found:
        return ""
    read, rest = found[0]
    return f"{read} is read and not {', '.join(rest)} ({len(found)} such stems)"


def _undeclared(text: str) -> str:
    """A hint for the error if the end of a path looks like an unknown family."""
    path, colons, family = text.partition("::")
    if not colons or not Path(path).expanduser().is_dir():
        return ""
    return f"; {family!r} is not a family, expected one of {', '.join(FAMILIES)}"


def read_stems(
    files: dict[str, Path], stems: StemMap, mixture: Audio
) -> Iterator[tuple[str, Audio | BenchsepError]]:
    """Each stem with its audio, or with the error that explains why there is none."""
    for stem, paths in stems.gather(files).items():
        try:
            signals = [read_audio(path) for path in paths]
            pairs = zip(paths, signals, strict=True)
            parts = [fitted(audio, mixture, str(path)) for path, audio in pairs]
        except BenchsepError as error:
            yield stem, error
        else:
            for audio in signals:
                note_change(stem, change_of(audio, mixture))
            yield stem, summed(parts)
