"""Training crops for the LM: stems encoded once, remixed at every step.

Conventions
-----------
A data set holds, for each source and each of ``variants`` augmented versions, the mono waveform
(float16) and its codes (``[K, F]``, semantic first), cut to whole token frames. A crop takes F
frames of each stem at a frame boundary: codes are sliced, waveforms are summed to the mixture. So
the codec encodes a stem once per variant, not once per crop; the drawback is that a crop's codes
also depend on the audio around the crop. Where songs have a residual (``mixture: recorded``, see
:mod:`tokensep.train.encoding`), a crop that is not remixed holds it too.

Every choice of a crop is a function of (seed, step, index): there is no state to save, and each
rank can make its share of a batch alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchsep_training.seeds import generator
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from tokensep.errors import DataError
from tokensep.lm.config import TokenSepConfig
from tokensep.train.encoding import Clip, Song, encode_songs, silence_codes
from tokensep.train.flat_file import damaged, read_flat
from tokensep.train.pseudo_labels.reading import RESIDUAL
from tokensep.train.token_files import read_clips, write_clips


@dataclass(frozen=True)
class Crop:
    """Waves of the stems ``[S, F x hop]``, codes ``[S, K, F]``, and the residual ``[F x hop]``."""

    stems: NDArray[np.float32]
    codes: NDArray[np.int64]
    residual: NDArray[np.float32] | None = None

    @property
    def wave(self) -> NDArray[np.float32]:
        """The mixture ``[F x hop]``."""
        total = np.asarray(self.stems.sum(0), dtype=np.float32)
        return total if self.residual is None else total + self.residual


class TokenDataset:
    """Encoded stems of many songs, and the crops made of them."""

    def __init__(
        self, clips: list[Clip], config: TokenSepConfig, silence: NDArray[np.int16]
    ) -> None:
        if not clips:
            raise DataError("the data set has no clips, expected at least one song with stems")
        self.config, self.silence = config, silence
        self.clips = clips
        self.pools = {s: [c for c in clips if c.stem == s] for s in config.stems}
        missing = [s for s, pool in self.pools.items() if not pool]
        if missing:
            raise DataError(f"no recording of {', '.join(missing)} among {len(clips)} clips")
        groups: dict[tuple[str, int], dict[str, Clip]] = {}
        for clip in clips:
            groups.setdefault((clip.song, clip.variant), {})[clip.stem] = clip
        self.songs = [g for g in groups.values() if set(g) - {RESIDUAL} == set(config.stems)]

    @classmethod
    def build(
        cls,
        songs: Iterable[Song],
        codec: Any,
        config: TokenSepConfig,
        *,
        variants: int = 1,
        seed: int = 0,
    ) -> TokenDataset:
        """Encode every stem of ``songs`` in ``variants`` versions, in memory: for few songs."""
        clips = list(encode_songs(songs, codec, config, variants=variants, seed=seed))
        return cls(clips, config, silence_codes(codec, config))

    def save(self, folder: Path) -> None:
        """Write the clips to a folder.

        Raises
        ------
        DataError
            naming the folder when there is no room in it.
        """
        write_clips(folder, self.clips, self.silence)

    @classmethod
    def load(cls, folder: Path, config: TokenSepConfig) -> TokenDataset:
        """Inverse of :meth:`save`, memory-mapped.

        Raises
        ------
        DataError
            A file is damaged.
        """
        path = folder / "silence.npy"
        silence = np.array(read_flat(path, np.int16))
        if len(silence) != config.layers:
            raise damaged(path, f"{len(silence)} codes for {config.layers} layers")
        return cls(read_clips(folder, config), config, silence)

    def code_sample(self) -> Tensor:
        """The frames of every seventh clip, ``[N, K]``."""
        clips = [c for c in self.clips if c.stem != RESIDUAL][::7]
        return torch.cat([torch.from_numpy(c.codes.astype(np.int64)).T for c in clips])

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
        return Crop(waves, codes, self._residual(song, shared))

    def _residual(self, song: dict[str, Clip], place: float) -> NDArray[np.float32] | None:
        """The residual of a song from relative ``place`` on, if it has one."""
        if RESIDUAL not in song:
            return None
        waves, codes = self._empty()
        self._paste(song[RESIDUAL], place, waves[0], codes[0])
        return waves[0]

    def _empty(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        frames, stems = self.config.window_frames, len(self.config.stems)
        waves = np.zeros((stems, frames * self.config.frame_hop), np.float32)
        return waves, np.empty((stems, self.config.layers, frames), np.int64)

    def _paste(
        self, clip: Clip, place: float, wave: NDArray[np.float32], codes: NDArray[np.int64]
    ) -> None:
        """Insert ``clip`` from relative ``place`` on; if it is too short, the rest stays silent."""
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
                crops.append(Crop(waves, codes, self._residual(song, float(place))))
        return crops

    def batch(self, seed: int, step: int, indices: range, *, remix: float) -> tuple[Tensor, Tensor]:
        """Crops ``indices`` of ``step``: waves ``[b, T]``, codes ``[b, S, K, F]``."""
        crops = [self.crop(generator("crops", seed, step, i), remix=remix) for i in indices]
        return stacked(crops)


def stacked(crops: list[Crop]) -> tuple[Tensor, Tensor]:
    """Crops → tensors."""
    waves = torch.from_numpy(np.stack([c.wave for c in crops]))
    return waves, torch.from_numpy(np.stack([c.codes for c in crops]))
