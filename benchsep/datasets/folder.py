"""Any folder of stems as a dataset: ``folder:PATH``.

Layout: ``PATH/<track>/{mixture,vocals,drums,bass,other}.wav`` or any other naming and format that
:mod:`benchsep.stems.files` knows. Where a track has no mixture file, the mixture is the sum of its
stems, and the track reports it. A data set may hold fewer stems, or others: vocals and
``instrumental``, guitar and piano, ``drums`` and ``no_drums``
(:mod:`benchsep.datasets.stem_folder`). docs/stems.md describes the layouts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from benchsep.audio import STEMS
from benchsep.datasets.stem_folder import (
    MixtureChoice,
    by_stem,
    load_offered,
    load_stem_folder,
    offered_by,
    stems_of,
)
from benchsep.datasets.track import Edition, Track, name_of
from benchsep.errors import DatasetError, UsageError
from benchsep.stems.files import audio_files, folders, read_as_stems
from benchsep.stems.names import MIXTURE


@dataclass(frozen=True)
class FolderDataset:
    """Each sub-folder that holds at least one stem file is a track."""

    root: Path
    mixture: MixtureChoice | None = None
    edition: Edition = "folder"

    @property
    def name(self) -> str:
        return f"folder:{self.root.name}"

    @cached_property
    def notes(self) -> tuple[str, ...]:
        read = read_as_stems(self._audio.values())
        return (self._mixture_note(), *([f"files {read}"] if read else []))

    def _mixture_note(self) -> str:
        if self.mixture is not None:
            return f"mixture = {'its own file' if self.mixture == 'file' else 'sum of stems'}"
        summed = [files for files in self._folders.values() if MIXTURE[0] not in files]
        if not summed:
            return "mixture = its own file"
        return f"mixture = sum of stems for {len(summed)} of {len(self._folders)} tracks"

    def tracks(self) -> list[Track]:
        return list(self._tracks)

    @cached_property
    def _folders(self) -> dict[Path, dict[str, Path]]:
        """The folder of each track with its files by stem."""
        return {folder: by_stem(files) for folder, files in self._audio.items()}

    @cached_property
    def _audio(self) -> dict[Path, list[Path]]:
        """The folder of each track with its audio files. Cached: a plan needs it several times, and
        a data set may hold thousands of folders.
        """
        return _track_folders(self.root)

    @cached_property
    def _tracks(self) -> list[Track]:
        if not self._folders:
            raise DatasetError(
                f"{self.root}: found no track, expected <track>/{{mixture,{','.join(STEMS)}}}.wav "
                f"or .flac{_hint(self.root)}"
            )
        # What one track has, every track must have: a missing file is an error.
        offered = {stem for files in self._folders.values() for stem in stems_of(files)}
        stems = tuple(s for s in STEMS if s in offered)
        return [self._track(folder, files, stems) for folder, files in self._folders.items()]

    def _track(self, folder: Path, files: dict[str, Path], stems: tuple[str, ...]) -> Track:
        return Track(
            name_of(folder),
            "test",
            "folder",
            partial(load_stem_folder, folder, self.mixture, stems=stems),
            tuple(map(str, self._audio[folder])),
            stems,
            offers=_offered(folder, files),
            offered_loader=partial(load_offered, folder, self.mixture),
        )


def _track_folders(root: Path) -> dict[Path, list[Path]]:
    """The sub-folders with at least one stem, sorted, each with its audio files."""
    found = {folder: audio_files(folder) for folder in folders(root)}
    return {folder: files for folder, files in found.items() if _offered(folder, by_stem(files))}


def _offered(folder: Path, files: dict[str, Path]) -> tuple[str, ...]:
    try:
        return offered_by(files)
    except ValueError as error:
        raise DatasetError(f"{folder}: {error}") from error


def _hint(root: Path) -> str:
    """A hint for the error: the sub-folder that holds the tracks, or the data set of ``.stem.mp4``
    files.
    """
    deeper = next((f for f in folders(root) if _track_folders(f)), None)
    if deeper:
        return f"; did you mean folder:{deeper}?"
    coded = next((f for f in (root, *folders(root)) if any(f.glob("*.stem.mp4"))), None)
    if coded is None:
        return ""
    if coded.name in ("test", "train"):
        return f"; of .stem.mp4 files: --dataset musdb18 --root {coded.parent}"
    return f"; put the .stem.mp4 files into {coded / 'test'}: --dataset musdb18 --root {coded}"


def folder(text: str = "", root: str | None = None, mixture: str = "") -> FolderDataset:
    """``folder:PATH``; ``--root`` is taken when no path follows the colon."""
    path = Path(text or root or "").expanduser()
    if not (text or root):
        raise UsageError("folder: needs a path, for example folder:my-songs")
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder")
    if mixture not in ("", "file", "sum"):
        raise DatasetError(f"mixture={mixture!r}; expected file or sum")
    return FolderDataset(path, mixture or None)  # type: ignore[arg-type]  # checked above
