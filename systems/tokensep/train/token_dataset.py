"""Training crops for the LM: stems encoded once, remixed at every step.

Conventions
-----------
A data set holds, for each source and each of ``variants`` augmented versions, the mono waveform
(float16) and its codes (``[K, F]``, semantic first), cut to whole token frames. A crop takes F
frames of each stem at a frame boundary: codes are sliced, waveforms are summed to the mixture. So
the codec encodes a stem once per variant, not once per crop; the price is that a crop's codes
were made with the audio around it in view.

Variant 0 is the recording as it is; the others differ in speed (one ratio per song, so that its
stems stay together), gain, polarity, one parametric EQ band, and in where the frame grid falls.
Levels: each song is brought to the configuration's loudness first (the RMS of its mono mixture).
Every choice of a crop is a function of (seed, step, index): no state to save, and a rank can make
its share of a batch alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchsep_training.seeds import generator
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from benchsep._util.atomic import write_atomically
from benchsep.errors import StoreError
from tokensep.codec.interface import device_of
from tokensep.errors import DataError
from tokensep.lm.config import TokenSepConfig
from tokensep.train.data import StemStore, parametric_eq, speed


@dataclass(frozen=True)
class Clip:
    """One source in one variant."""

    song: str
    stem: str
    variant: int
    wave: NDArray[np.float16]
    codes: NDArray[np.int16]

    @property
    def frames(self) -> int:
        return int(self.codes.shape[1])


@dataclass(frozen=True)
class Crop:
    """``stems [S, F x hop]`` as waves and as ``codes [S, K, F]``."""

    stems: NDArray[np.float32]
    codes: NDArray[np.int64]

    @property
    def wave(self) -> NDArray[np.float32]:
        """The mixture ``[F x hop]``."""
        return np.asarray(self.stems.sum(0), dtype=np.float32)


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
    if ratio != 1.0:
        wave = speed(wave, ratio, int(len(wave) / ratio))
    wave = wave[shift:] * 10 ** (float(rng.uniform(-6, 4)) / 20)
    if rng.random() < 0.5:
        hz = float(np.exp(rng.uniform(np.log(60), np.log(10_000))))
        wave = parametric_eq(wave, rate, hz, float(rng.uniform(-5, 5)), float(rng.uniform(0.5, 2)))
    return -wave if rng.random() < 0.5 else wave


def song_variants(
    stems: dict[str, NDArray[np.float32]], variants: int, config: TokenSepConfig, seed: list[int]
) -> list[dict[str, NDArray[np.float32]]]:
    """All versions of one song's stems, levelled; variant 0 untouched."""
    gain = loudness_gain(np.sum(list(stems.values()), axis=0), config.loudness)
    versions = [{stem: gain * wave for stem, wave in stems.items()}]
    for v in range(1, variants):
        rng = np.random.default_rng([*seed, v])
        ratio = float(rng.uniform(0.9, 1.1)) if rng.random() < 0.7 else 1.0
        shift = int(rng.integers(config.frame_hop))
        versions.append(
            {s: _vary(gain * w, ratio, shift, config.rate, rng) for s, w in stems.items()}
        )
    return versions


def store_songs(
    store: StemStore, names: set[str]
) -> Iterator[tuple[str, dict[str, NDArray[np.float32]]]]:
    """Mono stems of the songs ``names`` of a store, in its order."""
    for song in store.songs():
        if song in names:
            yield song, {s.stem: _mono(s.audio) for s in store.sources if s.song == song}


class TokenDataset:
    """Encoded stems of many songs, and the crops made of them."""

    def __init__(
        self, clips: list[Clip], config: TokenSepConfig, silence: NDArray[np.int16]
    ) -> None:
        if not clips:
            raise DataError("the data set holds no clips; expected at least one song with stems")
        self.config, self.silence = config, silence
        self.clips = clips
        self.pools = {s: [c for c in clips if c.stem == s] for s in config.stems}
        missing = [s for s, pool in self.pools.items() if not pool]
        if missing:
            raise DataError(f"no recording of {', '.join(missing)} among {len(clips)} clips")
        groups: dict[tuple[str, int], dict[str, Clip]] = {}
        for clip in clips:
            groups.setdefault((clip.song, clip.variant), {})[clip.stem] = clip
        self.songs = [g for g in groups.values() if set(g) == set(config.stems)]

    @classmethod
    def build(
        cls,
        songs: Iterable[tuple[str, dict[str, NDArray[np.float32]]]],
        codec: Any,
        config: TokenSepConfig,
        *,
        variants: int = 1,
        seed: int = 0,
    ) -> TokenDataset:
        """Encode every stem of ``songs`` (name, mono stems) in ``variants`` versions."""
        clips: list[Clip] = []
        for number, (song, stems) in enumerate(songs):
            for v, version in enumerate(song_variants(stems, variants, config, [seed, number])):
                clips += _encode(song, v, version, codec, config)
        return cls(clips, config, silence_codes(codec, config))

    def save(self, folder: Path) -> None:
        """Waves and codes in two flat arrays and an index.

        Raises
        ------
        DataError
            naming the folder when there is no room in it.
        """
        try:
            self._save(folder)
        except (OSError, StoreError) as error:
            raise DataError(f"{folder}: cannot be written ({error}); free some space") from error

    def _save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "waves.npy", np.concatenate([c.wave for c in self.clips]))
        np.save(folder / "codes.npy", np.concatenate([c.codes.ravel() for c in self.clips]))
        np.save(folder / "silence.npy", self.silence)
        entries = [[c.song, c.stem, c.variant, c.frames] for c in self.clips]
        # Last and whole: a folder with an index is complete.
        write_atomically(folder / "index.json", json.dumps(entries))

    @classmethod
    def load(cls, folder: Path, config: TokenSepConfig) -> TokenDataset:
        """Inverse of :meth:`save`, memory-mapped."""
        waves = np.load(folder / "waves.npy", mmap_mode="r")
        codes = np.load(folder / "codes.npy", mmap_mode="r")
        clips, at, hop, layers = [], 0, config.frame_hop, config.layers
        for song, stem, variant, frames in json.loads((folder / "index.json").read_text()):
            wave = waves[at * hop : (at + frames) * hop]
            block = codes[at * layers : (at + frames) * layers].reshape(layers, frames)
            clips.append(Clip(song, stem, variant, wave, block))
            at += frames
        return cls(clips, config, np.load(folder / "silence.npy"))

    def crop(self, rng: Generator, *, remix: float, silent: float = 0.04) -> Crop:
        """One random crop: from one song, or (``remix``) each stem from its own song and place."""
        together = bool(self.songs) and rng.random() >= remix
        song = self.songs[int(rng.integers(len(self.songs)))] if together else {}
        shared = float(rng.random())
        waves, codes = self._empty()
        for s, stem in enumerate(self.config.stems):
            pool = self.pools[stem]
            clip = song[stem] if together else pool[int(rng.integers(len(pool)))]
            place = shared if together else float(rng.random())
            if rng.random() < silent:
                codes[s] = self.silence[:, None]
                continue
            self._paste(clip, place, waves[s], codes[s])
        return Crop(waves, codes)

    def _empty(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        frames, stems = self.config.window_frames, len(self.config.stems)
        waves = np.zeros((stems, frames * self.config.frame_hop), np.float32)
        return waves, np.empty((stems, self.config.layers, frames), np.int64)

    def _paste(
        self, clip: Clip, place: float, wave: NDArray[np.float32], codes: NDArray[np.int64]
    ) -> None:
        """Put ``clip`` from relative ``place`` on; what it is too short for stays silent."""
        frames, hop = codes.shape[1], self.config.frame_hop
        start = int(place * (max(clip.frames - frames, 0) + 1))
        held = min(frames, clip.frames - start)
        wave[: held * hop] = clip.wave[start * hop : (start + held) * hop]
        codes[:, :held] = clip.codes[:, start : start + held]
        codes[:, held:] = self.silence[:, None]

    def windows(self, per_song: int) -> list[Crop]:
        """Fixed crops for validation: ``per_song`` evenly spaced ones of each untouched song."""
        crops = []
        for song in self.songs:
            if next(iter(song.values())).variant:
                continue
            for place in np.linspace(0, 0.999, per_song):
                waves, codes = self._empty()
                for s, stem in enumerate(self.config.stems):
                    self._paste(song[stem], float(place), waves[s], codes[s])
                crops.append(Crop(waves, codes))
        return crops

    def batch(self, seed: int, step: int, indices: range, *, remix: float) -> tuple[Tensor, Tensor]:
        """Crops ``indices`` of ``step``: waves ``[b, T]``, codes ``[b, S, K, F]``."""
        crops = [self.crop(generator("crops", seed, step, i), remix=remix) for i in indices]
        return stacked(crops)


def stacked(crops: list[Crop]) -> tuple[Tensor, Tensor]:
    """Crops → tensors."""
    waves = torch.from_numpy(np.stack([c.wave for c in crops]))
    return waves, torch.from_numpy(np.stack([c.codes for c in crops]))


@torch.no_grad()
def _encode(
    song: str,
    variant: int,
    stems: dict[str, NDArray[np.float32]],
    codec: Any,
    config: TokenSepConfig,
) -> list[Clip]:
    hop, device = config.frame_hop, device_of(codec)
    clips = []
    for stem, wave in stems.items():
        frames = len(wave) // hop
        cut = wave[: frames * hop]
        given = torch.from_numpy(np.ascontiguousarray(cut))[None].to(device)
        kept = codec.encode(given).stack()[0].cpu().numpy().astype(np.int16)
        clips.append(Clip(song, stem, variant, cut.astype(np.float16), kept))
    return clips


@torch.no_grad()
def silence_codes(codec: Any, config: TokenSepConfig) -> NDArray[np.int16]:
    """The codes ``[K]`` of digital silence, away from the edges."""
    frames = 16
    silence = torch.zeros(1, frames * config.frame_hop, device=device_of(codec))
    codes = codec.encode(silence).stack()[0]
    return np.asarray(codes[:, frames // 2].cpu().numpy(), np.int16)
