"""Checks of a data set's folder: number of tracks, names, files, lengths, sums of stems.

The quick check reads headers. ``deep`` decodes everything and compares the mixture with the sum
of the stems, with the residue at most :data:`TOLERANCE_DB` relative to the mixture. MUSDB18's AAC
mixtures are encoded separately from the stems, so their limit is higher.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchsep._util.words import amount
from benchsep.audio import STEMS, seconds_in
from benchsep.datasets.folder import folder
from benchsep.datasets.known import NOT_THE_SUM, Known
from benchsep.datasets.moisesdb import MoisesDB
from benchsep.datasets.musdb import VALIDATION, load_stem_mp4
from benchsep.datasets.stem_folder import files_of, load_stem_folder
from benchsep.datasets.sums import LIMIT_DB, residue_db, residue_of
from benchsep.datasets.track import Track, name_of
from benchsep.errors import AudioError, BenchsepError, DatasetError
from benchsep.stems.files import entries
from benchsep.stems.names import MIXTURE

TOLERANCE_DB = {"wav": -40.0, "aac": -15.0}
"""Largest energy of mixture minus stems, in dB relative to the mixture, by kind of MUSDB18."""
LENGTH_SLACK_S = 0.1
"""Largest difference of lengths read from headers: the header of an mp3 is not exact."""
FILES = ("mixture", *STEMS)


@dataclass(frozen=True)
class Finding:
    """One result of a check. ``state``: ``ok``, ``known`` (an erratum), ``note`` (for the user to
    check) or ``fault``.
    """

    state: str
    where: str
    what: str


def inspect(known: Known, root: Path, *, deep: bool = False) -> list[Finding]:
    """All results for ``root``, the numbers of tracks first.

    Raises
    ------
    DatasetError
        no such folder.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; {known.how} ({known.address})")
    if known.name == "moisesdb":
        return list(_moisesdb(known, root, deep))
    return list(_musdb(known, root, deep))


def _count(where: str, found: int, expected: int) -> Finding:
    if found == expected:
        return Finding("ok", where, f"{found} tracks")
    return Finding("fault", where, f"{found} tracks, expected {expected}")


# -- MUSDB18 -------------------------------------------------------------------------------------


def _musdb(known: Known, root: Path, deep: bool) -> Iterator[Finding]:
    is_wav = known.name == "musdb18hq"
    tracks = {split: _tracks(root / split, is_wav) for split in known.counts}
    for split, expected in known.counts.items():
        yield _count(split, len(tracks[split]), expected)
    names = {split: {_name(path) for path in paths} for split, paths in tracks.items()}
    yield from _names(names, known)
    for split, paths in tracks.items():
        for path in paths:
            where = f"{split}/{_name(path)}"
            faults = list(_track_faults(known, path, deep))
            yield from (Finding("fault", where, fault) for fault in faults)
            if _name(path) in known.errata:
                yield Finding("known", where, known.errata[_name(path)])


def _tracks(folder: Path, is_wav: bool) -> list[Path]:
    return [
        path
        for path in entries(folder)
        if (path.is_dir() if is_wav else path.name.endswith(".stem.mp4"))
        and not path.name.startswith(".")
    ]


def _name(path: Path) -> str:
    return name_of(path).removesuffix(".stem.mp4")


def _names(names: dict[str, set[str]], known: Known) -> Iterator[Finding]:
    """Check that the validation songs are in train, the errata in one split, and no song in
    both.
    """
    for name in sorted(names["train"] & names["test"]):
        yield Finding("fault", name, "is in train and in test")
    for name in sorted(set(VALIDATION) & names["test"]):
        yield Finding("fault", f"test/{name}", "belongs to train (a validation song)")
    is_whole = known.name != "musdb18-7s"  # its train part lacks six songs
    for name in sorted(set(VALIDATION) - names["train"]) if is_whole else ():
        yield Finding(
            "fault", f"train/{name}", "is missing or has another name (a validation song)"
        )


def _track_faults(known: Known, path: Path, deep: bool) -> Iterator[str]:
    try:
        shapes = _wav_shapes(path) if path.is_dir() else _stream_shapes(path)
    except DatasetError as error:
        yield str(error)
        return
    if len(set(shapes.values())) > 1:
        yield "files differ: " + ", ".join(
            f"{n} {f} frames at {r} Hz" for n, (f, r) in shapes.items()
        )
        return
    frames, rate = next(iter(shapes.values()))
    low, high = known.seconds
    if rate != 44_100:
        yield f"{rate} Hz, expected 44100"
    if not low <= frames / rate <= high:
        yield f"{frames / rate:.1f} s long: not a track of {known.name}"
    if deep and _name(path) not in NOT_THE_SUM:
        yield from _sum_faults(path)


def _wav_shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """File to frames and rate, from the headers."""
    import soundfile

    present = {p.name for p in entries(folder)}
    missing = [f"{name}.wav" for name in FILES if f"{name}.wav" not in present]
    if missing:
        raise DatasetError(f"no {', '.join(missing)}")
    shapes = {}
    for name in FILES:
        try:
            info = soundfile.info(str(folder / f"{name}.wav"))
        except (OSError, RuntimeError) as error:
            raise DatasetError(f"{name}.wav cannot be read ({error})") from error
        shapes[name] = (int(info.frames), int(info.samplerate))
    return shapes


def _stream_shapes(path: Path) -> dict[str, tuple[int, int]]:
    """Stream to frames (by its duration) and rate, from the container."""
    import av

    try:
        with av.open(str(path)) as container:
            streams = list(container.streams.audio)
            if len(streams) < len(FILES):
                raise DatasetError(f"{len(streams)} audio streams, expected {len(FILES)}")
            return {
                f"stream {i}": (
                    round(float((s.duration or 0) * (s.time_base or 0)) * s.rate),
                    int(s.rate),
                )
                for i, s in enumerate(streams[: len(FILES)])
            }
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DatasetError(f"cannot be read ({error})") from error


def _sum_faults(path: Path) -> Iterator[str]:
    kind = "wav" if path.is_dir() else "aac"
    try:
        audio = load_stem_folder(path, "file") if kind == "wav" else load_stem_mp4(path, "file")
    except BenchsepError as error:
        yield str(error)
        return
    rest = residue_of(audio.mixture, audio.stems.values())
    if rest > TOLERANCE_DB[kind]:
        yield (
            f"mixture minus stems is at {rest:.1f} dB of the mixture, expected at most "
            f"{TOLERANCE_DB[kind]:.0f}"
        )


# -- any folder of songs --------------------------------------------------------------------------


def inspect_folder(root: Path, *, deep: bool = False) -> Iterator[Finding]:
    """What is found in a folder of songs (``folder:PATH``): count, stems, files that differ.

    ``deep`` decodes all; a mixture that is not the sum of its stems is a ``note``.

    Raises
    ------
    DatasetError
        no such folder, or it holds no song.
    """
    tracks = folder(str(root)).tracks()
    yield Finding("ok", ".", amount(len(tracks), "song"))
    names = {t.name: set(files_of(Path(t.paths[0]).parent)) - set(MIXTURE) for t in tracks}
    for stem in sorted(set().union(*names.values())):
        lack = [name for name, held in names.items() if stem not in held]
        if lack:
            others = len(tracks) - len(lack)
            where = f"{', '.join(lack[:3])}{' …' * (len(lack) > 3)}"
            yield Finding("fault", where, f"no {stem}; songs that have it: {others}")
    for track in tracks:
        yield from _song(track, deep)


def _song(track: Track, deep: bool) -> Iterator[Finding]:
    """What is wrong with the audio of a song."""
    if deep:
        try:
            residue = residue_db(track.load_offered())
        except BenchsepError as error:
            yield Finding("fault", track.name, str(error))
            return
        if residue is not None and residue > LIMIT_DB:
            yield Finding("note", track.name, NOT_SUM.format(residue=residue, limit=LIMIT_DB))
    elif shapes := _differing(track.paths):
        yield Finding("fault", track.name, shapes)


NOT_SUM = (
    "mixture minus stems is at {residue:.1f} dB of the mixture, expected at most {limit:g}; "
    "possible causes: another song, master or level, or a missing stem"
)


def _differing(paths: Iterable[str]) -> str:
    """The lengths of a song's files, where they differ by more than a codec may pad."""
    seconds = {}
    for path in paths:
        try:
            seconds[Path(path).name] = seconds_in(path)
        except AudioError as error:
            return str(error)
    if not seconds or max(seconds.values()) - min(seconds.values()) <= LENGTH_SLACK_S:
        return ""
    return "lengths differ: " + ", ".join(f"{n} {length:.2f} s" for n, length in seconds.items())


# -- MoisesDB ------------------------------------------------------------------------------------


def _moisesdb(known: Known, root: Path, deep: bool) -> Iterator[Finding]:
    try:
        tracks = MoisesDB(root).tracks()
    except DatasetError as error:
        yield Finding("fault", ".", str(error))
        return
    yield _count(".", len(tracks), known.counts[""])
    for track in tracks:
        yield from (Finding("fault", track.name, fault) for fault in _song_faults(track, deep))


def _song_faults(track: Track, deep: bool) -> Iterator[str]:
    missing = [Path(path).name for path in track.paths if not Path(path).is_file()]
    if missing:
        yield f"no {', '.join(missing)}"
    elif not track.paths:
        yield "lists no track"
    elif deep:
        try:
            track.load()
        except BenchsepError as error:
            yield str(error)
