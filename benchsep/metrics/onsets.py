"""Onsets: are the onsets of the estimate at the right time, and as sharp as in the reference?

Conventions
-----------
rate       that of the signals; channels are averaged
times      seconds, ascending
stems      drums by default
direction  precision, recall, f1: higher is better, 0 to 1; attack: lower is better, dB
silence    no onset in the reference: no value; no onset in the estimate: zeros

Values
------
f1, precision, recall  of the estimate's onsets against the reference's within 50 ms, each
                       matched once (``mir_eval.onset.f_measure``). Both lists come from the same
                       detector, so the true stem scores 1 despite errors of the detector.
attack                 mean over matched onsets of the absolute difference, in dB, between the rises
                       of energy within 10 ms. It measures smeared transients, which are typical of
                       codecs and of phase synthesis.
attack_bias            the same with its sign: negative means softer than the reference.

Detector: half-wave rectified flux of a log-compressed mel spectrogram relative to the
signal's own peak (level-invariant), 10 ms steps; an onset is the largest value within 30 ms
that exceeds the local mean by a share of the flux's own strong peaks. After Böck, Krebs,
Schedl, "Evaluating the online capabilities of onset detection methods", ISMIR 2012.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import STEMS
from benchsep.metrics.guard import is_silent
from benchsep.metrics.hops import hop_energies
from benchsep.metrics.jit import kernel
from benchsep.metrics.mel import mel_filters
from benchsep.metrics.metric import Score, Tolerance, ValueTraits
from benchsep.metrics.stems import every, score_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain, References

    Vector = NDArray[np.float64]
    Single = NDArray[np.float32]
    Whole = NDArray[np.int64]

TOGETHER = 64
"""Frames that are transformed together; they fit into the cache."""
TOLERANCE = 0.05
"""Seconds between matched onsets (mir_eval's default, MIREX)."""
STEPS = 100
"""Frames of the detector per second."""
SIZE_SECONDS = 0.0464
"""2048 samples at 44.1 kHz."""
BANDS = 80
COMPRESSION = 1e4
"""C in the flux of ln(1 + C power / peak): events 40 dB below the loudest still count."""
LAG = 2
"""Frames between the two compared spectra, because a rise takes longer than one step."""
PEAK_STEPS, BEFORE_STEPS, AFTER_STEPS, WAIT_STEPS = 3, 10, 7, 5
"""Maximum within ±30 ms, mean from -100 to +70 ms, at least 50 ms between onsets."""
THRESHOLD = 0.08
"""Least height above the local mean, relative to the 99th percentile of the flux."""

RISE_SECONDS, RISE_LIMIT = 0.010, 40.0
"""The rise is the energy of 10 ms relative to the 10 ms before, at most 40 dB."""
NEAR_SECONDS = 0.03
"""Range around a detected onset in which the steepest rise is searched, in seconds."""


def detect(signal: Vector, rate: int) -> Vector:
    """Onset times in seconds of a mono signal ``[frames]``; empty for silence."""
    flux = onset_flux(signal, rate)
    if not flux.any():
        return np.zeros(0)
    from scipy.ndimage import maximum_filter1d

    padded = np.pad(flux, (BEFORE_STEPS, AFTER_STEPS), mode="edge")
    window = np.ones(BEFORE_STEPS + AFTER_STEPS + 1)
    mean = np.convolve(padded, window / window.size, mode="valid")
    least = THRESHOLD * np.percentile(flux, 99)
    peaks = (flux == maximum_filter1d(flux, 2 * PEAK_STEPS + 1)) & (flux > mean + least)
    kept: list[int] = []
    for step in np.flatnonzero(peaks):
        if not kept or step - kept[-1] > WAIT_STEPS:
            kept.append(int(step))
    return np.asarray(kept) / STEPS


def onset_flux(signal: Vector, rate: int) -> Vector:
    """Rectified flux per 10 ms step, ``[steps]``; value k is the rise around k / 100 s."""
    from scipy.fft import rfft

    size = 2 * round(SIZE_SECONDS * rate / 2)
    if len(signal) < rate // STEPS or not signal.any():
        return np.zeros(0)
    centres = np.round(np.arange(len(signal) * STEPS // rate + 1) * rate / STEPS).astype(int)
    padded = np.pad(signal.astype(np.float32), size // 2 + LAG * rate // STEPS)
    window = np.hanning(size).astype(np.float32)
    filters = _filters(rate, size)
    # The two spectra are symmetric around the step, so the flux peaks at the rise. At most rates,
    # the later spectrum of a step is the earlier one of another step: each is computed once.
    shift = LAG * rate // (2 * STEPS)
    around = centres + LAG * rate // STEPS + np.array([[-shift], [shift]])  # [2, steps]
    starts, places = np.unique(around, return_inverse=True)
    bands = np.empty((len(starts), filters.shape[1]), np.float32)
    room = np.empty((TOGETHER, size), np.float32)
    power = np.empty((TOGETHER, size // 2 + 1), np.float32)
    for k in range(0, len(starts), TOGETHER):
        now = starts[k : k + TOGETHER]
        count = len(now)
        _write_frames(padded, now, window, room[:count])
        _write_powers(rfft(room[:count]), power[:count])
        np.matmul(power[:count], filters, out=bands[k : k + count])
    bands *= COMPRESSION / float(bands.max())
    np.log1p(bands, out=bands)
    early, late = bands[places.reshape(around.shape)]  # [steps, bands] each
    return np.asarray(np.maximum(late - early, 0).sum(1), dtype=np.float64)


@kernel
def _write_frames(signal: Single, starts: Whole, window: Single, out: Single) -> None:
    """Windowed frames ``[frames, size]``."""
    for frame in range(starts.shape[0]):
        part = signal[starts[frame] : starts[frame] + window.shape[0]]
        for n in range(window.shape[0]):
            out[frame, n] = part[n] * window[n]


@kernel
def _write_powers(spectra: NDArray[np.complex64], out: Single) -> None:
    """Squared magnitudes ``[frames, bins]``."""
    for frame in range(spectra.shape[0]):
        for k in range(spectra.shape[1]):
            re, im = spectra[frame, k].real, spectra[frame, k].imag
            out[frame, k] = re * re + im * im


@lru_cache(maxsize=4)
def _filters(rate: int, size: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(mel_filters(rate, size, BANDS).T, dtype=np.float32)


def match(
    reference: Vector, estimate: Vector, tolerance: float = TOLERANCE
) -> list[tuple[int, int]]:
    """The largest one-to-one matching of two ascending lists within ``tolerance`` seconds.

    For sorted times, pairing each event with the earliest free partner is a maximum matching.
    """
    pairs, i, j = [], 0, 0
    while i < len(reference) and j < len(estimate):
        difference = estimate[j] - reference[i]
        if abs(difference) <= tolerance:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif difference < 0:
            j += 1
        else:
            i += 1
    return pairs


def f_measure(hits: int, reference: int, estimate: int) -> tuple[float, float, float]:
    """F1, precision and recall of ``hits`` matches; zeros without a match."""
    if not hits:
        return 0.0, 0.0, 0.0
    precision, recall = hits / estimate, hits / reference
    return 2 * precision * recall / (precision + recall), precision, recall


def rises(signal: Vector, times: Vector, rate: int) -> Vector:
    """Steepest rise of energy within 10 ms near each time, in dB, ``[times]``.

    Both energies have a floor at 60 dB below the signal's loudest 10 ms, so that the rise after
    silence is finite.
    """
    width = max(1, round(RISE_SECONDS * rate))
    hop = max(1, width // 10)
    whole = len(signal) // hop * hop
    channel = np.asarray(signal[None, :whole], np.float32)
    span, parts = hop_energies(channel, hop), width // hop
    smooth = np.convolve(span, np.ones(parts), mode="full")  # energy of the last 10 ms
    smooth += max(smooth.max() * 1e-6, 1e-30)
    level = 10 * np.log10(np.concatenate([smooth, np.full(parts, smooth[-1])]))
    rise = np.minimum(level[parts:] - level[:-parts], RISE_LIMIT)
    step = hop / rate
    reach = round(NEAR_SECONDS / step)
    centres = np.round(times / step).astype(int)
    return np.array(
        [rise[max(0, c - reach) : c + reach + 1].max() if len(rise) else 0.0 for c in centres]
    )


_F1 = ValueTraits(
    name="f1",
    direction=+1,
    unit="",
    low=0.0,
    high=1.0,
    digits=3,
    aggregate="mean",
    window_s=None,
    waveform_matching=False,
    speech_model=False,
    display="Onset F1",
    question="both",
    companion=None,
    companion_rank=None,
    # A tenth of the step from the mixture (0.79) to an ideal ratio mask (0.97), 14 test excerpts;
    # one onset in fifty.
    tie_margin=0.02,
    failure=None,
    drift=Tolerance(0.02, 0.005, "moved by 0 at -80 dB; one onset of fifty may flip"),
    rank=60,
    overview=True,
    own_table=False,
    aliases=(),
)
_ATTACK = replace(
    _F1,
    name="attack",
    direction=-1,
    unit="dB",
    low=0.0,
    high=RISE_LIMIT,
    digits=1,
    display="Attack difference",
    question="quality",
    # A tenth of the step from the mixture (12.2 dB) to an ideal ratio mask (5.4 dB).
    tie_margin=0.7,
    drift=Tolerance(0.1, 0.03, "moved by 1e-4 dB at -80 dB; an onset may flip"),
    overview=False,
)


class Onsets:
    """The metric ``onsets``: see the module."""

    name = "onsets"
    version = "3"
    values: tuple[ValueTraits, ...] = (
        _F1,
        # Bleed adds onsets and lowers precision; lost notes lower recall.
        replace(
            _F1,
            name="precision",
            display="Onset precision",
            question="interference",
            overview=False,
        ),
        replace(_F1, name="recall", display="Onset recall", question="quality", overview=False),
        _ATTACK,
        replace(
            _ATTACK,
            name="attack_bias",
            direction=0,
            low=-RISE_LIMIT,
            display="Attack bias",
            tie_margin=None,
        ),
    )
    default: int | None = None
    rate: int | None = None
    channels: Channels = "mono"
    domain: Domain = "music"
    default_stems: tuple[str, ...] = tuple(stem for stem in STEMS if stem == "drums")
    licence = "MIT (own code)"
    source = "Böck et al., ISMIR 2012 (detector); mir_eval.onset 0.8 (matching); attack: here"

    def settings(self) -> dict[str, Any]:
        return {"tolerance": TOLERANCE, "threshold": THRESHOLD, "bands": BANDS}

    def available(self) -> str:
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        def score(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            truth, rate = reference.samples[0], reference.rate
            key = (self.name, stem)
            if key not in references.cache:
                times = detect(truth, rate)
                references.cache[key] = times, rises(truth, times, rate) if len(times) else times
            times, sharpness = references.cache[key]
            return self._score(times, sharpness, estimate)

        return score_pairs(self, references, estimates, stems, score)

    def _score(self, expected: Vector, sharpness: Vector, estimate: Audio) -> dict[str, Score]:
        """``expected`` are the reference's onsets, and ``sharpness`` their rises in dB."""
        if len(expected) == 0:
            return every(self.values, "undefined: no onset in the reference")
        heard, rate = estimate.samples[0], estimate.rate
        # Dither has onsets too, because the flux is relative to the signal's own peak.
        found = np.zeros(0) if is_silent(estimate) else detect(heard, rate)
        pairs = match(expected, found)
        values = dict(
            zip(
                ("f1", "precision", "recall"),
                map(Score, f_measure(len(pairs), len(expected), len(found))),
                strict=True,
            )
        )
        if not pairs:
            missing = Score.missing("undefined: no onset matched")
            return {**values, "attack": missing, "attack_bias": missing}
        ours, theirs = (np.array(side) for side in zip(*pairs, strict=True))
        difference = rises(heard, found[theirs], rate) - sharpness[ours]
        return {
            **values,
            "attack": Score(float(np.abs(difference).mean())),
            "attack_bias": Score(float(difference.mean())),
        }
