"""Reading and writing of songs for ``tokensep separate``.

Conventions
-----------
song      any file that FFmpeg or libsndfile can decode (wav, flac, ogg, mp3, m4a …); of a
          ``.stem.mp4`` the first stream, which is the mixture
stems     ``<out>/<song>/<stem>.wav``, float, with the song's rate and length; the four files of a
          song are written atomically together
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchsep._util.atomic import partial_beside, sweep
from benchsep._util.escape import printable
from benchsep.audio import Audio, write_audio
from tokensep.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress


def folders(songs: Sequence[Path], out: Path, *, overwrite: bool) -> list[Path]:
    """The output folder of each song.

    Raises
    ------
    UsageError
        Two songs have the same name, stems of a song already exist and ``overwrite`` is false, or
        ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, expected a folder for the stems: -o FOLDER")
    found: dict[Path, Path] = {}
    for song in songs:
        folder = out / song.name.removesuffix(".stem.mp4")
        if folder.name == song.name:
            folder = out / song.stem
        if folder in found:
            raise UsageError(
                f"{found[folder]} and {song} would both be written to {folder}; write them to two "
                "folders (-o)"
            )
        if folder.exists() and not overwrite:
            raise UsageError(f"{folder} exists already; to replace its stems, pass --overwrite")
        found[folder] = song
    return list(found)


def write_stems(folder: Path, stems: Mapping[str, NDArray[np.float32]], rate: int) -> None:
    """Write ``[channels, T]`` stems to a temporary folder first, so that the folder is always
    complete.

    In an existing folder, each stem replaces the old one.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep([folder.parent])
    partial = partial_beside(folder)
    try:
        for stem, samples in stems.items():
            write_audio(partial / f"{stem}.wav", Audio(samples, rate))
        if not folder.exists():
            partial.replace(folder)
        else:
            for file in sorted(partial.iterdir()):
                file.replace(folder / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def bar(songs: int) -> Iterator[Callable[[str], Callable[[float], None]]]:
    """A progress bar on stderr, if that is a terminal.

    Yields a function that takes a song's name and returns a callback for its finished share.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    bars: Progress = Bars(*columns, console=console, disable=not console.is_terminal)
    with bars:
        task = bars.add_task("", total=songs)
        begun = 0

        def begin(name: str) -> Callable[[float], None]:
            nonlocal begun
            before = begun
            begun += 1
            bars.update(task, description=escape(printable(name)), completed=before)
            return lambda share: bars.update(task, completed=before + share)

        yield begin
        bars.update(task, completed=songs)
