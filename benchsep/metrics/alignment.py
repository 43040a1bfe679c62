"""The alignment ladder: the SDR of an estimate after correction of delay, gain, polarity and phase.

Goal
----
A waveform metric gives a low value both to a bad separation and to a good one with a delay of five
samples. Here one fault after the other is corrected, and each step includes all earlier ones. The
difference between two steps (rungs) is the effect of that fault.

==============  =================================================================================
``sdr``         as it is: ``|s|^2 / |s - e|^2`` of the whole song
``delay``       after the best integer delay, at most :data:`MAX_DELAY_S` either way
``gain``        and the best positive gain
``polarity``    and the best gain of either sign
``fir``         and the best filter of :data:`FIR_TAPS` taps instead of the gain
``magnitude``   on STFT magnitudes, after the best of those delays and gain: blind to phase
``lag``         the delay of ``polarity``, in ms; positive where the estimate is late
``level``       level of the estimate over that of the stem, in dB; 0 when right
==============  =================================================================================

A low ``sdr`` with a high ``delay`` means latency. An increase at ``gain`` means a wrong level, at
``polarity`` a flipped sign, at ``fir`` a linear response (an equaliser, a fractional delay). If
``fir`` is low and ``magnitude`` is high, the system synthesised new phases, as vocoders do.

Conventions
-----------
arrays     ``[channels, frames]`` float32 in, sums in float64
channels   all share one delay, one gain, one filter
region     ``delay`` and later rungs compare the overlap of both signals after the delay is removed,
           without padding; without a delay this is the whole song
direction  higher is better, in dB, for all but ``lag`` and ``level``, which have no better side
order      always ``sdr <= delay <= gain <= polarity <= fir``, because each rung may leave the
           estimate unchanged
silence    a silent reference or estimate has no ladder (``ref_silent``, ``est_silent``)

Source: the ladder is benchsep's; scale and delay as in SI-SDR (Le Roux et al., ICASSP 2019) and
CI-SDR (Boeddeker et al., ICASSP 2021: SDR after a filter).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import STEMS
from benchsep.metrics.levels import ratio_db
from benchsep.metrics.metric import References, Score, Tolerance, ValueTraits
from benchsep.metrics.sdr import PERFECT_DB, energies, inner_products
from benchsep.metrics.stems import score_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain

    Samples = NDArray[np.float32]
    Real = NDArray[np.float64]

MAX_DELAY_S = 0.1
FIR_TAPS = 64
STFT_SIZE, STFT_HOP = 2048, 512
SINGLE_DB = 60.0
"""In dB. Up to this value magnitudes in single precision move it by less than 1e-4 dB."""
_POINTS = 32768
RUNGS = ("sdr", "delay", "gain", "polarity", "fir", "magnitude")


@dataclass(frozen=True)
class Ladder:
    """The rungs in dB (infinite when perfect), the lag in samples and the level in dB."""

    sdr: float
    delay: float
    gain: float
    polarity: float
    fir: float
    magnitude: float
    lag: int
    level: float


def ladder(reference: Samples, estimate: Samples, rate: int) -> Ladder:
    """All rungs for one stem.

    Parameters
    ----------
    reference, estimate
        ``[channels, frames]``, equal shapes, neither silent.
    rate
        Hz; sets how many samples :data:`MAX_DELAY_S` is.

    Returns
    -------
    Ladder
    """
    found = correlate(reference, estimate, rate)
    lags = candidate_lags(found)
    pairs = {lag: shifted(reference, estimate, lag) for lag in lags}
    plain = {lag: _sums(*pair) for lag, pair in pairs.items()}
    as_is = plain[0].sdr(1.0)
    # No rung is below the one before, even if both use different lags.
    delay = max(as_is, *(s.sdr(1.0) for s in plain.values()))
    gain = max(delay, *(s.sdr(max(s.gain, 0.0)) for s in plain.values()))
    best = max(plain, key=lambda lag: plain[lag].sdr(plain[lag].gain))
    polarity = max(gain, plain[best].sdr(plain[best].gain))
    # With a delay the pair is cut to its overlap and has correlations of its own.
    fir = max(polarity, filtered_sdr(*pairs[best], found=None if best else found))
    magnitude = max(magnitude_sdr(*pair) for pair in pairs.values())
    level = ratio_db(plain[best].estimate, plain[best].reference)
    return Ladder(as_is, delay, gain, polarity, fir, magnitude, best, level)


@dataclass(frozen=True)
class Correlations:
    """Of a reference ``s`` and an estimate ``e``, summed over channels."""

    cross: Real
    """``sum_t s(t) e(t + lag)``, ``[2 reach + 1]``; lag 0 is in the middle."""
    own: Real
    """``sum_t e(t) e(t + lag)``, from lag 0 on."""


def correlate(reference: Samples, estimate: Samples, rate: int) -> Correlations:
    """All lags of at most :data:`MAX_DELAY_S`, and the autocorrelation for the filter."""
    from benchsep.metrics.lags import correlations_and_own

    reach = int(min(MAX_DELAY_S * rate, reference.shape[1] - 1, _POINTS // 4))
    taps = min(FIR_TAPS, reach)
    cross, own = correlations_and_own(estimate, reference, -reach, reach, taps, _POINTS)
    return Correlations(cross[::-1], own)


def candidate_lags(found: Correlations) -> tuple[int, ...]:
    """0, the lag of the largest correlation, and that of the largest in absolute value.

    A lag is how many samples the estimate is late.
    """
    cross, reach = found.cross, len(found.cross) // 2
    return tuple(sorted({0, int(np.argmax(cross)) - reach, int(np.argmax(np.abs(cross))) - reach}))


def shifted(reference: Samples, estimate: Samples, lag: int) -> tuple[Samples, Samples]:
    """Both signals without the delay, cut to their overlap; ``lag`` in samples."""
    frames = reference.shape[1]
    if lag >= 0:
        return reference[:, : frames - lag], estimate[:, lag:]
    return reference[:, -lag:], estimate[:, : frames + lag]


@dataclass(frozen=True)
class _Sums:
    """Energies and inner product of a pair, from which each gain's SDR follows."""

    reference: float
    estimate: float
    product: float
    pair: tuple[Samples, Samples]

    @property
    def gain(self) -> float:
        """The gain on the estimate that leaves the least error."""
        return self.product / self.estimate if self.estimate > 0 else 0.0

    def sdr(self, gain: float) -> float:
        """SDR of ``gain * estimate``; from the difference signal where cancellation would lose
        precision.
        """
        error = self.reference - 2 * gain * self.product + gain * gain * self.estimate
        if error < 1e-6 * self.reference:
            weights, pairs = np.array([[1.0, -gain]]), zip(*self.pair, strict=True)
            error = sum(float(energies(weights, [*pair])[0]) for pair in pairs)
        return ratio_db(self.reference, error)


def _sums(reference: Samples, estimate: Samples) -> _Sums:
    # Channel by channel: the rows of a cut signal are contiguous, the whole would be copied.
    pairs = zip(reference, estimate, strict=True)
    gram = np.sum([inner_products([*pair], [*pair]) for pair in pairs], axis=0)
    return _Sums(gram[0, 0], gram[1, 1], gram[0, 1], (reference, estimate))


def filtered_sdr(
    reference: Samples,
    estimate: Samples,
    taps: int = FIR_TAPS,
    found: Correlations | None = None,
) -> float:
    """SDR after the filter of ``taps`` taps, centred on no delay, that leaves the least error.

    Least squares on autocorrelations (a Toeplitz system); the estimate counts as zero outside.
    ``found`` are the correlations of this pair, if they are known.
    """
    from scipy.linalg import solve, toeplitz

    half = taps // 2
    if found is None or len(found.own) < taps:
        found = _few_correlations(reference, estimate, taps)
    # sides[i] = sum_t s(t) e(t - (i - half))
    middle, own = len(found.cross) // 2, found.own[:taps]
    sides = found.cross[middle - half : middle + half + 1][::-1][:taps]
    energy = sum(float(inner_products([x], [x])[0, 0]) for x in reference)
    ridge = np.zeros(taps)
    ridge[0] = 1e-12 * own[0]
    weights = solve(toeplitz(own + ridge), sides, assume_a="sym", check_finite=False)
    return ratio_db(energy, max(energy - float(weights @ sides), 0.0))


def _few_correlations(reference: Samples, estimate: Samples, taps: int) -> Correlations:
    """At lags that a filter of ``taps`` taps needs."""
    from benchsep.metrics.lags import correlations_and_own

    half, points = taps // 2, max(4096, 1 << (4 * taps).bit_length())
    cross, own = correlations_and_own(estimate, reference, -half, half, taps, points)
    return Correlations(cross[::-1], own)


def magnitude_sdr(reference: Samples, estimate: Samples) -> float:
    """``|S|^2 / (|S| - g |E|)^2`` over all bins of all channels, ``g`` the best gain.

    Hann window of :data:`STFT_SIZE` samples, hop :data:`STFT_HOP`, centred frames. Magnitudes are
    in single precision, above :data:`SINGLE_DB` in double precision.
    """
    from benchsep.metrics.magnitudes import magnitude_products

    pairs = [*zip(reference, estimate, strict=True)]
    value = _best_gain_sdr([magnitude_products(*pair, STFT_SIZE, STFT_HOP) for pair in pairs])
    if value <= SINGLE_DB:
        return value
    return _best_gain_sdr([_exact_products(*pair) for pair in pairs])


def _best_gain_sdr(products: list[Real]) -> float:
    """SDR in dB after the best gain, from energies of reference and estimate and the inner product
    of both, ``[3]`` for each channel.
    """
    above, below, product = np.sum(products, axis=0).tolist()
    error = above - product * product / below if below > 0 else above
    return ratio_db(above, max(error, 0.0))


def _exact_products(reference: Samples, estimate: Samples) -> Real:
    """The sums of :func:`~benchsep.metrics.magnitudes.magnitude_products` in double precision."""
    pairs = zip(_magnitudes(reference), _magnitudes(estimate), strict=True)
    blocks = [[np.vdot(s, s), np.vdot(e, e), np.vdot(s, e)] for s, e in pairs]
    return np.asarray(np.sum(blocks, axis=0))


def _magnitudes(signal: Samples) -> Iterator[Real]:
    """STFT magnitudes ``[frames, bins]``, a few hundred frames at a time."""
    from scipy.fft import rfft

    padded = np.pad(signal.astype(np.float64), STFT_SIZE // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, STFT_SIZE)[::STFT_HOP]
    window = np.hanning(STFT_SIZE + 1)[:-1]
    for start in range(0, len(frames), 256):
        yield np.abs(rfft(frames[start : start + 256] * window, axis=1))


def _rung(name: str, display: str) -> ValueTraits:
    return ValueTraits(
        name=name,
        direction=+1,
        unit="dB",
        low=None,
        high=None,
        digits=2,
        aggregate="mean",
        window_s=None,
        waveform_matching=True,
        speech_model=False,
        display=display,
        question="both",
        companion=None,
        companion_rank=None,
        # As for uSDR: what papers print as progress.
        tie_margin=0.25,
        failure=None,
        drift=Tolerance(0.01, 0.005, "moved by 7e-6 dB at -80 dB"),
        rank=150,
        overview=name == "sdr",
        own_table=False,
        aliases=(),
    )


def _reading(name: str, unit: str, drift: Tolerance) -> ValueTraits:
    """Traits of the estimated delay and level: no better direction, so no ties."""
    return replace(
        _rung(name, name),
        direction=0,
        unit=unit,
        aggregate="median",
        waveform_matching=False,
        question="other",
        tie_margin=None,
        drift=drift,
    )


class Alignment:
    """The alignment ladder; see the module for the rungs."""

    name = "alignment"
    version = "3"
    values = (
        _rung("sdr", "SDR as it is"),
        _rung("delay", "SDR after delay"),
        _rung("gain", "SDR after delay, gain"),
        _rung("polarity", "SDR after delay, gain, polarity"),
        _rung("fir", "SDR after a short filter"),
        _rung("magnitude", "SDR of magnitudes"),
        _reading("lag", "ms", Tolerance(0.03, 0.01, "moved by 0; one sample may flip: 0.023 ms")),
        _reading("level", "dB", Tolerance(0.01, 0.005, "moved by 3e-6 dB at -80 dB")),
    )
    default: int | None = None
    rate: int | None = None
    channels: Channels = "any"
    domain: Domain = "any"
    default_stems = STEMS
    licence = "MIT"
    source = "benchsep's own ladder; gain as SI-SDR (Le Roux 2019), filter as CI-SDR (2021)"

    def settings(self) -> dict[str, Any]:
        """Largest delay, filter length, STFT."""
        return {
            "max_delay_s": MAX_DELAY_S,
            "fir_taps": FIR_TAPS,
            "stft": [STFT_SIZE, STFT_HOP],
        }

    def available(self) -> str:
        """Always: numpy and scipy are all it needs."""
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """One ladder per stem."""

        def one(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            found = ladder(reference.samples, estimate.samples, reference.rate)
            return {
                **{rung: _finite(getattr(found, rung)) for rung in RUNGS},
                "lag": Score(1000.0 * found.lag / reference.rate),
                "level": Score(found.level),
            }

        return score_pairs(self, references, estimates, stems, one, silent_estimate="est_silent")


def _finite(value: float) -> Score:
    return Score(value) if abs(value) <= PERFECT_DB else Score.missing("not_finite")
