"""Detects delayed estimates: a constant delay of all samples, for example from an mp3 encoder.

A delay can lower waveform-matching metrics by more than 10 dB, but is not an error of the
separation. So it is measured for every separation, stored with the draw, and reported.

Conventions
-----------
lag       samples by which an estimate is later than its reference; positive: late. At most 0.1 s
          (:data:`benchsep.metrics.alignment.MAX_DELAY_S`)
excerpt   the loudest :data:`EXCERPT_S` seconds of the reference, mono: enough for a correlation,
          and fast
reported  a lag is reported if its removal improves the scale-invariant SDR by at least
          :data:`GAIN_DB`, to at least :data:`FLOOR_DB`. Estimates that do not match the waveform
          (generative ones) have no lag
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from benchsep.audio import Audio
from benchsep.metrics.alignment import candidate_lags, correlate, shifted
from benchsep.metrics.guard import is_silent

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

EXCERPT_S = 20.0
GAIN_DB = 1.0
FLOOR_DB = 0.0


def loudest_parts(references: Mapping[str, Audio]) -> dict[str, slice]:
    """Stem to the loudest excerpt of its reference; silent references are left out."""
    return {
        stem: _loudest_part(audio) for stem, audio in references.items() if not is_silent(audio)
    }


def _loudest_part(reference: Audio) -> slice:
    """The loudest :data:`EXCERPT_S` seconds (of the mono signal); a shorter signal as a whole."""
    middle = reference.mono().samples[0]
    size = int(EXCERPT_S * reference.rate)
    if middle.size <= size:
        return slice(0, middle.size)
    starts = range(0, middle.size - size + 1, size // 2)
    start = max(starts, key=lambda at: float(np.square(middle[at : at + size]).sum()))
    return slice(start, start + size)


def mono(audio: Audio, part: slice) -> Samples:
    """A part of a signal, ``[1, frames]``."""
    return Audio(audio.samples[:, part], audio.rate).mono().samples


def lags_of(
    references: Mapping[str, Audio], estimates: Mapping[str, Audio], parts: Mapping[str, slice]
) -> dict[str, int]:
    """Stem to its lag in samples, for stems with a lag; ``parts``: from :func:`loudest_parts`."""
    pairs = {
        s: (mono(references[s], parts[s]), mono(estimates[s], parts[s]))
        for s in parts
        if s in estimates
    }
    lags = {s: lag_of(*pair, references[s].rate) for s, pair in pairs.items()}
    return {stem: lag for stem, lag in lags.items() if lag}


def lag_of(reference: Samples, estimate: Samples, rate: int) -> int:
    """The lag of one estimate in samples; 0 if no lag can be detected.

    Signals are ``[1, frames]``.
    """
    if not reference.any() or not estimate.any():
        return 0
    lags = candidate_lags(correlate(reference, estimate, rate))
    scores = {k: _si_sdr(*shifted(reference, estimate, k)) for k in lags}
    best = max(scores, key=lambda lag: scores[lag])
    clear = scores[best] >= FLOOR_DB and scores[best] >= scores[0] + GAIN_DB
    return best if clear else 0


def _si_sdr(reference: Samples, estimate: Samples) -> float:
    """SI-SDR in dB; minus infinity for opposite signs."""
    product, decibels = product_and_si_sdr(reference, estimate)
    return decibels if product > 0 else -math.inf


def product_and_si_sdr(reference: Samples, estimate: Samples) -> tuple[float, float]:
    """The inner product, and SI-SDR in dB for either sign of it.

    ``r**2 / (1 - r**2)`` of the correlation coefficient ``r``, between -120 and 120 dB.
    """
    product = float(np.vdot(reference, estimate))
    energy = float(np.vdot(reference, reference)) * float(np.vdot(estimate, estimate))
    share = min(product * product / energy, 1 - 1e-12) if energy else 0.0
    return product, 10 * math.log10(max(share, 1e-12) / (1 - share))


def aligned(estimates: dict[str, Audio], lags: dict[str, int]) -> dict[str, Audio]:
    """The estimates with their lags removed; the ends are padded with zeros."""
    return {stem: _moved(audio, lags.get(stem, 0)) for stem, audio in estimates.items()}


def _moved(audio: Audio, lag: int) -> Audio:
    if not lag:
        return audio
    samples = np.zeros_like(audio.samples)
    if lag > 0:
        samples[:, :-lag] = audio.samples[:, lag:]
    else:
        samples[:, -lag:] = audio.samples[:, :lag]
    return Audio(samples, audio.rate)


def in_words(lags: Mapping[str, int]) -> list[str]:
    """A sentence on the lags of one separation (:func:`lags_of`); empty without lags."""
    if not lags:
        return []
    late = ", ".join(
        f"{stem} {abs(lag):,} samples {'late' if lag > 0 else 'early'}"
        for stem, lag in sorted(lags.items())
    )
    return [
        f"estimates have a delay ({late}), so metrics that compare waveforms give values that are "
        "too low"
    ]


def late_systems(costs: pd.DataFrame) -> dict[str, str]:
    """System label to a sentence on its lag; ``costs``: from ``load_costs``."""
    sentences: dict[str, str] = {}
    if "lag" not in costs:
        return sentences
    for label, part in costs.groupby("system", sort=True):
        by_song = part.groupby("track")["lag"].max()
        found = [int(lag) for lag in by_song if lag]
        if found:
            lag, _ = Counter(found).most_common(1)[0]
            side = "late" if lag > 0 else "early"
            late = f"{abs(lag):,} samples {side} on {len(found)} of {len(by_song)} songs"
            sentences[str(label)] = (
                f"{label} was {late}: its estimates were moved before they were scored (--align)"
                if "aligned" in part and part["aligned"].all()
                else f"{label} is {late}, so metrics that compare waveforms give values that are "
                "too low. A possible cause is the delay of an mp3 encoder: cut it from the "
                "files, or run with --align"
            )
    return sentences
