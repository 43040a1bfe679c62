"""Level, vary and encode songs: one clip of wave and codes for each stem and version.

Conventions
-----------
Variant 0 is the recording as it is; the others differ in speed (one ratio per song, so that its
stems stay together), gain, polarity, one parametric EQ band, and in the offset of the frame grid.
Levels: each song is brought to the configuration's loudness first (the RMS of its mono mixture). A
song may come with a "stem" :data:`RESIDUAL`: what its recorded mixture holds beyond the sum of its
stems. It is levelled, sped up and shifted with them, and has no codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from tokensep.codec.interface import device_of
from tokensep.lm.config import TokenSepConfig
from tokensep.train.data import StemStore, parametric_eq, speed
from tokensep.train.pseudo_labels.reading import RESIDUAL

Song = tuple[str, dict[str, NDArray[np.float32]]]
"""A name, and mono stems ``[T]`` of equal length."""


@dataclass(frozen=True)
class Clip:
    """One source in one variant: ``wave [F x hop]`` and ``codes [K, F]``, semantic first."""

    song: str
    stem: str
    variant: int
    wave: NDArray[np.float16]
    codes: NDArray[np.int16]

    @property
    def frames(self) -> int:
        return int(self.codes.shape[1])


def loudness_gain(mono: NDArray[np.float32], target_db: float) -> float:
    """The factor that brings ``mono`` to ``target_db`` dBFS RMS (1 for silence)."""
    rms = float(np.sqrt(np.mean(np.square(mono, dtype=np.float64))))
    return 10 ** (target_db / 20) / rms if rms > 1e-6 else 1.0


def _mono(audio: NDArray[np.int16]) -> NDArray[np.float32]:
    return np.asarray(audio.astype(np.float32).mean(0) / 32768, np.float32)


def _vary(
    wave: NDArray[np.float32], ratio: float, shift: int, rate: int, rng: Generator
) -> NDArray[np.float32]:
    """One augmented version of a stem."""
    wave = varied_sound(_moved(wave, ratio, shift), rate, rng)
    return -wave if rng.random() < 0.5 else wave


def varied_sound(wave: NDArray[np.float32], rate: int, rng: Generator) -> NDArray[np.float32]:
    """``[…, T]`` at another level (-6 to 4 dB) and, half of the time, with one EQ band."""
    wave = wave * np.float32(10 ** (float(rng.uniform(-6, 4)) / 20))
    if rng.random() < 0.5:
        # below half the rate: above, the filter is not stable
        hz = float(np.exp(rng.uniform(np.log(60), np.log(min(10_000, 0.45 * rate)))))
        wave = parametric_eq(wave, rate, hz, float(rng.uniform(-5, 5)), float(rng.uniform(0.5, 2)))
    return wave


def speed_ratio(rng: Generator) -> float:
    """The speed ratio of one song, common to all its stems: 0.9 to 1.1, or 1 (probability 0.3)."""
    return float(rng.uniform(0.9, 1.1)) if rng.random() < 0.7 else 1.0


def _moved(wave: NDArray[np.float32], ratio: float, shift: int) -> NDArray[np.float32]:
    """The changes common to all parts of a song: speed and offset of the frame grid."""
    if ratio != 1.0:
        wave = speed(wave, ratio, int(len(wave) / ratio))
    return wave[shift:]


def song_variants(
    stems: dict[str, NDArray[np.float32]], variants: int, config: TokenSepConfig, seed: list[int]
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """All versions of one song's stems, levelled, one at a time; variant 0 untouched."""
    gain = loudness_gain(np.sum(list(stems.values()), axis=0), config.loudness)
    yield {stem: gain * wave for stem, wave in stems.items()}
    for v in range(1, variants):
        rng = np.random.default_rng([*seed, v])
        ratio = speed_ratio(rng)
        shift = int(rng.integers(config.frame_hop))
        yield {
            stem: _moved(gain * wave, ratio, shift)
            if stem == RESIDUAL
            else _vary(gain * wave, ratio, shift, config.rate, rng)
            for stem, wave in stems.items()
        }


def store_songs(store: StemStore, names: set[str]) -> Iterator[Song]:
    """Mono stems of the songs ``names`` of a store, in its order."""
    for song in store.songs():
        if song in names:
            yield song, {s.stem: _mono(s.audio) for s in store.sources if s.song == song}


def encode_songs(
    songs: Iterable[Song], codec: Any, config: TokenSepConfig, *, variants: int = 1, seed: int = 0
) -> Iterator[Clip]:
    """The clips of ``songs`` in ``variants`` versions; memory holds one version of one song."""
    for number, (song, stems) in enumerate(songs):
        for v, version in enumerate(song_variants(stems, variants, config, [seed, number])):
            for stem, wave in version.items():
                cut, codes = encode_wave(wave, stem, codec, config)
                yield Clip(song, stem, v, cut.astype(np.float16), codes)


@torch.no_grad()
def encode_wave(
    wave: NDArray[np.float32], stem: str, codec: Any, config: TokenSepConfig
) -> tuple[NDArray[np.float32], NDArray[np.int16]]:
    """The whole token frames of ``wave``, and their codes ``[K, F]`` (zeros for a residual)."""
    frames = len(wave) // config.frame_hop
    cut = wave[: frames * config.frame_hop]
    if stem == RESIDUAL:
        return cut, np.zeros((config.layers, frames), np.int16)
    given = torch.from_numpy(np.ascontiguousarray(cut))[None].to(device_of(codec))
    codes = codec.encode(given).stack()[0].cpu().numpy().astype(np.int16)
    return cut, codes


@torch.no_grad()
def silence_codes(codec: Any, config: TokenSepConfig) -> NDArray[np.int16]:
    """The codes ``[K]`` of digital silence, away from the edges."""
    frames = 16
    silence = torch.zeros(1, frames * config.frame_hop, device=device_of(codec))
    codes = codec.encode(silence).stack()[0]
    return np.asarray(codes[:, frames // 2].cpu().numpy(), np.int16)
