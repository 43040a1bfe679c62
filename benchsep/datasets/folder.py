"""Any folder of stems as a dataset: ``folder:PATH``.

Layout: ``PATH/<track>/{mixture,vocals,drums,bass,other}.wav|flac``. Where a track has no
mixture file, the mixture is the sum of its stems, and the track says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchsep.audio import STEMS
from benchsep.datasets.musdb import load_stem_folder
from benchsep.datasets.track import Edition, Track, TrackAudio, name_of
from benchsep.errors import DatasetError, UsageError

SUFFIXES = (".wav", ".flac")


@dataclass(frozen=True)
class FolderDataset:
    """Each sub-folder that holds at least one stem file is a track."""

    root: Path
    edition: Edition = "folder"

    @property
    def name(self) -> str:
        return f"folder:{self.root.name}"

    @property
    def notes(self) -> tuple[str, ...]:
        summed = [t for t in self._folders() if not _has(t, "mixture")]
        if not summed:
            return ("mixture = its own file",)
        return (f"mixture = sum of stems for {len(summed)} of {len(self._folders())} tracks",)

    def tracks(self) -> list[Track]:
        folders = self._folders()
        if not folders:
            raise DatasetError(
                f"{self.root}: no track; expected "
                f"<track>/{{mixture,{','.join(STEMS)}}}.wav or .flac"
            )
        return [
            Track(
                name_of(f),
                "test",
                "folder",
                partial(_load, f),
                tuple(map(str, sorted(f.iterdir()))),
            )
            for f in folders
        ]

    def _folders(self) -> list[Path]:
        return sorted(
            f for f in self.root.iterdir() if f.is_dir() and any(_has(f, stem) for stem in STEMS)
        )


def _has(folder: Path, stem: str) -> bool:
    return any((folder / f"{stem}{suffix}").is_file() for suffix in SUFFIXES)


def _load(folder: Path) -> TrackAudio:
    return load_stem_folder(folder, "file" if _has(folder, "mixture") else "sum", SUFFIXES)


def folder(text: str = "", root: str | None = None) -> FolderDataset:
    """``folder:PATH``; ``--root`` is taken when no path follows the colon."""
    path = Path(text or root or "").expanduser()
    if not (text or root):
        raise UsageError("folder: needs a path, as in folder:my-songs")
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder")
    return FolderDataset(path)
