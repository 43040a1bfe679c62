"""Crops for the LM from token shards.

A crop of one clip takes its codes and its mixture. A remixed crop takes each stem from a clip of
the same window; its mixture is the sum of their waves, which the shards must hold. A silenced stem
is subtracted from the mixture, which needs the stem audio too. Where the codec's codes do not
depend on polarity (``job.polarity_free``), a remixed stem and a whole mixture get a random one.
Changes made before encoding (level, EQ, speed: the variants) are part of the codes and cannot be
drawn again.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
import torch
from benchsep_training.seeds import generator
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from benchsep._util.strict_json import parse_json
from tokensep.errors import DataError
from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.train.stream.archive import Archive, Archives
from tokensep.train.stream.order import Order, Window
from tokensep.train.stream.shards import Shards, spread
from tokensep.train.token_dataset import Crop
from tokensep.train.tokenizing.job import TokenJob

SILENT = 0.04
"""Probability that a stem of a crop is silenced, as in :meth:`TokenDataset.crop`."""
SAMPLED_CLIPS = 256
"""Number of clips whose codes the latent-regression head is fitted to."""


@dataclass(frozen=True)
class TokenClipReader:
    """A clip of a shard: frames, codes ``[S, K, F]``, and waves by stretches."""

    archive: Archive
    clip: int
    frames: int
    gain: float
    codes: NDArray[np.int16]

    @classmethod
    def open(cls, archive: Archive, clip: int, job: TokenJob, entries: int) -> TokenClipReader:
        """Read the codes of clip number ``clip``, of a codec with so many ``entries``.

        Raises
        ------
        DataError
            The shard is damaged, or does not agree with its job.
        """
        try:
            facts = parse_json(archive.read(clip, "json"))
            frames, gain = int(facts["frames"]), float(facts["gain"])
            if frames < 1 or not 0 < gain <= 1:
                raise ValueError(f"{frames} frames, gain {gain}")
            shape = (len(job.stems), job.layers, frames)
            codes = _codes(archive.read(clip, "codes.npy"), shape)
            if codes.min() < 0 or codes.max() >= entries:
                raise ValueError(f"codes {codes.min()} to {codes.max()} of {entries} entries")
        except (ValueError, KeyError, TypeError) as error:
            raise archive.damaged(f"{archive.keys[clip]}: {error!r}") from error
        return cls(archive, clip, frames, gain, codes)

    def wave(self, part: str, start: int, count: int) -> NDArray[np.float32]:
        """``count`` samples of the mixture or of a stem from ``start`` on, ``[T]``."""
        samples = self.archive.flac(self.clip, f"{part}.flac").read(start, count)
        if samples.shape != (1, count):
            raise self.archive.damaged(
                f"{self.archive.keys[self.clip]}.{part}.flac: {samples.shape} samples of {count}"
            )
        return np.asarray(samples[0] / self.gain, np.float32)


def _codes(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.int16]:
    """An ``.npy`` member of int16 in ``shape``; a wrong size in its header allocates no memory."""
    content = np.frombuffer(data, "<i2", offset=len(data) % 2)[-math.prod(shape) :]
    expected = io.BytesIO()
    np.save(expected, content.reshape(shape))
    if expected.getvalue() != data:
        raise ValueError(f"codes.npy does not hold int16 codes {list(shape)}")
    return content.reshape(shape)


class TokenCrops:
    """Batches of the LM by numbers of crops, see :mod:`tokensep.train.stream`.

    Raises
    ------
    DataError
        ``train`` asks for what the shards do not hold: remixes without stem audio, or another
        mixture.
    """

    def __init__(
        self, shards: Shards, job: TokenJob, config: TokenSepConfig, train: LMTrainConfig
    ) -> None:
        self.job, self.config, self.train, self.shards = job, config, train, shards
        self.order = Order(shards.counts, train.seed, train.shuffle_shards)
        self.archives = Archives(shards.paths, train.shuffle_shards + 1)
        self.silence = np.array(job.silence, np.int16)
        _check_wishes(job, train)

    def batch(self, numbers: range) -> tuple[Tensor, Tensor]:
        """Mixtures ``[B, T]`` and codes ``[B, S, K, F]``."""
        crops = [self.crop(number) for number in numbers]
        waves = torch.from_numpy(np.stack([wave for wave, _ in crops]))
        return waves, torch.from_numpy(np.stack([codes for _, codes in crops]))

    def crop(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Mixture ``[T]`` and codes ``[S, K, F]``."""
        window, index = self.order.place(number)
        rng = generator("token crop", self.train.seed, number)
        if rng.random() < self.train.remix:
            return self._remixed(window, index, rng)
        clip = self._clip(*window[index])
        silent = rng.random(len(self.config.stems)) < SILENT * self.job.stem_audio
        wave, codes = self._together(clip, float(rng.random()), silent)
        return self._sign(rng) * wave, codes

    def _clip(self, shard: int, clip: int) -> TokenClipReader:
        return TokenClipReader.open(self.archives[shard], clip, self.job, self.config.codebook_size)

    def _together(
        self, clip: TokenClipReader, place: float, silent: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        start, held = self._stretch(clip, place)
        wave, codes = self._empty()
        codes[..., :held] = clip.codes[..., start : start + held]
        if self.train.mixture == "sum" and self.job.mixture == "recorded":
            parts = [s for s, off in zip(self.config.stems, silent, strict=True) if not off]
            self._add(wave, clip, parts, start, held, 1.0)
        else:
            self._add(wave, clip, ["mixture"], start, held, 1.0)
            gone = [s for s, off in zip(self.config.stems, silent, strict=True) if off]
            self._add(wave, clip, gone, start, held, -1.0)
        codes[silent] = self.silence[:, None]
        return wave, codes

    def _remixed(
        self, window: Window, index: int, rng: Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The crop's own clip gives one stem, other clips of the window the others."""
        wave, codes = self._empty()
        own = int(rng.integers(len(self.config.stems)))
        for s, stem in enumerate(self.config.stems):
            other = int(rng.integers(len(window)))
            place = float(rng.random())
            if rng.random() < SILENT:
                continue
            clip = self._clip(*window[index if s == own else other])
            start, held = self._stretch(clip, place)
            codes[s, :, :held] = clip.codes[s, :, start : start + held]
            self._add(wave, clip, [stem], start, held, self._sign(rng))
        return wave, codes

    def _sign(self, rng: Generator) -> np.float32:
        """A random polarity, where the codec's codes do not depend on it."""
        return np.float32(rng.choice((-1, 1)) if self.job.polarity_free else 1)

    def _empty(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """A silent mixture and its codes."""
        frames, stems = self.config.window_frames, len(self.config.stems)
        codes = np.empty((stems, self.config.layers, frames), np.int64)
        codes[:] = self.silence[:, None]
        return np.zeros(frames * self.config.frame_hop, np.float32), codes

    def _stretch(self, clip: TokenClipReader, place: float) -> tuple[int, int]:
        """First frame and number of frames of a crop from relative ``place`` on."""
        frames = self.config.window_frames
        start = int(place * (max(clip.frames - frames, 0) + 1))
        return start, min(frames, clip.frames - start)

    def _add(
        self,
        wave: NDArray[np.float32],
        clip: TokenClipReader,
        parts: list[str],
        start: int,
        held: int,
        sign: float | np.float32,
    ) -> None:
        """Add ``sign`` times the parts of a clip, ``held`` frames from frame ``start`` on."""
        hop = self.config.frame_hop
        for part in parts:
            wave[: held * hop] += sign * clip.wave(part, start * hop, held * hop)

    def windows(self, limit: int) -> list[Crop]:
        """Fixed crops for validation: the middle of ``limit`` clips at most, evenly chosen."""
        crops = []
        for shard, number in spread(self.shards, limit):
            clip = self._clip(shard, number)
            silent = np.zeros(len(self.config.stems), bool)
            wave, codes = self._together(clip, 0.5, silent)
            crops.append(Crop(wave[None], codes))
        return crops

    def code_sample(self) -> Tensor:
        """The frames of some clips from all shards, ``[N, K]``."""
        clips = [self._clip(*place).codes for place in spread(self.shards, SAMPLED_CLIPS)]
        frames = [codes.transpose(0, 2, 1).reshape(-1, codes.shape[1]) for codes in clips]
        return torch.from_numpy(np.concatenate(frames).astype(np.int64))


def _check_wishes(job: TokenJob, train: LMTrainConfig) -> None:
    if train.remix and not job.stem_audio:
        raise DataError(
            "the token shards have no stem audio, so their stems cannot be remixed (remix "
            f"{train.remix:g}); train with -O remix=0, or tokenize with --stem-audio"
        )
    if train.mixture == "recorded" != job.mixture:
        raise DataError(
            "the token shards have sums of stems but no recorded mixtures; train with -O "
            "mixture=sum, or tokenize with --mixture recorded"
        )
    if train.mixture == "sum" != job.mixture and not job.stem_audio:
        raise DataError(
            "the token shards have recorded mixtures but no stem audio; train with -O "
            "mixture=recorded"
        )
