"""Songs without stems: ``mixtures:FOLDER``.

Conventions
-----------
song      an audio file of the folder, or a sub-folder with one audio file or a ``mixture`` file
stems     none: metrics that need a true stem do not apply. The estimates can be heard, and scored
          by metrics that read them alone or with the mixture (``Metric.needs_reference``)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchsep.audio import read_audio
from benchsep.datasets.track import Edition, Track, TrackAudio, name_of
from benchsep.errors import AudioError, DatasetError, UsageError
from benchsep.stems.files import SUFFIXES, audio_files, folders, stem_files
from benchsep.stems.names import MIXTURE


@dataclass
class Mixtures:
    """The songs of a folder, sorted by name."""

    root: Path
    name: str
    edition: Edition = "mixtures"
    notes: tuple[str, ...] = ("mixture = its own file",)

    def tracks(self) -> list[Track]:
        """Raises a :class:`DatasetError` where the folder holds no song."""
        songs = {path: path.name.removesuffix(path.suffix) for path in audio_files(self.root)}
        for folder in folders(self.root):
            if (path := _mixture_in(folder)) is not None:
                songs[path] = name_of(folder)
        if not songs:
            raise DatasetError(
                f"{self.root}: found no song, expected audio files ({', '.join(SUFFIXES)}) or "
                "folders with a mixture.wav"
            )
        tracks = [
            Track(name, "test", "mixtures", partial(_load, path), (str(path),), ())
            for path, name in songs.items()
        ]
        return sorted(tracks, key=lambda track: track.name)


def mixtures(text: str = "", root: str | None = None) -> Mixtures:
    """Songs without stems: the audio files of ``mixtures:FOLDER``, or of ``--root``."""
    if not (text or root):
        raise UsageError("mixtures: needs a path, for example mixtures:my-songs")
    path = Path(text or root or "").expanduser()
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder")
    return Mixtures(path, f"mixtures:{path.resolve().name}")


def _mixture_in(folder: Path) -> Path | None:
    """The mixture's file: the one named ``mixture``, or the only audio file of the folder."""
    files = audio_files(folder)
    try:
        named = stem_files(files)
    except AudioError:
        named = {}
    found = next((named[name] for name in MIXTURE if name in named), None)
    return found or (files[0] if len(files) == 1 else None)


def _load(path: Path) -> TrackAudio:
    try:
        return TrackAudio(read_audio(path), {}, "file")
    except AudioError as error:
        raise DatasetError(str(error)) from error
