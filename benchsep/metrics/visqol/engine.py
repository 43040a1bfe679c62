"""ViSQOL v3 in audio mode: perceptual similarity of two recordings as a mean opinion score.

Conventions
-----------
signals     float32 ``[samples]``, mono, 48 kHz, finite; the lengths may differ
score       MOS-LQO, 1 (bad) to 4.732 (equal signals); higher is better
levels      ``[bands, frames]``, see :mod:`benchsep.metrics.visqol.gammatone`

Steps (google/visqol 3.3.3, ``visqol_manager.cc`` and ``visqol.cc``):

1. the estimate is shifted by the lag with the highest correlation of the envelopes
2. it is scaled to the reference's sound pressure level
3. gammatone spectrograms in dB, with floors at -45 dB and at 45 dB below each frame's peak
4. dynamic programming finds a patch of the estimate for each patch (0.6 s) of the reference
5. each pair of patches is aligned again with its own lag; the higher similarity counts
6. a support vector regression maps the mean similarities of the bands to a score

:class:`Reference` holds everything that depends only on the reference, for all systems on a track.

Four things make it fast. The filters are reset at the start of each window, so no window on the
grid of the whole signal is filtered twice (step 5 reuses nearly all windows of step 3). The filter
bank keeps its states in registers. NSIM uses vector lanes for offsets and computes each local
moment once. The envelope needs no transform.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from benchsep.metrics.visqol import alignment, gammatone, nsim, patches, svr

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = gammatone.RATE
FRAME_SECONDS = gammatone.HOP / RATE
PATCH_SECONDS = FRAME_SECONDS * nsim.WIDTH

FLOOR_DB = -45.0
BELOW_PEAK_DB = 45.0

MINIMUM_SAMPLES = gammatone.WINDOW + (patches.MINIMUM_FRAMES - 1) * gammatone.HOP
"""0.96 s: the shortest reference with one patch."""

UNRELATED = 0.15
"""Below this mean similarity the score is 1: the training data of the regression have no such
pairs."""


class FilterBank(Protocol):
    """The interface of :mod:`benchsep.metrics.visqol.gammatone` and of its version on a device."""

    def spectrogram(self, signal: NDArray[np.float32], scale: float = 1.0) -> NDArray[np.float64]:
        """Levels ``[bands, frames]`` of all windows of ``scale * signal`` that fit."""
        ...

    def levels_at(
        self, signal: NDArray[np.float32], starts: NDArray[np.int64], scale: float = 1.0
    ) -> NDArray[np.float64]:
        """Levels ``[bands, len(starts)]`` of the windows at ``starts``."""
        ...


class TooShort(ValueError):
    """A signal is shorter than one patch."""


@dataclass(frozen=True)
class Result:
    """The result of a comparison.

    ``similarities`` ``[32]`` is the mean NSIM of each band, lowest first (Google's ``fvnsim``),
    ``similarity`` their mean (``vnsim``), ``patches`` ``[patches, 32]`` the NSIM of each patch,
    ``lag`` the shift of the whole estimate in samples.
    """

    score: float
    similarity: float
    similarities: NDArray[np.float64]
    patches: NDArray[np.float64]
    lag: int


@dataclass(eq=False)
class Sound:
    """A signal, its gain, and the levels of its windows on the hop grid."""

    samples: NDArray[np.float32]
    scale: float = 1.0
    bank: FilterBank = gammatone
    grid: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.grid = self.bank.spectrogram(self.samples, self.scale)

    def levels(self, start: int, length: int) -> NDArray[np.float64]:
        """Levels of the windows of ``samples[start : start + length]``."""
        count = gammatone.frame_count(length)
        first, off_grid = divmod(start, gammatone.HOP)
        if not off_grid:
            return self.grid[:, first : first + count]
        starts = start + gammatone.HOP * np.arange(count, dtype=np.int64)
        return self.bank.levels_at(self.samples, starts, self.scale)


class Reference:
    """A precomputed reference for any number of estimates.

    Raises
    ------
    TooShort
        if it is shorter than 0.96 s.
    """

    def __init__(
        self,
        samples: NDArray[np.float32],
        envelope: alignment.Envelope = alignment.GOOGLE,
        bank: FilterBank = gammatone,
    ) -> None:
        samples = np.ascontiguousarray(samples, dtype=np.float32)
        if len(samples) < MINIMUM_SAMPLES:
            raise TooShort(
                f"the reference has {len(samples)} samples at 48 kHz, expected at least "
                f"{MINIMUM_SAMPLES} ({MINIMUM_SAMPLES / RATE:.2f} s)"
            )
        self.envelope = envelope
        self.sound = Sound(samples, bank=bank)
        self.starts = patches.patch_starts(self.sound.grid.shape[1])

    def compare(self, estimate: NDArray[np.float32]) -> Result:
        """Score one estimate.

        Raises
        ------
        TooShort
            if the estimate has no complete patch after alignment.
        """
        samples = np.ascontiguousarray(estimate, dtype=np.float32)
        lag = alignment.usable_lag(self.sound.samples, samples, self.envelope)
        samples = np.ascontiguousarray(alignment.moved(samples, lag))
        own, other = power(self.sound.samples), power(samples)
        if own == 0 or other == 0:
            # Google's program divides by zero here and returns the lowest score.
            return _unrelated(lag)
        if len(samples) <= gammatone.WINDOW:
            raise TooShort(f"the estimate has {len(samples)} samples after alignment by {lag}")
        scale = float(10.0 ** ((decibels(own) - decibels(other)) / 20.0))
        sound = Sound(samples, scale, self.sound.bank)
        similarities = self._patch_similarities(sound)
        bands = similarities.mean(0)
        mean = float(bands.mean())
        score = 1.0 if mean < UNRELATED else svr.model().score(bands)
        return Result(score, mean, bands, similarities, lag)

    def _patch_similarities(self, sound: Sound) -> NDArray[np.float64]:
        """NSIM of each band of each matched patch, ``[patches, bands]``."""
        reference, estimate = above_common_floor(self.sound.grid, sound.grid)
        offsets, lost = patches.match(reference, estimate, self.starts)
        if len(offsets) == 0:
            raise TooShort("the estimate is too short for the first patch of the reference")
        silence = np.zeros((len(estimate), nsim.WIDTH))
        estimate = np.concatenate([estimate, silence], axis=1)
        rows = []
        for start, offset, is_lost in zip(self.starts, offsets, lost, strict=False):
            if is_lost:
                rows.append(np.zeros(len(reference)))
                continue
            coarse = nsim.band_similarity(
                reference[:, start : start + nsim.WIDTH],
                estimate[:, offset : offset + nsim.WIDTH],
                nsim.WEIGHTS,
            )
            fine = self._realigned(sound, int(start), int(offset))
            rows.append(coarse if fine.mean() < coarse.mean() else fine)
        return np.array(rows)

    def _realigned(self, sound: Sound, start: int, offset: int) -> NDArray[np.float64]:
        """NSIM of each band of one pair of patches after their own alignment."""
        reference, estimate = Slice.of(self.sound, start), Slice.of(sound, offset)
        lag = alignment.usable_lag(reference.samples, estimate.samples, self.envelope)
        reference, estimate = align_and_truncate(reference, estimate, lag)
        ours, theirs = above_common_floor(reference.levels(), estimate.levels())
        return nsim.band_similarity(ours, theirs, nsim.WEIGHTS)


@dataclass(frozen=True)
class Slice:
    """Part of a sound: ``zeros`` samples of silence, then ``sound.samples[start:stop]``."""

    sound: Sound
    zeros: int
    start: int
    stop: int

    @classmethod
    def of(cls, sound: Sound, frame: int) -> Slice:
        """The patch that begins at a frame.

        As in the original, the bounds are converted to seconds and back, which sometimes changes
        one by a sample. If a patch exceeds the end of the signal, it is padded with silence at its
        start.
        """
        begin = frame * FRAME_SECONDS
        end = begin + PATCH_SECONDS
        length = len(sound.samples)
        zeros = max(0, int(end * RATE - length))
        return cls(sound, zeros, int(begin * RATE), min(length - 1, int(end * RATE)))

    def __len__(self) -> int:
        return self.zeros + self.stop - self.start

    @property
    def samples(self) -> NDArray[np.float32]:
        """The samples, before scaling."""
        part = self.sound.samples[self.start : self.stop]
        return np.concatenate([np.zeros(self.zeros, np.float32), part]) if self.zeros else part

    def cut(self, first: int, length: int) -> Slice:
        """``length`` samples from ``first`` on."""
        zeros = max(0, self.zeros - first)
        start = self.start + max(0, first - self.zeros)
        return Slice(self.sound, min(zeros, length), start, start + max(0, length - zeros))

    def levels(self) -> NDArray[np.float64]:
        """Gammatone levels of the slice's windows."""
        if not self.zeros:
            return self.sound.levels(self.start, len(self))
        return self.sound.bank.spectrogram(self.samples, self.sound.scale)


def align_and_truncate(reference: Slice, estimate: Slice, lag: int) -> tuple[Slice, Slice]:
    """The overlapping parts of two slices after a shift of the estimate by ``lag``.

    As in ``Alignment::AlignAndTruncate``: a positive lag is converted to seconds and back, which
    may lose a sample. The estimate then begins with one of the zeros of the shift.
    """
    if lag <= 0:
        estimate = estimate.cut(-lag, len(estimate) + lag)
        shared = min(len(reference), len(estimate))
        return reference.cut(0, shared), estimate.cut(0, shared)
    skipped = int(lag / RATE * RATE)
    if len(reference) >= len(estimate) + lag:
        skipped = 0
    shared = min(len(reference), len(estimate) + lag) - skipped
    moved = Slice(estimate.sound, estimate.zeros + lag, estimate.start, estimate.stop)
    return reference.cut(skipped, shared), moved.cut(skipped, shared)


def power(samples: NDArray[np.float32]) -> float:
    """Mean square, summed in double precision."""
    total = 0.0
    for first in range(0, len(samples), 1 << 20):
        part = samples[first : first + (1 << 20)].astype(np.float64)
        total += float(part @ part)
    return total / len(samples)


def decibels(mean_square: float) -> float:
    """Sound pressure level of a mean square."""
    return float(20.0 * np.log10(np.sqrt(mean_square) / 2e-5))


def above_common_floor(
    reference: NDArray[np.float64], estimate: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels in dB with a floor, relative to the lowest level of both signals.

    The floor is -45 dB and, in frames that both signals have, 45 dB below the louder one's peak.
    """
    tiny = np.finfo(np.float64).eps
    ours, theirs = (
        np.maximum(10.0 * np.log10(np.where(levels == 0, tiny, levels)), FLOOR_DB)
        for levels in (reference, estimate)
    )
    shared = min(ours.shape[1], theirs.shape[1])
    peak = np.maximum(ours[:, :shared].max(0), theirs[:, :shared].max(0)) - BELOW_PEAK_DB
    np.maximum(ours[:, :shared], peak, out=ours[:, :shared])
    np.maximum(theirs[:, :shared], peak, out=theirs[:, :shared])
    lowest = min(ours.min(), theirs.min())
    return ours - lowest, theirs - lowest


def _unrelated(lag: int) -> Result:
    nothing = np.zeros(gammatone.BANDS)
    return Result(1.0, 0.0, nothing, nothing[None], lag)
