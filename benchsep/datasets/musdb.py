"""MUSDB18 in its editions: HQ wav folders, ``.stem.mp4`` files, the 7-second edition.

Conventions
-----------
layout    ``<root>/{train,test}/<Artist - Title>/{mixture,vocals,drums,bass,other}.wav`` (HQ) or
          ``<root>/{train,test}/<Artist - Title>.stem.mp4``. A data set of one's own in the layout
          of HQ may hold other stems, such as vocals and ``accompaniment`` (docs/stems.md)
splits    ``test`` (50), ``train`` (100 less the validation songs), ``valid`` (14), ``all``
16 bit    AAC decodes to float; it is rounded to 16 bit, since BSSEval's projections on the
          unrounded stems are rounding noise (``docs/metrics/bsseval.md``)
mixture   HQ: the file. AAC: the sum of the stems, because the coded mixture is a stream of its
          own (26.6 dB away from the sum in the median, 7.3 dB for "PR - Oh No")

MUSDB18 is for academic, non-commercial use.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchsep.audio import STEMS, Audio, round_to_16_bit
from benchsep.datasets.stem_folder import (
    MixtureChoice,
    files_of,
    load_offered,
    load_stem_folder,
    offered_by,
    stems_of,
    sum_of_stems,
)
from benchsep.datasets.track import Edition, Track, TrackAudio, name_of
from benchsep.errors import AudioError, DatasetError
from benchsep.stems.files import audio_files, is_junk

STREAMS = ("mixture", "drums", "bass", "other", "vocals")
"""Order of the audio streams in a ``.stem.mp4``."""

VALIDATION = (
    "Actions - One Minute Smile",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Johnny Lokke - Promises & Lies",
    "Patrick Talbot - A Reason To Leave",
    "Triviul - Angelsaint",
    "Alexander Ross - Goodbye Bolero",
    "Fergessen - Nos Palpitants",
    "Leaf - Summerghost",
    "Skelpolu - Human Mistakes",
    "Young Griffo - Pennies",
    "ANiMAL - Rockshow",
    "James May - On The Line",
    "Meaxic - Take A Step",
    "Traffic Experiment - Sirens",
)
"""The 14 songs of the training split that the ``musdb`` package's ``configs/mus.yaml`` keeps
for validation."""

SEVEN_SECONDS_AT_MOST = 10.0

HOW_TO_GET = (
    "download it from https://zenodo.org/record/3338373 (HQ) or "
    "https://zenodo.org/record/1117372 (stems) and unpack it; then set MUSDB_PATH or pass --root"
)


def load_stem_mp4(path: Path, mixture: MixtureChoice = "sum") -> TrackAudio:
    """Decode a ``.stem.mp4`` with PyAV, rounded to 16 bit.

    Raises
    ------
    DatasetError
        if the file is absent, has fewer than five streams, or a stream is cut short.
    """
    decoded = _decode_streams(path)
    lengths = {name: audio.frames for name, audio in decoded.items()}
    rates = {name: audio.rate for name, audio in decoded.items()}
    if len(set(lengths.values())) > 1 or len(set(rates.values())) > 1:
        raise DatasetError(f"{path}: streams differ in length or rate ({lengths}, {rates})")
    stems = {name: decoded[name] for name in STEMS}
    if mixture == "file":
        return TrackAudio(decoded["mixture"], stems, "file")
    return TrackAudio(sum_of_stems(stems), stems, "sum")


def _decode_streams(path: Path) -> dict[str, Audio]:
    import av

    try:
        with av.open(str(path)) as container:
            streams = container.streams.audio
            if len(streams) < len(STREAMS):
                raise DatasetError(f"{path}: {len(streams)} audio streams, expected {len(STREAMS)}")
            parts: dict[int, list[np.ndarray]] = {s.index: [] for s in streams}
            for packet in container.demux(*streams[: len(STREAMS)]):
                for frame in packet.decode():
                    if isinstance(frame, av.AudioFrame):
                        parts[packet.stream.index].append(frame.to_ndarray())
            return {
                name: Audio(
                    round_to_16_bit(np.concatenate(parts[stream.index], axis=1)), int(stream.rate)
                )
                for name, stream in zip(STREAMS, streams, strict=False)
            }
    except (av.FFmpegError, ValueError, OSError, AudioError) as error:
        raise DatasetError(f"{path}: not a readable .stem.mp4 ({error})") from error


@dataclass(frozen=True)
class MusdbDataset:
    """MUSDB18 of one edition under ``root``; see :func:`musdb18hq` and its siblings."""

    name: str
    edition: Edition
    root: Path
    split: str
    mixture: MixtureChoice

    @property
    def notes(self) -> tuple[str, ...]:
        notes = ["MUSDB18: academic, non-commercial use"]
        if self.edition != "hq":
            notes.append("decoded from AAC, rounded to 16 bit")
        notes.append(
            "mixture = its own file" if self.mixture == "file" else "mixture = sum of stems"
        )
        return tuple(notes)

    def tracks(self) -> list[Track]:
        """Sorted by name. ``valid`` and ``train`` are disjoint parts of the training folder."""
        found = [t for folder in self._folders() for t in self._tracks_in(folder)]
        if not found:
            raise DatasetError(self._why_none())
        return sorted(_of_one_kind(found), key=lambda track: track.name)

    def _why_none(self) -> str:
        """The error text for a folder without tracks: what was expected, and the edition found
        instead.
        """
        hq = self.edition == "hq"
        track = "TRACK/mixture.wav" if hq else "TRACK.stem.mp4"
        expected = " and ".join(f"{folder}/{track}" for folder in self._folders())
        text = (
            f"{self.root}: found no {self.split} tracks of {self.name}, expected {expected} in "
            "this folder"
        )
        if hq and any(self.root.glob("*/*.stem.mp4")):
            return f"{text}, found .stem.mp4 files: use --dataset musdb18 or musdb18-7s"
        if not hq and any(self.root.glob("*/*/mixture.wav")):
            return f"{text}, found folders of wav files: use --dataset musdb18hq"
        return f"{text}; {HOW_TO_GET}"

    def _folders(self) -> list[str]:
        if self.split == "all":
            return ["train", "test"]
        if self.split in ("train", "valid"):
            return ["train"]
        if self.split == "test":
            return ["test"]
        raise DatasetError(f"there is no split {self.split!r}; expected test, train, valid or all")

    def _tracks_in(self, folder: str) -> list[Track]:
        base = self.root / folder
        entries = sorted(base.iterdir()) if base.is_dir() else []
        return [t for t in map(partial(self._track, folder), entries) if t is not None]

    def _track(self, folder: str, entry: Path) -> Track | None:
        hq = self.edition == "hq"
        if hq != entry.is_dir() or entry.name.startswith(".") or is_junk(entry):
            return None
        if not hq and not entry.name.endswith(".stem.mp4"):
            return None
        name = name_of(entry).removesuffix(".stem.mp4")
        validation = name in VALIDATION
        if (self.split == "valid" and not validation) or (self.split == "train" and validation):
            return None
        split = "valid" if validation else folder
        if not hq:
            return Track(name, split, self.edition, partial(self._load, entry), (str(entry),))
        stems, offers = _stems_in(entry)
        return Track(
            name,
            split,
            self.edition,
            partial(load_stem_folder, entry, self.mixture, stems=stems),
            tuple(map(str, audio_files(entry))),
            stems,
            offers=offers,
            offered_loader=partial(load_offered, entry, self.mixture),
        )

    def _load(self, entry: Path) -> TrackAudio:
        audio = load_stem_mp4(entry, self.mixture)
        short = audio.mixture.seconds <= SEVEN_SECONDS_AT_MOST
        if short != (self.edition == "aac-7s"):
            other = "musdb18-7s" if short else "musdb18"
            raise DatasetError(
                f"{entry}: {audio.mixture.seconds:.1f} s long, so the data set is {other}, not "
                f"{self.name}; pass --dataset {other}"
            )
        return audio


def _stems_in(entry: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The stems of a folder: those of the four standard stems, and all; both may be empty."""
    try:
        files = files_of(entry)
        return stems_of(files), offered_by(files)
    except (DatasetError, ValueError):
        return (), ()  # reading the track says what is wrong


def _of_one_kind(tracks: list[Track]) -> list[Track]:
    """Tracks with equal stems: all of the four stems that any track has, so a missing file is an
    error.
    """
    if tracks[0].offered_loader is None:
        return tracks
    found = {stem for track in tracks for stem in track.stems}
    stems = tuple(s for s in STEMS if s in found) or STEMS
    return [
        replace(track, loader=partial(track.loader, stems=stems), stems=stems)  # type: ignore[call-arg]
        for track in tracks
    ]


def _root(root: str | Path | None, name: str) -> Path:
    given = root or os.environ.get("MUSDB_PATH")
    if not given:
        raise DatasetError(f"{name} needs its folder; {HOW_TO_GET}")
    path = Path(given).expanduser()
    if not path.is_dir():
        raise DatasetError(f"{path}: no such folder; {HOW_TO_GET}")
    return path


def musdb18hq(root: str | None = None, split: str = "test", mixture: str = "file") -> MusdbDataset:
    """MUSDB18-HQ: 44.1 kHz wav, full bandwidth."""
    return MusdbDataset("musdb18hq", "hq", _root(root, "musdb18hq"), split, _choice(mixture))


def musdb18(root: str | None = None, split: str = "test", mixture: str = "sum") -> MusdbDataset:
    """MUSDB18 as distributed: AAC in ``.stem.mp4``, nothing above 16 kHz."""
    return MusdbDataset("musdb18", "aac", _root(root, "musdb18"), split, _choice(mixture))


def musdb18_7s(root: str | None = None, split: str = "test", mixture: str = "sum") -> MusdbDataset:
    """The 7-second edition; fetched by the ``musdb`` package when there is no folder yet."""
    if not (root or os.environ.get("MUSDB_PATH")):
        root = _download_seven_seconds()
    return MusdbDataset("musdb18-7s", "aac-7s", _root(root, "musdb18-7s"), split, _choice(mixture))


def _choice(mixture: str) -> MixtureChoice:
    if mixture == "file" or mixture == "sum":
        return mixture  # type: ignore[return-value]  # a literal by the line above
    raise DatasetError(f"mixture={mixture!r}; expected file or sum")


def _download_seven_seconds() -> str:
    """Where ``musdb`` puts its sample set; downloads it on first use."""
    target = Path.home() / "MUSDB18" / "MUSDB18-7"
    if (target / "test").is_dir():
        return str(target)
    try:
        import musdb
    except ImportError as error:
        raise DatasetError(
            "the package musdb downloads the 7-second edition, and it is not installed: pip "
            "install 'benchsep[musdb]'"
        ) from error
    except Exception as error:  # stempeg raises a bare RuntimeError where ffmpeg is absent
        raise DatasetError(
            f"the musdb package cannot be imported ({error}); it needs ffmpeg and ffprobe on PATH"
        ) from error
    try:
        musdb.DB(download=True)
    except Exception as error:
        raise DatasetError(
            f"the 7-second edition could not be downloaded ({error}); "
            "pass --root, or set MUSDB_PATH"
        ) from error
    return str(target)
