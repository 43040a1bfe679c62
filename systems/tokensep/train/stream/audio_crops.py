"""Crops for the codec from shards of labelled recordings (``tokensep pseudo-label``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from benchsep_training.seeds import generator
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from benchsep.audio import STEMS, Audio
from tokensep.train.data import Augment, Source, crop
from tokensep.train.stream.archive import Archives, Recording
from tokensep.train.stream.order import Order, Window
from tokensep.train.stream.shards import Shards, spread


@dataclass(frozen=True)
class ShardStem:
    """A stem of a clip, as :class:`tokensep.train.data.Stretches`."""

    recording: Recording
    wanted_rate: int

    @property
    def frames(self) -> int:
        """Samples of each channel."""
        return self.recording.frames

    @property
    def relative_rate(self) -> float:
        """Its sample rate divided by the sample rate of the crops."""
        return self.recording.rate / self.wanted_rate

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """``[2, count]`` from ``start`` on."""
        samples = self.recording.read(start, count)
        return np.repeat(samples, 2, 0) if len(samples) == 1 else samples[:2]


@dataclass(frozen=True)
class HeldOut:
    """Stems to validate a codec on, as :class:`tokensep.train.data.StemStore` holds them."""

    sources: list[Source]


class AudioCrops:
    """Batches ``[B, T]`` of the codec by numbers of crops, see :mod:`tokensep.train.stream`.

    As :func:`tokensep.train.data.codec_batch` makes them: single stems, sometimes two of them,
    sometimes nothing. The first is of the crop's own clip, a second of any clip of its window.

    Parameters
    ----------
    length, rate : of a crop, in samples and Hz.
    window : shards among whose clips crops are shuffled.
    """

    def __init__(
        self,
        shards: Shards,
        *,
        length: int,
        rate: int,
        seed: int,
        window: int,
        augment: Augment | None = None,
    ) -> None:
        self.length, self.rate, self.seed = length, rate, seed
        self.augment = augment or Augment()
        self.order = Order(shards.counts, seed, window)
        self.archives = Archives(shards.paths, window + 1)

    def batch(self, numbers: range) -> Tensor:
        """Waves ``[B, T]``."""
        return torch.from_numpy(np.stack([self.crop(number) for number in numbers]))

    def crop(self, number: int) -> NDArray[np.float32]:
        """A wave ``[T]``."""
        rng = generator("audio crop", self.seed, number)
        wave = np.zeros(self.length, np.float32)
        if rng.random() < self.augment.silence:
            return wave
        window, index = self.order.place(number)
        wave += self._stem(window, index, rng)
        if rng.random() < self.augment.sum_two:
            wave += self._stem(window, int(rng.integers(len(window))), rng)
        peak = float(np.abs(wave).max())
        return wave * np.float32(0.99 / peak) if peak > 0.99 else wave

    def _stem(self, window: Window, index: int, rng: Generator) -> NDArray[np.float32]:
        """A random stem of a clip, cropped and augmented."""
        shard, clip = window[index]
        stem = STEMS[int(rng.integers(len(STEMS)))]
        source = ShardStem(self.archives[shard].flac(clip, f"{stem}.flac"), self.rate)
        return crop(source, self.length, rng, self.augment, self.rate)


def held_out_stems(shards: Shards, rate: int, seconds: float, limit: int) -> list[Source]:
    """The middle of every stem of at most ``limit`` clips, in memory at ``rate``."""
    archives, sources = Archives(shards.paths, 1), []
    for shard, clip in spread(shards, limit):
        archive = archives[shard]
        length = archive.length(clip, ["mixture.flac", *(f"{stem}.flac" for stem in STEMS)])
        for stem in STEMS:
            recording = archive.flac(clip, f"{stem}.flac")
            count = round(seconds * recording.rate)
            start = max(0, (length - count) // 2)
            audio = Audio(ShardStem(recording, rate).read(start, count), recording.rate)
            samples = (audio.resampled(rate).samples * 32767).round().astype(np.int16)
            sources.append(Source(archive.keys[clip], stem, samples))
    return sources
