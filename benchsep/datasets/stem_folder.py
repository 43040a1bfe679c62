"""One track as a folder of stem files, in any naming that :mod:`benchsep.stems.files` knows.

Conventions
-----------
offered     all stems according to the file names (:mod:`benchsep.stems.meaning`): with ``vocals``
            alone, ``other`` is ``instrumental``; with guitar and piano, it is ``other6``
complete    the folder holds vocals, drums, bass and other: these four are the references. Guitar,
            piano and the like are part of ``other`` (:func:`benchsep.stems.names.stem_map`)
partial     fewer of the four: those that exist are references. The rest of the mixture is one more
            reference, called ``accompaniment``, which no table shows (BSSEval needs the other
            sources). Such a folder needs a ``mixture`` file, or files that sum to the song
mixture     ``file`` or ``sum`` (of all stem files, accumulated in float64)

References of other stem sets are derived from the offered stems
(:mod:`benchsep.datasets.references`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from benchsep.audio import STEMS, Audio, read_audio
from benchsep.datasets.track import TrackAudio
from benchsep.errors import AudioError, DatasetError
from benchsep.stems.files import audio_files, stem_files
from benchsep.stems.meaning import stems_meant
from benchsep.stems.names import ACCOMPANIMENT, MIXTURE, stem_map
from benchsep.stems.relations import all_of_song
from benchsep.stems.sets import SONG, parts_of, stem_of

MixtureChoice = Literal["file", "sum"]


def files_of(folder: Path) -> dict[str, Path]:
    """Stem name to file; the mixture is called ``mixture``.

    Raises
    ------
    DatasetError
        two files claim one stem.
    """
    return by_stem(audio_files(folder))


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """As :func:`files_of`, from a list of audio files; raises the same errors."""
    try:
        found = stem_files(files)
    except AudioError as error:
        raise DatasetError(str(error)) from error
    return {MIXTURE[0] if name in MIXTURE else name: path for name, path in found.items()}


def stems_of(files: Iterable[str]) -> tuple[str, ...]:
    """Those of the four stems that these files provide as references."""
    return _four_and_all(tuple(files))[0]


def offered_by(files: Iterable[str]) -> tuple[str, ...]:
    """All stems that these files provide, of any stem set."""
    return _four_and_all(tuple(files))[1]


@lru_cache(maxsize=1024)
def _four_and_all(files: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    # Cached: the songs of a data set have the same file names.
    names = [name for name in files if name not in MIXTURE]
    return stem_map(names).stems, tuple(stems_meant(names))


def load_stem_folder(
    folder: Path, mixture: MixtureChoice | None = None, *, stems: tuple[str, ...] = STEMS
) -> TrackAudio:
    """Read those of the four stems that a track has, and its mixture.

    ``mixture``: read from its file or summed; ``None`` takes the file where there is one.
    ``stems``: those that must be there.

    Raises
    ------
    DatasetError
        a file is missing or unreadable, or differs in rate, length or number of channels; the
        message names it.
    """
    files = files_of(folder)
    missing = [s for s in stems if s not in stems_of(files)]
    if missing:
        raise DatasetError(
            f"{folder}: {missing[0]}.wav is missing; found {', '.join(sorted(files))}"
        )
    audio = _read(folder, files, mixture)
    return TrackAudio(audio.mixture, _of_the_four(audio), audio.mixture_source)


def load_offered(folder: Path, mixture: MixtureChoice | None = None) -> TrackAudio:
    """Read a track with all stems that its files offer; ``mixture`` as above.

    Raises
    ------
    DatasetError
        as :func:`load_stem_folder`.
    """
    return _read(folder, files_of(folder), mixture)


def _read(folder: Path, files: dict[str, Path], mixture: MixtureChoice | None) -> TrackAudio:
    """All offered stems and the mixture."""
    choice: MixtureChoice = mixture or ("file" if MIXTURE[0] in files else "sum")
    if choice == "file" and MIXTURE[0] not in files:
        raise DatasetError(f"{folder}: mixture.wav is missing; found {', '.join(sorted(files))}")
    try:
        parts = {name: read_audio(path) for name, path in files.items()}
    except AudioError as error:
        raise DatasetError(str(error)) from error
    check_alike(folder, parts)
    own = parts.pop(MIXTURE[0], None)
    stems = {s: _sum([parts[n] for n in names]) for s, names in stems_meant(parts).items()}
    if choice == "file" and own is not None:
        return TrackAudio(own, stems, choice)
    # In the order of STEMS, so that the sum is the same whatever the names of the files are.
    whole = all_of_song(stems)
    if not whole:
        raise DatasetError(
            f"{folder}: found {', '.join(sorted(parts))}, which do not sum to a mixture; add "
            "mixture.wav"
        )
    return TrackAudio(_sum([stems[name] for name in whole]), stems, choice)


def _of_the_four(audio: TrackAudio) -> dict[str, Audio]:
    """The four stems, or the offered ones and the rest of the mixture."""
    stems = {s: audio.stems[s] for s in STEMS if s in audio.stems}
    if len(stems) < len(STEMS):
        rest = stem_of(SONG.difference(*map(parts_of, stems))) if stems else ""
        offered = audio.stems.get(rest)
        stems[ACCOMPANIMENT] = offered or residual(audio.mixture, list(stems.values()))
    return stems


def sum_of_stems(stems: dict[str, Audio]) -> Audio:
    """The mixture as the exact sum, accumulated in float64."""
    return _sum(list(stems.values()), always=True)


def _sum(parts: list[Audio], *, always: bool = False) -> Audio:
    if len(parts) == 1 and not always:
        return parts[0]
    samples = np.stack([audio.samples for audio in parts])
    return Audio(samples.sum(0, dtype=np.float64).astype(np.float32), parts[0].rate)


def residual(mixture: Audio, stems: list[Audio]) -> Audio:
    """The mixture minus the stems."""
    if not stems:
        return mixture
    rest = mixture.samples - np.stack([a.samples for a in stems]).sum(0, dtype=np.float64)
    return Audio(rest.astype(np.float32), mixture.rate)


def check_alike(folder: Path, parts: dict[str, Audio]) -> None:
    """Raise a :class:`DatasetError` unless all parts share rate, length and channels."""
    first_name, first = next(iter(parts.items()))
    for name, audio in parts.items():
        if audio.rate != first.rate:
            raise DatasetError(
                f"{folder}: {name} is at {audio.rate} Hz and {first_name} at {first.rate} Hz; all "
                "files of a song need one rate, so resample one"
            )
        if audio.frames != first.frames:
            raise DatasetError(
                f"{folder}: {name} has {audio.frames} frames and {first_name} {first.frames}; all "
                "files of a song need one length. Possible causes: a file was cut short, or the "
                "files belong to different songs"
            )
        if audio.channels != first.channels:
            raise DatasetError(
                f"{folder}: {name} has {audio.channels} channels and {first_name} "
                f"{first.channels}; all files of a song need the same number"
            )
