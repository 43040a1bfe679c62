"""logWMSE: the logarithm of a frequency-weighted error; also defined for digital silence.

Conventions
-----------
arrays     float ``[frames]``; reference, estimate and mixture of one channel
rate       44.1 kHz; other rates are resampled
channels   computed separately; a value is the mean over channels
needs      the mixture; the error is relative to its weighted energy (no mixture: ``undefined``)
direction  higher is better; 73.68 for a perfect estimate, about 0 for an error as loud as
           the mixture
silence    a silent reference and a silent estimate both have values; this is the purpose of the
           metric

Definition
----------
With ``W`` the energy after a fixed hearing-sensitivity filter and ``n`` samples::

    mse = W(estimate - reference) / max(W(mixture), n * 1e-16)
    value = -4 ln(mse + 1e-8)

The filter (Fenton and Lee 2017) is a zero-phase FIR, computed here: a 5 dB shelf at 1.5 kHz, a 12
dB/octave high-pass at 120 Hz, a 2.5 dB peak at 500 Hz and a 12 dB/octave low-pass at 10 kHz.

Source: I. Jordal, nomonosound/log-wmse-audio-quality; values of torch-log-wmse 1.1, which sums the
energy of the whole filtered signal.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.errors import AudioError
from benchsep.metrics.metric import Score, Tolerance, ValueTraits
from benchsep.metrics.stems import every, score_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain, References

RATE = 44_100
TAPS = 4000
SCALE = -4.0
EPS = 1e-8
FFT = 32_768
"""Block length of the autocorrelations' transforms."""
CEILING = SCALE * float(np.log(EPS))
"""Value of a perfect estimate: 73.68."""


def logwmse(
    reference: NDArray[np.float32], estimate: NDArray[np.float32], mixture: NDArray[np.float32]
) -> float:
    """The score of one channel: three arrays ``[frames]`` of equal length at 44.1 kHz.

    Raises
    ------
    AudioError
        if the lengths differ or are zero.
    """
    if not reference.shape == estimate.shape == mixture.shape or not reference.size:
        raise AudioError(
            f"shapes {reference.shape}, {estimate.shape}, {mixture.shape}: expected three "
            "signals [frames] of one length"
        )
    return _value(reference, estimate, weighted_energy(mixture))


def _value(
    reference: NDArray[np.float32], estimate: NDArray[np.float32], of_mixture: float
) -> float:
    """:func:`logwmse` with the weighted energy of the mixture."""
    error = weighted_energy(np.subtract(estimate, reference))
    return SCALE * float(np.log(error / max(of_mixture, len(reference) * EPS**2) + EPS))


def weighted_energy(signal: NDArray[Any]) -> float:
    """Energy after the filter, without computing the filtered signal.

    ``sum_t |(h * x)(t)|^2 = sum_m r_h(m) r_x(m)`` with the autocorrelations of filter and signal.
    Those of the signal are sums over blocks that stay in the cache; a transform of a whole song
    does not.
    """
    from benchsep.metrics.lags import correlations

    channel = np.ascontiguousarray(signal, np.float32)[None]
    found = correlations(channel, channel, 0, TAPS - 1, FFT)
    # Rounding may make the energy of inaudible sound negative.
    return max(0.0, float(found @ _correlations()))


@lru_cache(maxsize=1)
def _correlations() -> NDArray[np.float64]:
    """Autocorrelation of the filter at lags 0 to ``TAPS - 1``; all but the first count twice."""
    found = np.correlate(hearing_filter(), hearing_filter(), "full")[TAPS - 1 :]
    found[1:] *= 2
    return found


@lru_cache(maxsize=1)
def hearing_filter() -> NDArray[np.float64]:
    """The impulse response, ``[4000]``, at 44.1 kHz."""
    from scipy.signal import butter, freqz

    size = 8192
    bins = size // 2 + 1
    # Upstream samples the response at k / bins of the Nyquist frequency, but inverts it as if
    # sampled at k / (bins - 1). This is kept, because it defines the values.
    grid = np.arange(bins) * (RATE / 2) / bins

    def magnitude(b: Any, a: Any) -> NDArray[np.float64]:
        return np.asarray(np.abs(freqz(b, a, worN=grid, fs=RATE)[1]))

    response = (
        magnitude(*_shelf(1500, 5, 1 / np.sqrt(2)))
        * magnitude(*butter(2, 120, "highpass", fs=RATE))
        * magnitude(*_peak(500, 2.5, 1.5 / np.sqrt(2)))
        * magnitude(*butter(1, 10_000, fs=RATE)) ** 2  # forwards and backwards
    )
    impulse = np.fft.fftshift(np.fft.irfft(response, size))
    first = size // 2 + 1 - TAPS // 2
    return np.asarray(impulse[first : first + TAPS], dtype=np.float64)


def _shelf(hertz: float, gain: float, q: float) -> tuple[list[float], list[float]]:
    """High shelf of ``gain`` dB (R. Bristow-Johnson, Audio EQ Cookbook)."""
    a, c, alpha = _cookbook(hertz, gain, q)
    s = 2 * np.sqrt(a) * alpha
    numerator = [a * (a + 1 + (a - 1) * c + s), -2 * a * (a - 1 + (a + 1) * c)]
    denominator = [a + 1 - (a - 1) * c + s, 2 * (a - 1 - (a + 1) * c)]
    return (
        [*numerator, a * (a + 1 + (a - 1) * c - s)],
        [*denominator, a + 1 - (a - 1) * c - s],
    )


def _peak(hertz: float, gain: float, q: float) -> tuple[list[float], list[float]]:
    """Peaking filter of ``gain`` dB (same source)."""
    a, c, alpha = _cookbook(hertz, gain, q)
    return [1 + alpha * a, -2 * c, 1 - alpha * a], [1 + alpha / a, -2 * c, 1 - alpha / a]


def _cookbook(hertz: float, gain: float, q: float) -> tuple[float, float, float]:
    omega = 2 * np.pi * hertz / RATE
    return 10 ** (gain / 40), float(np.cos(omega)), float(np.sin(omega) / (2 * q))


class LogWMSE:
    """The metric ``logwmse``: see the module."""

    name = "logwmse"
    version = "1"
    values: tuple[ValueTraits, ...] = (
        ValueTraits(
            name="",
            direction=+1,
            unit="",
            low=None,
            high=CEILING,
            digits=2,
            aggregate="mean",
            window_s=None,
            waveform_matching=True,
            speech_model=False,
            display="logWMSE",
            question="both",
            companion=None,
            companion_rank=None,
            # A quarter dB of error energy, as for the other energy ratios: 4 ln(10^0.025).
            tie_margin=0.23,
            failure=None,
            drift=Tolerance(0.02, 0.01, "energies of filtered signals"),
            rank=170,
            overview=True,
            own_table=False,
            aliases=(),
        ),
    )
    default: int | None = None
    rate: int | None = RATE
    channels: Channels = "any"
    domain: Domain = "any"
    default_stems: tuple[str, ...] = ("vocals", "drums", "bass", "other")
    licence = "MIT (own code)"
    source = "Jordal, log-wmse-audio-quality; values of torch-log-wmse 1.1"

    def settings(self) -> dict[str, Any]:
        return {"taps": TAPS, "eps": EPS}

    def available(self) -> str:
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        mixture = references.mixture
        if mixture is None:
            status = "undefined: logWMSE needs the mixture, which was not given"
            return {stem: every(self.values, status) for stem in stems}

        def score(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            given = references.stems[stem]
            if (mixture.rate, mixture.frames) != (given.rate, given.frames):
                return every(self.values, "failed: mixture and reference differ in rate or length")
            key = (self.name, "energies of the mixture", given.channels)
            if key not in references.cache:
                heard = mixture.to_channels(given.channels).resampled(RATE)
                references.cache[key] = [weighted_energy(channel) for channel in heard.samples]
            channels = zip(reference.samples, estimate.samples, references.cache[key], strict=True)
            return {"": Score(float(np.mean([_value(*each) for each in channels])))}

        return score_pairs(self, references, estimates, stems, score, silent_reference="")
