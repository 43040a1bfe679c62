"""Training material: MUSDB18 (7-second edition) stems held in memory, remixed at every step.

Conventions
-----------
stems     float16 ``[4, 2, T]`` a song, 44.1 kHz, in the order of :data:`SOURCES`
batch     ``(mixture [B, 2, T], targets [B, 4, 2, T])`` float32; the mixture is the exact sum
split     the validation songs of the ``musdb`` package's ``configs/mus.yaml`` are never trained on

A batch depends on ``(seed, step)`` alone, so a resumed training sees what an undisturbed one
would have seen, without any generator state to save.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Song = NDArray[np.float16]
"""Stems ``[4, 2, T]`` of a song."""

RATE = 44_100
SOURCES = ("drums", "bass", "other", "vocals")
"""Stem order of the small models, which is that of every public 4-stem model."""


def validation_songs() -> list[str]:
    """The names that ``musdb``'s own configuration keeps out of training (14 songs).

    Raises
    ------
    Unavailable
        where the package ``musdb`` is not installed (nothing of it is imported: that needs ffmpeg).
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
    """``(training, validation)`` songs under ``root/train``, decoded once into ``cache``."""
    from benchsep.errors import DatasetError

    files = sorted((root / "train").glob("*.stem.mp4"))
    if not files:
        raise DatasetError(f"{root}/train holds no .stem.mp4; give the root of musdb18-7s")
    held_out = set(validation_songs())
    stored = dict(np.load(cache)) if cache is not None and cache.is_file() else {}
    songs = {f.name.removesuffix(".stem.mp4"): f for f in files}
    decoded: dict[str, Any] = {
        name: stored[name] if name in stored else decode_stems(f) for name, f in songs.items()
    }
    if cache is not None and len(stored) != len(decoded):
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, **decoded)
    missing = held_out - set(decoded)
    if missing:
        raise DatasetError(f"validation songs absent from {root}/train: {sorted(missing)}")
    training = [audio for name, audio in decoded.items() if name not in held_out]
    return training, [decoded[name] for name in sorted(held_out)]


def batch(
    songs: list[Song],
    *,
    seed: int,
    step: int,
    size: int,
    frames: int,
    remix: float = 0.7,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A random batch: crops, stems mixed across songs, gains of ±6 dB, polarity, channel swap.

    Each item is scaled so that its mixture has unit standard deviation, which weighs a quiet
    song as much as a loud one, as SDR does.
    """
    rng = np.random.default_rng((seed, step))
    targets = np.empty((size, 4, 2, frames), np.float32)
    for item in range(size):
        song = int(rng.integers(len(songs)))
        start = _start(rng, songs[song], frames)
        mixed = rng.random() < remix
        for source in range(4):
            if mixed:
                song = int(rng.integers(len(songs)))
                start = _start(rng, songs[song], frames)
            stem = songs[song][source, :, start : start + frames].astype(np.float32)
            if rng.random() < 0.5:
                stem = stem[::-1]
            gain = 10 ** (rng.uniform(-6, 6) / 20) * (1 if rng.random() < 0.5 else -1)
            targets[item, source] = stem * np.float32(gain)
    mixture = targets.sum(1)
    scale = 1 / (mixture.std(axis=(1, 2)) + 1e-4)
    return mixture * scale[:, None, None], targets * scale[:, None, None, None]


def _start(rng: np.random.Generator, song: NDArray[np.float16], frames: int) -> int:
    return int(rng.integers(max(1, song.shape[-1] - frames)))
