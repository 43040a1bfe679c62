"""One track as a folder of stem files, in any naming that :mod:`benchsep.stems.files` knows.

Conventions
-----------
complete    the folder holds vocals, drums, bass and other: these four are the references. Guitar,
            piano and the like are part of ``other`` (:func:`benchsep.stems.names.stem_map`)
partial     fewer stems: those that are there are references, and the rest of the mixture is one
            reference called ``accompaniment``, which no table shows (BSSEval needs the other
            sources). Such a folder needs a ``mixture`` file or an accompaniment file
mixture     ``file`` or ``sum`` (of all stem files, accumulated in float64)
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from benchsep.audio import STEMS, Audio, read_audio
from benchsep.datasets.track import TrackAudio
from benchsep.errors import AudioError, DatasetError
from benchsep.stems.files import audio_files, stem_files
from benchsep.stems.names import ACCOMPANIMENT, MIXTURE, stem_map

MixtureChoice = Literal["file", "sum"]


def files_of(folder: Path) -> dict[str, Path]:
    """Stem name to file; the mixture is called ``mixture``.

    Raises
    ------
    DatasetError
        two files claim one stem.
    """
    try:
        files = stem_files(audio_files(folder))
    except AudioError as error:
        raise DatasetError(str(error)) from error
    return {MIXTURE[0] if name in MIXTURE else name: path for name, path in files.items()}


def stems_of(files: dict[str, Path]) -> tuple[str, ...]:
    """The stems that these files offer as references."""
    return stem_map(n for n in files if n not in MIXTURE).stems


def load_stem_folder(
    folder: Path, mixture: MixtureChoice | None = None, *, stems: tuple[str, ...] = STEMS
) -> TrackAudio:
    """Read the stems of a track and its mixture.

    ``mixture``: read from its file or summed; ``None`` takes the file where there is one.
    ``stems``: those that must be there.

    Raises
    ------
    DatasetError
        naming the file that is missing, unreadable, or of another rate, length or channel count.
    """
    files = files_of(folder)
    missing = [s for s in stems if s not in stems_of(files)]
    if missing:
        raise DatasetError(f"{folder}: no {missing[0]}.wav; found {', '.join(sorted(files))}")
    choice: MixtureChoice = mixture or ("file" if MIXTURE[0] in files else "sum")
    if choice == "file" and MIXTURE[0] not in files:
        raise DatasetError(f"{folder}: no mixture.wav; found {', '.join(sorted(files))}")
    try:
        parts = {name: read_audio(path) for name, path in files.items()}
    except AudioError as error:
        raise DatasetError(str(error)) from error
    check_alike(folder, parts)
    return _track(folder, parts, choice)


def _track(folder: Path, parts: dict[str, Audio], choice: MixtureChoice) -> TrackAudio:
    own = parts.pop(MIXTURE[0], None)
    names = stem_map(parts)
    stems = {s: _sum(group) for s, group in names.gather(parts).items()}
    rest = [parts[name] for name in names.accompaniment]
    if choice == "sum" and len(stems) < len(STEMS) and not rest:
        raise DatasetError(
            f"{folder}: it holds {', '.join(sorted(parts))}, from which no mixture can be summed; "
            "add mixture.wav"
        )
    # In the order of STEMS, so that the sum is the same whatever the names of the files are.
    summed = [*(stems[s] for s in STEMS if s in stems), *rest[:1]]
    mixed = own if choice == "file" and own is not None else _sum(summed)
    if len(stems) < len(STEMS):
        stems[ACCOMPANIMENT] = rest[0] if rest else _residual(mixed, list(stems.values()))
    return TrackAudio(mixed, {s: stems[s] for s in (*STEMS, ACCOMPANIMENT) if s in stems}, choice)


def sum_of_stems(stems: dict[str, Audio]) -> Audio:
    """The mixture as the exact sum, accumulated in float64."""
    return _sum(list(stems.values()), always=True)


def _sum(parts: list[Audio], *, always: bool = False) -> Audio:
    if len(parts) == 1 and not always:
        return parts[0]
    samples = np.stack([audio.samples for audio in parts])
    return Audio(samples.sum(0, dtype=np.float64).astype(np.float32), parts[0].rate)


def _residual(mixture: Audio, stems: list[Audio]) -> Audio:
    rest = mixture.samples - np.stack([a.samples for a in stems]).sum(0, dtype=np.float64)
    return Audio(rest.astype(np.float32), mixture.rate)


def check_alike(folder: Path, parts: dict[str, Audio]) -> None:
    """Raise a :class:`DatasetError` unless all parts share rate, length and channels."""
    first_name, first = next(iter(parts.items()))
    for name, audio in parts.items():
        if audio.rate != first.rate:
            raise DatasetError(
                f"{folder}: {name} is at {audio.rate} Hz, {first_name} at {first.rate} Hz"
            )
        if audio.frames != first.frames:
            raise DatasetError(
                f"{folder}: {name} has {audio.frames} frames, {first_name} {first.frames}: "
                "a file is cut short, or the files belong to different songs"
            )
        if audio.channels != first.channels:
            raise DatasetError(
                f"{folder}: {name} has {audio.channels} channels, {first_name} {first.channels}"
            )
