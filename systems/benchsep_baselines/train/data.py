"""Training data: MUSDB18 stems (7-second edition) in memory, remixed at every step.

Conventions
-----------
stems     float16 ``[4, 2, T]`` per song, 44.1 kHz, in the order of :data:`SOURCES`
batch     ``(mixture [B, 2, T], targets [B, 4, 2, T])`` float32; the mixture is the exact sum
split     the validation songs of the ``musdb`` package's ``configs/mus.yaml`` are never trained on

A batch depends only on ``(seed, step)``, so a resumed training gets the same batches as an
uninterrupted one, without storing a generator state.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Song = NDArray[np.float16]
"""Stems ``[4, 2, T]`` of a song."""

RATE = 44_100
SOURCES = ("drums", "bass", "other", "vocals")
"""Stem order of the small models, the same as in public 4-stem models."""

SPEED = 1.12
"""Largest speed factor (and inverse of the smallest), two semitones."""

SILENT = 1e-3
"""A crop with a lower peak counts as silent; tracks of synthetic songs may pause for minutes."""

TRIES = 4
"""Most draws for a crop of a synthetic song that is not silent."""


def validation_songs() -> list[str]:
    """The 14 validation songs of ``musdb``'s configuration.

    Raises
    ------
    Unavailable
        the package ``musdb`` is not installed (it is not imported, because this needs ffmpeg).
    """
    import yaml

    from benchsep.errors import Unavailable

    spec = importlib.util.find_spec("musdb")
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable("the validation split is musdb's: pip install 'benchsep[musdb]'")
    path = Path(spec.submodule_search_locations[0]) / "configs" / "mus.yaml"
    return list(yaml.safe_load(path.read_text(encoding="utf-8"))["validation_tracks"])


def decode_stems(path: Path) -> NDArray[np.float16]:
    """The four stems of a ``.stem.mp4``: float16 ``[4, 2, T]``.

    The file's audio streams are mixture, drums, bass, other, vocals; the mixture is left out
    since it was coded separately and is not the sum of the others.
    """
    import av

    stems = []
    for index in range(1, 5):
        with av.open(str(path)) as container:
            frames = [f.to_ndarray() for f in container.decode(container.streams.audio[index])]
        stems.append(np.concatenate(frames, axis=1).astype(np.float32))
    frames = min(stem.shape[1] for stem in stems)
    return np.stack([stem[:, :frames] for stem in stems]).astype(np.float16)


def load_songs(root: Path, cache: Path | None = None) -> tuple[list[Song], list[Song]]:
    """``(training, validation)`` songs under ``root/train``, decoded once into ``cache``, and again
    if size or time of a file change.
    """
    from benchsep.errors import DatasetError

    files = sorted((root / "train").glob("*.stem.mp4"))
    if not files:
        raise DatasetError(f"{root}/train found no .stem.mp4; give the root folder of musdb18-7s")
    held_out = set(validation_songs())
    stored = dict(np.load(cache)) if cache is not None and cache.is_file() else {}
    keys = {f.name.removesuffix(".stem.mp4"): (f, _key(f)) for f in files}
    decoded: dict[str, Any] = {
        name: stored[key] if key in stored else decode_stems(f) for name, (f, key) in keys.items()
    }
    if cache is not None and set(stored) != {key for _, key in keys.values()}:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, **{key: decoded[name] for name, (_, key) in keys.items()})
    missing = held_out - set(decoded)
    if missing:
        raise DatasetError(f"validation songs are missing in {root}/train: {sorted(missing)}")
    training = [audio for name, audio in decoded.items() if name not in held_out]
    return training, [decoded[name] for name in sorted(held_out)]


def _key(file: Path) -> str:
    """The name of a file's audio in the cache: of the file, its size and its time."""
    facts = file.stat()
    return f"{file.name} {facts.st_size} {facts.st_mtime_ns}"


class StemFolder:
    """A song on disk in the layout of MUSDB18-HQ; crops are read from its 16-bit files."""

    def __init__(self, folder: Path) -> None:
        import soundfile

        from benchsep.errors import DatasetError

        self.paths = [folder / f"{source}.wav" for source in SOURCES]
        missing = [path.name for path in self.paths if not path.is_file()]
        if missing:
            raise DatasetError(
                f"{folder}: {', '.join(missing)} is missing; expected the four stems"
            )
        found = [soundfile.info(str(path)) for path in self.paths]
        if any((info.samplerate, info.channels) != (RATE, 2) for info in found):
            raise DatasetError(f"{folder}: expected stereo stems at {RATE} Hz")
        self.frames = min(int(info.frames) for info in found)

    def crop(self, source: int, start: int, frames: int) -> NDArray[np.float32]:
        """Samples ``[2, frames]`` of a stem, with zeros behind its end."""
        import soundfile

        audio, _ = soundfile.read(
            str(self.paths[source]), frames, start, dtype="float32", always_2d=True, fill_value=0
        )
        return np.ascontiguousarray(audio.T)


def load_folders(folders: Sequence[Path]) -> list[StemFolder]:
    """All songs below ``folders``, by name.

    Raises
    ------
    DatasetError
        A folder has no song.
    """
    from benchsep.errors import DatasetError

    songs = []
    for folder in folders:
        found = sorted(path.parent for path in folder.glob("*/other.wav"))
        if not found:
            raise DatasetError(f"{folder}: found no song, expected folders with other.wav")
        songs += [StemFolder(path) for path in found]
    return songs


@dataclass(frozen=True)
class Mixing:
    """Settings of the batches."""

    remix: float = 0.7
    """Share of items whose stems come from different songs."""
    extra: float = 0.0
    """Share of drums, bass and other that comes from :attr:`Material.extra`."""
    speed: float = 0.0
    """Share of items played faster or slower, by up to :data:`SPEED`; stem by stem if remixed."""


@dataclass(frozen=True)
class Material:
    """Songs to train on."""

    songs: list[Song]
    """Songs with vocals, drawn with equal probability."""
    extra: list[StemFolder] = field(default_factory=list)
    """Synthetic songs. Their vocals come from ``songs`` and are not used."""


def batch(
    material: Material, mixing: Mixing, *, seed: int, step: int, size: int, frames: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A random batch: crops, stems mixed across songs, gains of ±6 dB, polarity, channel swap.

    Each item is scaled to a mixture with unit standard deviation, so that quiet and loud songs have
    equal weight, as in SDR.
    """
    rng = np.random.default_rng((seed, step))
    targets = np.empty((size, 4, 2, frames), np.float32)
    for item in range(size):
        place = _place(rng, material, mixing, 0, frames)
        mixed = rng.random() < mixing.remix
        for source, name in enumerate(SOURCES):
            if mixed or (name == "vocals" and isinstance(place.song, StemFolder)):
                place = _place(rng, material, mixing, source, frames)
            stem = place.read(source, frames)
            if rng.random() < 0.5:
                stem = stem[::-1]
            gain = 10 ** (rng.uniform(-6, 6) / 20) * (1 if rng.random() < 0.5 else -1)
            targets[item, source] = stem * np.float32(gain)
    mixture = targets.sum(1)
    scale = 1 / (mixture.std(axis=(1, 2)) + 1e-4)
    return mixture * scale[:, None, None], targets * scale[:, None, None, None]


@dataclass(frozen=True)
class _Place:
    """Song, position and speed of a crop."""

    song: Song | StemFolder
    start: int
    speed: float

    def read(self, source: int, frames: int) -> NDArray[np.float32]:
        wanted = round(frames * self.speed)
        return played(_crop(self.song, source, self.start, wanted), frames)


def _place(
    rng: np.random.Generator, material: Material, mixing: Mixing, source: int, frames: int
) -> _Place:
    # Options that are off draw no random number, so the batches of earlier trainings are unchanged.
    faster = mixing.speed > 0 and rng.random() < mixing.speed
    speed = float(rng.uniform(1 / SPEED, SPEED)) if faster else 1.0
    made = SOURCES[source] != "vocals" and bool(material.extra) and mixing.extra > 0
    made = made and rng.random() < mixing.extra
    songs: Sequence[Song | StemFolder] = material.extra if made else material.songs
    for _ in range(TRIES):
        song = songs[int(rng.integers(len(songs)))]
        length = song.frames if isinstance(song, StemFolder) else song.shape[-1]
        start = int(rng.integers(max(1, length - round(frames * speed))))
        if not made or np.abs(_crop(song, source, start, frames)).max() > SILENT:
            break
    return _Place(song, start, speed)


def _crop(song: Song | StemFolder, source: int, start: int, frames: int) -> NDArray[np.float32]:
    if isinstance(song, StemFolder):
        return song.crop(source, start, frames)
    part = song[source, :, start : start + frames].astype(np.float32)
    return np.pad(part, ((0, 0), (0, frames - part.shape[1])))


def played(audio: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """``[2, n]`` resampled to ``frames`` samples, which changes pitch and tempo together."""
    if audio.shape[1] == frames:
        return audio
    import soxr

    out = soxr.resample(audio.T, audio.shape[1], frames, quality="MQ").T[:, :frames]
    return np.pad(out, ((0, 0), (0, frames - out.shape[1])))
