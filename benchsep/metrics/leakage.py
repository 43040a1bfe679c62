"""Leakage: energy of other stems, and of sounds in no stem, in an estimate.

Conventions
-----------
arrays     float ``[channels, frames]``; a stem's power is the sum over its channels
rate       that of the signals
spectra    power of Hann frames (2048 samples, hop 512) in 64 mel bands. They do not depend on the
           phase or on latencies far below 46 ms, so outputs of vocoders and of masks can be
           compared
levels     dB, floored (:data:`FLOOR`)

Metrics
-------
leakage      ``bleed``: energy of the other stems over energy of the stem itself, within the
             estimate (a phase-blind -SIR; lower is better). ``from_<source>``: the gain at
             which each source is found in the estimate, one row of the *bleed matrix*:
             ideal is 0 dB on the diagonal and nothing elsewhere. ``silence``: level where the
             reference is silent, relative to the mixture there (lower is better; the mixture has
             0): bleed and hallucination. ``invented``: the share of the estimate's energy that
             exceeds, in the same band and frame, both the mixture and the sum of the references
             (lower is better); a mask cannot produce it.
bleedless    the two values of MSST: mean excess and mean lack in dB of a 512-band mel spectrogram,
             mapped to 100 / (1 + dB). ``bleedless`` and ``fullness``, higher is better.
consistency  level of mixture minus the sum of all estimates, relative to the mixture, in dB
             (lower is better). One value per track, repeated for each stem.

The bleed matrix: the estimate's band powers are modelled as a non-negative sum of the references'
band powers and flat noise. The fit is iteratively reweighted least squares; the weight is the
inverse of the model's power, because the deviation of a power spectrum is proportional to its
value. Bands and frames with a single source determine the result. The resolution on real music is
about -35 dB.

Silence: the gain of a silent source is ``undefined``. A silent reference has no ``bleed``, but has
``silence``. A silent estimate has ``est_silent``, except for ``silence`` and ``consistency``.

Sources: bleedless and fullness: ZFTurbo/Music-Source-Separation-Training, ``utils/metrics.py``
(idea: csteinmetz1/auraloss issue 79). The others are defined here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import STEMS
from benchsep.errors import AudioError
from benchsep.metrics.bleed import ROUNDS, bleed_gains
from benchsep.metrics.guard import Power, is_silent
from benchsep.metrics.hops import hop_energies
from benchsep.metrics.mel import Bank, mel_filters
from benchsep.metrics.metric import Score, Tolerance, ValueTraits
from benchsep.metrics.stems import every, mismatch, score_pairs, score_prepared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain, References

    Array = NDArray[np.float32]
    Powers = NDArray[np.float64]

SIZE, HOP, BANDS = 2048, 512, 64
FLOOR = -80.0
"""Lowest reported level in dB."""
SILENT_BELOW, QUIET_BELOW = 1e-6, 1e-4
"""Largest energy of a silent hop of the reference, and of a quiet hop of the mixture, relative to
the loudest hop."""
GUARD = 9
"""Distance from sound in hops (0.1 s), so that latency and a decaying note do not count as
hallucination."""
SHORTEST_SILENCE = 9
"""Least number of silent hops for a value."""
NOTHING_FOUND = "undefined: no reference is found in the estimate"
"""For an estimate that is noise, or of another song."""

MSST_SIZE, MSST_HOP, MSST_BANDS = 4096, 1024, 512

TO_DECIBELS = np.float32(20 / np.log(10))
"""A natural logarithm of a magnitude times this is a level in dB."""


def band_powers(samples: Array, rate: int) -> Powers:
    """Power per mel band and frame, summed over channels: ``[frames, bands]``.

    A band's value is the mean power of its bins, so white noise is flat.
    """
    from benchsep.metrics.framing import reflected
    from benchsep.metrics.spectra import banded

    _long_enough(samples[0], SIZE)
    channels = (reflected(SIZE // 2, channel)[0] for channel in samples)
    total = sum(banded(channel, SIZE, HOP, _bands(rate), root=False) for channel in channels)
    return np.asarray(total, dtype=np.float64)


def silence_level(reference: Array, estimate: Array, mixture: Array) -> float | None:
    """Level in dB of the estimate relative to the mixture where the reference is silent.

    Silent: at least 60 dB below the reference's loudest hop, also in the :data:`GUARD` hops around.
    Hops in which the mixture is 40 dB below its loudest hop are left out. ``None`` if less than 0.1
    s remains.
    """
    return _level_in_silence(*(hop_energies(x, HOP) for x in (reference, estimate, mixture)))


def _level_in_silence(truth: Powers, found: Powers, other: Powers) -> float | None:
    """:func:`silence_level` from the energies of hops, ``[hops]`` each."""
    sounding = np.flatnonzero(truth > truth.max() * SILENT_BELOW)
    counted = other > other.max() * QUIET_BELOW
    for step in range(-GUARD, GUARD + 1):
        counted[np.clip(sounding + step, 0, len(counted) - 1)] = False
    if counted.sum() < SHORTEST_SILENCE:
        return None
    return decibels(found[counted].sum() / other[counted].sum())


def invented_share(estimate: Powers, possible: Powers) -> float:
    """Energy above ``possible`` in each band and frame, relative to the total energy, in dB."""
    return decibels(np.maximum(estimate - possible, 0).sum() / estimate.sum())


@dataclass(frozen=True)
class Levels:
    """Levels of mel magnitudes."""

    channels: list[Array]
    """Natural logarithms of magnitudes ``[frames, 512]``. Times :data:`TO_DECIBELS` they are levels
    in dB. An array for each channel, because memory that was freed holds these sooner than one
    large array.
    """
    floor: np.float32
    """80 dB below the maximum, in dB; lower levels count as this."""


def msst_levels(samples: Array, rate: int) -> Levels:
    """Levels of a signal ``[channels, frames]``, as in MSST."""
    from benchsep.metrics.spectra import banded

    _long_enough(samples[0], MSST_SIZE)
    largest = []

    def to_logarithms(block: Array) -> None:
        np.log(block, out=block)
        largest.append(block.max())

    channels = [
        banded(
            channel, MSST_SIZE, MSST_HOP, _msst_bands(rate), root=True, edge=MSST_SIZE // 2,
            least=1e-10, finish=to_logarithms,
        )
        for channel in np.ascontiguousarray(samples, np.float32)
    ]  # fmt: skip
    return Levels(channels, np.max(largest) * TO_DECIBELS - np.float32(80))


def bleedless_fullness(reference: Array, estimate: Array, rate: int) -> tuple[float, float]:
    """The two values of MSST for signals ``[channels, frames]``; 100: no excess (no lack)
    anywhere.
    """
    return _msst_pair(msst_levels(reference, rate), msst_levels(estimate, rate))


def _msst_pair(ours: Levels, theirs: Levels) -> tuple[float, float]:
    from benchsep.metrics.gaps import Gaps

    gaps = Gaps(TO_DECIBELS, ours.floor, theirs.floor)
    for a, b in zip(ours.channels, theirs.channels, strict=True):
        gaps.add(a, b)
    excess, lack = gaps.means()
    return 100 / (1 + excess), 100 / (1 + lack)


def consistency_level(mixture: Array, estimates: list[Array]) -> float:
    """Energy of the mixture minus the estimates' sum, relative to the mixture, in dB."""
    from benchsep.metrics.sums import energies, flat

    weights = np.array([[1.0] + [-1.0] * len(estimates), [1.0] + [0.0] * len(estimates)])
    residual, whole = energies(weights, flat([mixture, *estimates]))
    return decibels(float(residual / whole))


def decibels(ratio: float) -> float:
    """``10 log10(ratio)``, at least :data:`FLOOR`."""
    return max(FLOOR, 10 * float(np.log10(ratio))) if ratio > 0 else FLOOR


def _long_enough(signal: Array, size: int) -> None:
    if len(signal) <= size // 2:
        raise AudioError(f"{len(signal)} samples, expected over {size // 2}")


def _power_of(hops: Powers) -> Power:
    """The mean power of a signal whose hops have these energies."""
    return lambda audio: float(hops.sum()) / audio.samples.size


@lru_cache(maxsize=4)
def _bands(rate: int) -> Bank:
    """Mel filters with unit sums; bands without a bin are left out."""
    filters = mel_filters(rate, SIZE, BANDS)
    filters = filters[filters.sum(1) > 0]
    return Bank.of(filters / filters.sum(1, keepdims=True))


@lru_cache(maxsize=4)
def _msst_bands(rate: int) -> Bank:
    return Bank.of(mel_filters(rate, MSST_SIZE, MSST_BANDS))


_BLEED = ValueTraits(
    name="bleed",
    direction=-1,
    unit="dB",
    low=FLOOR,
    high=-FLOOR,
    digits=1,
    aggregate="mean",
    window_s=None,
    waveform_matching=False,
    speech_model=False,
    display="Bleed",
    question="interference",
    companion=None,
    companion_rank=10,
    # Known bleed of -10 to -30 dB is found within 1 dB (docs/metrics/leakage.md).
    tie_margin=1.0,
    failure=None,
    drift=Tolerance(0.02, 0.01, "moved by 1e-4 dB"),
    rank=100,
    overview=True,
    own_table=False,
    aliases=(),
)
_LEVEL = replace(_BLEED, high=None, companion_rank=None, overview=False)
_GAIN = replace(_LEVEL, direction=0, tie_margin=None)
_BLEEDLESS = replace(
    _BLEED,
    name="bleedless",
    direction=+1,
    unit="",
    low=0.0,
    high=100.0,
    display="Bleedless",
    companion_rank=40,
    # A tenth of the step from the mixture (6.4) to an ideal ratio mask (35.6), 14 test excerpts.
    tie_margin=2.9,
    drift=Tolerance(0.05, 0.02, "moved by 0.005 of 100"),
    rank=70,
)
_FULLNESS = replace(
    _BLEEDLESS,
    name="fullness",
    display="Fullness",
    question="quality",
    companion_rank=None,
    # A tenth of the same step: the mixture has 36.2, the mask, which removes too much, 16.6.
    tie_margin=1.9,
    overview=False,
)
_RESIDUAL = replace(
    _BLEED,
    name="",
    high=None,
    waveform_matching=True,
    display="Mixture residual",
    question="other",
    companion_rank=None,
    # As for the levels above.
    tie_margin=1.0,
    drift=Tolerance(0.1, 0.03, "a small residual on a log scale"),
    rank=160,
)


class _Traits:
    """Attributes that the three metrics share."""

    default: int | None = None
    version = "3"
    rate: int | None = None
    channels: Channels = "any"
    domain: Domain = "any"
    needs_reference: bool = True
    default_stems: tuple[str, ...] = STEMS
    licence = "MIT (own code)"
    values: tuple[ValueTraits, ...]

    def available(self) -> str:
        return ""


class Leakage(_Traits):
    """The metric ``leakage``: see the module."""

    name = "leakage"
    values = (
        _BLEED,
        *(replace(_GAIN, name=f"from_{stem}", display=f"Gain of {stem}") for stem in STEMS),
        replace(_LEVEL, name="silence", display="Level in silence"),
        replace(_LEVEL, name="invented", high=0.0, display="Invented energy", question="quality"),
    )
    source = "defined in benchsep.metrics.leakage"

    def settings(self) -> dict[str, Any]:
        return {"size": SIZE, "hop": HOP, "bands": BANDS, "rounds": ROUNDS}

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        def score(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            if reference.frames <= SIZE // 2:
                return every(self.values, "too_short")
            hops = hop_energies(estimate.samples, HOP)
            quiet = is_silent(estimate, _power_of(hops))
            scores = (
                every(self.values, "est_silent")
                if quiet
                else self._powers(references, estimate, stem)
            )
            scores["silence"] = self._in_silence(references, reference, hops, stem)
            return scores

        return score_pairs(self, references, estimates, stems, score, silent_reference="")

    def _in_silence(
        self, references: References, reference: Audio, found: Powers, stem: str
    ) -> Score:
        """``silence``, from the energies of the estimate's hops."""
        key = (self.name, "hops", stem)
        if key not in references.cache:
            references.cache[key] = self._hops(references, reference)
        known = references.cache[key]
        if isinstance(known, str):
            return Score.missing(known)
        truth, other = known
        level = _level_in_silence(truth, found, other)
        if level is None:
            return Score.missing("undefined: the reference is never silent under other sound")
        return Score(level)

    def _hops(self, references: References, reference: Audio) -> tuple[Powers, Powers] | str:
        """Energies of hops of reference and mixture; or why there are none."""
        given = references.mixture
        mixture = given and given.to_channels(reference.channels)
        if mixture is None or mismatch(mixture, reference):
            return "undefined: no mixture like the reference to compare with"
        key = (self.name, "hops of the mixture", reference.channels)
        if key not in references.cache:
            hops = hop_energies(mixture.samples, HOP)
            references.cache[key] = None if is_silent(mixture, _power_of(hops)) else hops
        other = references.cache[key]
        if other is None:
            return "undefined: the mixture is silent"
        # Dither is never 60 dB below its own loudest hop, so it needs its own rule.
        truth = hop_energies(reference.samples, HOP)
        silent = is_silent(reference, _power_of(truth))
        return np.zeros_like(truth) if silent else truth, other

    def _powers(self, references: References, estimate: Audio, stem: str) -> dict[str, Score]:
        """``bleed``, ``from_*`` and ``invented``."""
        sources = self._reference_powers(references, estimate)
        found = band_powers(estimate.samples, estimate.rate)
        gains = dict(zip(sources, bleed_gains(found, list(sources.values())), strict=True))
        scores = {f"from_{name}": Score(decibels(gain)) for name, gain in gains.items()}
        for name in STEMS:
            scores.setdefault(f"from_{name}", Score.missing(f"undefined: {name} is silent"))
        energies = {name: gains[name] * sources[name].sum() for name in sources}
        scores["bleed"] = self._bleed(energies, stem)
        possible = np.sum(list(sources.values()), 0)
        mixture = references.cache.get((self.name, "mixture"))
        if mixture is not None:
            possible = np.maximum(possible, mixture)
        scores["invented"] = Score(invented_share(found, possible))
        return scores

    @staticmethod
    def _bleed(energies: dict[str, float], stem: str) -> Score:
        if stem not in energies:
            return Score.missing("ref_silent")
        own = energies.pop(stem)
        others = sum(energies.values())
        if own <= 0:
            return Score(-FLOOR) if others > 0 else Score.missing(NOTHING_FOUND)
        return Score(min(-FLOOR, decibels(others / own)))

    def _reference_powers(self, references: References, like: Audio) -> dict[str, Powers]:
        """Band powers of the references that are not silent, and of the mixture; computed once per
        track.
        """
        key = (self.name, "sources")
        if key not in references.cache:
            usable = {
                name: audio
                for name, audio in references.stems.items()
                if not is_silent(audio) and (audio.rate, audio.frames) == (like.rate, like.frames)
            }
            references.cache[key] = {
                name: band_powers(audio.samples, audio.rate) for name, audio in usable.items()
            }
            mixture = references.mixture
            if mixture is not None and (mixture.rate, mixture.frames) == (like.rate, like.frames):
                references.cache[self.name, "mixture"] = band_powers(mixture.samples, mixture.rate)
        found: dict[str, Powers] = references.cache[key]
        return found


class Bleedless(_Traits):
    """The metric ``bleedless``: the two values of MSST, see the module."""

    name = "bleedless"
    default: int | None = 8
    values = (_BLEEDLESS, _FULLNESS)
    source = "ZFTurbo/Music-Source-Separation-Training utils/metrics.py"

    def settings(self) -> dict[str, Any]:
        return {"size": MSST_SIZE, "hop": MSST_HOP, "bands": MSST_BANDS}

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        def prepare(reference: Audio) -> Levels | str:
            if reference.frames <= MSST_SIZE // 2:
                return "too_short"
            return msst_levels(reference.samples, reference.rate)

        def score(levels: Levels, estimate: Audio) -> dict[str, Score]:
            pair = _msst_pair(levels, msst_levels(estimate.samples, estimate.rate))
            return {"bleedless": Score(pair[0]), "fullness": Score(pair[1])}

        return score_prepared(
            self, references, estimates, stems, prepare, score, silent_estimate="est_silent"
        )


class Consistency(_Traits):
    """The metric ``consistency``: see the module."""

    version = "2"
    name = "consistency"
    needs_reference = False
    values = (_RESIDUAL,)
    source = "defined in benchsep.metrics.leakage"

    def settings(self) -> dict[str, Any]:
        return {}

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        score = self._score(references, estimates)
        return {stem: {"": score} for stem in stems}

    @staticmethod
    def _score(references: References, estimates: dict[str, Audio]) -> Score:
        mixture = references.mixture
        if mixture is None:
            return Score.missing("undefined: no mixture to compare with")
        if is_silent(mixture):
            return Score.missing("ref_silent")
        names = references.stems or references.expected
        lacking = [name for name in names if name not in estimates]
        if lacking:
            return Score.missing(f"undefined: the system gives no {', '.join(lacking)}")
        parts = [estimates[n].to_channels(mixture.channels) for n in names]
        for part in parts:
            if status := mismatch(mixture, part):
                return Score.missing(status.replace("reference", "mixture"))
        return Score(consistency_level(mixture.samples, [part.samples for part in parts]))
