"""Stems for training: decoded once, then cropped, remixed and augmented at every step.

Conventions
-----------
Sources are kept as int16 ``[channels, T]`` in one flat ``.npy`` file that is mapped, not read, so a
second process or a resumed run costs nothing. A crop is float32 mono. Every random choice comes
from the generator that is passed in: same seed, same crops.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from benchsep_training import once
from numpy.random import Generator
from numpy.typing import NDArray

from benchsep._util.atomic import write_atomically
from benchsep._util.decode import SNDFILE, duration
from benchsep._util.reason import without_path
from benchsep.audio import STEMS
from benchsep.errors import StoreError
from tokensep.errors import DataError
from tokensep.train import cache
from tokensep.train.flat_file import FlatFile, damaged, read_flat
from tokensep.train.own_json import read_json

_MP4_STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
_FLOATS = {"flt", "fltp", "dbl", "dblp"}
_LOOSE = {".wav", ".flac", ".mp3", ".ogg", ".opus"}
_LAYOUT = "a folder with SONG.stem.mp4, or with SONG/vocals.wav, drums.wav, bass.wav, other.wav"


def validation_songs() -> list[str]:
    """The 14 songs that the ``musdb`` package keeps out of training (its configs/mus.yaml).

    Raises
    ------
    DataError
        ``musdb`` is not installed.
    """
    spec = util.find_spec("musdb")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("the musdb package, which names the validation songs, is not installed")
    import yaml

    path = Path(next(iter(spec.submodule_search_locations))) / "configs" / "mus.yaml"
    return list(yaml.safe_load(path.read_text())["validation_tracks"])


def decode(path: Path, stream: int = 0, rate: int = 44100) -> NDArray[np.int16]:
    """One audio stream of a file as int16 ``[channels, T]`` at ``rate``.

    Raises
    ------
    DataError
        the file cannot be decoded, is cut short, holds NaN or infinite samples, or has no such
        stream.
    """
    import av

    try:
        if path.suffix.lower() in SNDFILE:
            duration(path)  # raises where the file ends before its header says; FFmpeg does not
        return _decoded(path, stream, rate)
    except (av.FFmpegError, RuntimeError, ValueError, OSError, MemoryError) as error:
        raise DataError(f"{path}: not readable as audio ({_words_of(error)})") from error


def _words_of(error: Exception) -> str:
    """The message without FFmpeg's number and function, and without the path."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error) or type(error).__name__


def _decoded(path: Path, stream: int, rate: int) -> NDArray[np.int16]:
    import av

    with av.open(str(path)) as container:
        streams = container.streams.audio
        if stream >= len(streams):
            raise DataError(f"{path}: {len(streams)} audio streams, expected at least {stream + 1}")
        resampler = av.AudioResampler(format="s16p", rate=rate)
        pieces = []
        for frame in container.decode(streams[stream]):
            if frame.format.name in _FLOATS and not np.isfinite(frame.to_ndarray()).all():
                raise DataError(f"{path}: stream {stream} has NaN or infinite samples")
            pieces += [f.to_ndarray() for f in resampler.resample(frame)]
        pieces += [f.to_ndarray() for f in resampler.resample(None)]
    if not pieces:
        raise DataError(f"{path}: stream {stream} has no audio")
    return np.concatenate(pieces, axis=1)


class Stretches(Protocol):
    """A stereo recording; parts of it can be read."""

    @property
    def frames(self) -> int:
        """Samples of each channel."""

    @property
    def relative_rate(self) -> float:
        """Its sample rate divided by the sample rate of the crops."""

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """``[2, count]`` from ``start`` on."""


@dataclass(frozen=True)
class Source:
    """One stem of one song, or one recording that is a stem by itself (``stem="other"`` …)."""

    song: str
    stem: str
    audio: NDArray[np.int16]
    relative_rate: float = 1.0

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return int(self.audio.shape[1])

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """``[2, count]`` from ``start`` on."""
        return np.asarray(
            self.audio[:, start : start + count].astype(np.float32) / 32768, np.float32
        )


def musdb_files(
    root: Path, names: set[str] | None, exclude: set[str]
) -> Iterator[tuple[str, str, Path, int]]:
    """(song, stem, file, stream) of a MUSDB folder: ``*.stem.mp4`` files or HQ song folders.

    Raises
    ------
    DataError
        there is no such folder, no song in it, or none of those that are wanted.
    """
    songs = songs_in(root)
    if not songs:
        raise DataError(_no_songs(root))
    wanted = {s: p for s, p in songs.items() if s not in exclude and (names is None or s in names)}
    if not wanted:
        which = "only songs that are kept for validation" if names is None else "none of the songs"
        expected = "" if names is None else f" {', '.join(sorted(names)[:2])} …"
        raise DataError(
            f"{root}: {len(songs)} songs with stems, but {which}{expected}; give all of MUSDB's "
            "train folder"
        )
    for song, entry in wanted.items():
        for stem in STEMS:
            if entry.is_dir():
                yield song, stem, entry / f"{stem}.wav", 0
            else:
                yield song, stem, entry, _MP4_STREAMS[stem]


def songs_in(root: Path) -> dict[str, Path]:
    """Songs with stems of a MUSDB folder, in order: a ``.stem.mp4`` file or a folder of each.

    Raises
    ------
    DataError
        there is no such folder.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "no such folder"
        raise DataError(f"{root}: {found}; expected {_LAYOUT}")
    songs = {}
    for entry in sorted(root.iterdir()):
        if entry.name.endswith(".stem.mp4") and not entry.is_dir():
            songs[entry.name.removesuffix(".stem.mp4")] = entry
        elif entry.is_dir() and (entry / "vocals.wav").exists():
            songs[entry.name] = entry
    return songs


def _no_songs(root: Path) -> str:
    """What the folder holds instead of songs, and which folders below it hold songs."""
    entries = sorted(path.name for path in root.iterdir())
    found = f"{', '.join(entries[:3])}{' …' if len(entries) > 3 else ''}" if entries else "nothing"
    below = [root / name for name in entries if (root / name).is_dir() and songs_in(root / name)]
    instead = f"; give {' or '.join(map(str, below[:2]))}" if below else ""
    return f"{root}: no songs with stems, found {found}; expected {_LAYOUT}{instead}"


def musdb_folders(roots: list[Path]) -> Iterator[tuple[str, str, Path, int]]:
    """:func:`musdb_files` of several folders, e.g. MUSDB's and one of ``tokensep synth``.

    Raises
    ------
    DataError
        two folders hold a song of the same name: its stems would replace each other.
    """
    seen: dict[str, Path] = {}
    for root in roots:
        for entry in musdb_files(root, None, set()):
            if seen.setdefault(entry[0], root) != root:
                raise DataError(f"song {entry[0]!r} is in {seen[entry[0]]} and in {root}")
            yield entry


def loose_files(root: Path) -> Iterator[tuple[str, str, Path, int]]:
    """Every recording below ``root``; the stem is guessed from its name, else ``other``.

    Raises
    ------
    DataError
        there is none.
    """
    words = {"vocadito": "vocals", "voc": "vocals", "drum": "drums", "bass": "bass"}
    paths = [p for p in sorted(root.rglob("*")) if p.suffix.lower() in _LOOSE]
    if not paths:
        found = "no recordings below it" if root.is_dir() else "no such folder"
        raise DataError(f"{root}: {found}; expected {', '.join(sorted(_LOOSE))}")
    for path in paths:
        low = str(path.relative_to(root)).lower()
        stem = next((s for w, s in words.items() if w in low), "other")
        yield path.stem, stem, path, 0


class StemStore:
    """All sources of a training or validation set, decoded once into ``folder``.

    ``facts`` say what it was made from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_json(folder / cache.INDEX)
        self.facts: dict[str, Any] = read_json(folder / cache.SOURCE)
        flat = read_flat(folder / "audio.npy", np.int16)
        try:
            self.rate: int = index["rate"]
            self.sources = [_source(flat, entry) for entry in index["sources"]]
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(folder / cache.INDEX, repr(error)) from error

    @classmethod
    def build(
        cls,
        folder: Path,
        files: Iterable[tuple[str, str, Path, int]],
        rate: int,
        *,
        together: bool = False,
    ) -> StemStore:
        """Decode ``files`` to stereo int16 and write the folder (kept if it is complete).

        ``together``: the stems of a song are used at the same place, and must be equally long.

        Of several processes one decodes and the others wait (:mod:`benchsep_training.once`).

        Raises
        ------
        DataError
            there are no files, one cannot be read, the folder holds those of other files, or
            stems that belong together are not equally long.
        """
        files = list(files)
        if not files:
            raise DataError(f"found no recordings for {folder}, expected MUSDB files or audio")
        facts = {"files": cache.fingerprint(files), "rate": rate}

        def make() -> None:
            cache.declare(folder, facts)
            cls._write(folder, files, rate, together)

        once.prepare(folder, lambda: cache.is_ready(folder, facts), make)
        return cls(folder)

    @staticmethod
    def _write(
        folder: Path, files: list[tuple[str, str, Path, int]], rate: int, together: bool
    ) -> None:
        try:
            entries = _decode_all(folder / "audio.npy", files, rate, together)
            # Last and whole: a folder with an index is complete.
            write_atomically(folder / cache.INDEX, json.dumps({"rate": rate, "sources": entries}))
        except (OSError, StoreError) as error:
            raise DataError(
                f"{folder}: cannot be written ({without_path(error)}); free some space"
            ) from error

    def of(self, stem: str) -> list[Source]:
        """The sources of one stem."""
        return [s for s in self.sources if s.stem == stem]

    def songs(self) -> list[str]:
        """Names of the songs, each once, in order."""
        return list(dict.fromkeys(s.song for s in self.sources))


def _source(flat: NDArray[np.int16], entry: dict[str, Any]) -> Source:
    """A row of the index; numpy raises if the array ends before it does."""
    start, length = entry["at"], entry["length"]
    audio = flat[start : start + 2 * length].reshape(2, length)
    return Source(entry["song"], entry["stem"], audio)


def _decode_all(
    path: Path, files: list[tuple[str, str, Path, int]], rate: int, together: bool
) -> list[dict[str, Any]]:
    """Write the recordings to one flat file, one at a time; returns the rows of the index."""
    entries: list[dict[str, Any]] = []
    lengths: dict[str, dict[str, int]] = {}
    with FlatFile(path, np.int16) as flat:
        for song, stem, source, stream in files:
            audio = decode(source, stream, rate)
            audio = np.repeat(audio, 2, 0) if audio.shape[0] == 1 else audio[:2]
            entry = {"song": song, "stem": stem, "at": flat.length, "length": audio.shape[1]}
            entries.append(entry)
            lengths.setdefault(song, {})[stem] = audio.shape[1]
            if together:
                check_lengths(source, lengths[song])
            flat.append(audio)
    return entries


def check_lengths(path: Path, lengths: dict[str, int]) -> None:
    """Refuse a song whose stems (their ``lengths`` in samples) do not belong together.

    Raises
    ------
    DataError
        they are not equally long.
    """
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{stem} {length}" for stem, length in lengths.items())
        raise DataError(
            f"{path}: stems of different lengths ({found} samples); expected one length; pad or "
            "cut them, or remove the song from the folder"
        )


@dataclass(frozen=True)
class Augment:
    """Random changes of a crop: their probabilities and ranges."""

    gain_db: tuple[float, float] = (-12.0, 6.0)
    polarity: float = 0.5
    speed: float = 0.5
    speed_range: tuple[float, float] = (0.9, 1.1)
    eq: float = 0.3
    eq_db: float = 6.0
    sum_two: float = 0.15
    silence: float = 0.02


def speed(wave: NDArray[np.float32], ratio: float, length: int) -> NDArray[np.float32]:
    """Play ``wave`` ``ratio`` times as fast (pitch moves along), cut to ``length`` samples."""
    import soxr

    out: NDArray[np.float32] = soxr.resample(wave, 44100 * ratio, 44100, quality="MQ")
    if len(out) < length:
        out = np.pad(out, (0, length - len(out)))
    return out[:length].astype(np.float32)


def parametric_eq(
    wave: NDArray[np.float32], rate: int, hz: float, gain_db: float, q: float
) -> NDArray[np.float32]:
    """One peaking biquad (RBJ cookbook): ``gain_db`` at ``hz``, width ``hz / q``."""
    from scipy.signal import lfilter

    a = 10 ** (gain_db / 40)
    w = 2 * np.pi * hz / rate
    alpha = np.sin(w) / (2 * q)
    b = np.array([1 + alpha * a, -2 * np.cos(w), 1 - alpha * a])
    den = np.array([1 + alpha / a, -2 * np.cos(w), 1 - alpha / a])
    return np.asarray(lfilter(b / den[0], den / den[0], wave, axis=-1), np.float32)


def crop(
    source: Stretches, length: int, rng: Generator, augment: Augment, rate: int
) -> NDArray[np.float32]:
    """A random mono crop of one source: random channel mix, speed, EQ, polarity, gain."""
    ratio = source.relative_rate
    if rng.random() < augment.speed:
        ratio *= float(rng.uniform(*augment.speed_range))
    need = min(int(np.ceil(length * ratio)) + 64, source.frames)
    start = int(rng.integers(0, source.frames - need + 1))
    piece = source.read(start, need)
    side = float(rng.choice([0.5, 0.5, 0.0, 1.0]))
    wave = side * piece[0] + (1 - side) * piece[1]
    wave = speed(wave, ratio, length) if ratio != 1.0 else wave[:length]
    if len(wave) < length:
        wave = np.pad(wave, (0, length - len(wave)))
    if rng.random() < augment.eq:
        hz = float(np.exp(rng.uniform(np.log(60), np.log(10000))))
        wave = parametric_eq(
            wave,
            rate,
            hz,
            float(rng.uniform(-augment.eq_db, augment.eq_db)),
            float(rng.uniform(0.5, 2)),
        )
    if rng.random() < augment.polarity:
        wave = -wave
    gain = 10 ** (float(rng.uniform(*augment.gain_db)) / 20)
    peak = float(np.abs(wave).max())
    return np.asarray(wave * min(gain, 0.99 / max(peak, 1e-9)), np.float32)


def codec_batch(
    store: StemStore, batch: int, length: int, rng: Generator, augment: Augment
) -> NDArray[np.float32]:
    """``[batch, length]``: single stems, sometimes two of them, sometimes nothing."""
    out = np.zeros((batch, length), np.float32)
    by_stem = [store.of(s) for s in STEMS]
    for i in range(batch):
        if rng.random() < augment.silence:
            continue
        count = 2 if rng.random() < augment.sum_two else 1
        for _ in range(count):
            pool = by_stem[int(rng.integers(len(by_stem)))] or store.sources
            source = pool[int(rng.integers(len(pool)))]
            out[i] += crop(source, length, rng, augment, store.rate)
        peak = float(np.abs(out[i]).max())
        if peak > 0.99:
            out[i] *= 0.99 / peak
    return out
