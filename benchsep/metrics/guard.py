"""Checks whether an estimate can be compared with its reference.

All metrics use the same checks in the same order, so the same fault has the same status in every
column.

Conventions
-----------
A guard returns a *status* (see :mod:`benchsep.metrics.metric`), empty without a fault. It never
raises because of the audio: an absent, broken or silent estimate is a row with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from benchsep.audio import Audio

if TYPE_CHECKING:
    from benchsep.metrics.metric import References


SILENCE_DBFS = -80.0
"""A signal with at most this RMS level, in dBFS over the whole track and all channels, counts as
silent.

A 'silent' stem of a real master is dither or rounding: 16-bit triangular dither is at -92 dBFS, its
rounding alone at -101. The quietest of the 476 stems in MUSDB18's 7-second edition is at -51 dBFS
(``The Districts - Vermont``, bass), the next one at -39; one such excerpt in four minutes of
silence is at -66. Below -80 there is only noise.
"""

NOTHING = Audio(np.zeros((1, 1), np.float32), 44_100)
"""Placeholder beside a status if there is no audio."""


def mean_power(audio: Audio) -> float:
    """Mean square of all samples, by one pass over them; NaN or infinite if a sample is."""
    samples = audio.samples.ravel()
    with np.errstate(invalid="ignore", over="ignore"):
        return float(np.dot(samples, samples)) / samples.size


Power = Callable[[Audio], float]
"""Either :func:`mean_power` or :func:`remembered_power`."""


def remembered_power() -> Power:
    """:func:`mean_power` that reads each of the last few signals only once.

    For the checks of one stem, between which no signal changes.
    """
    return lru_cache(maxsize=4)(mean_power)


def is_silent(audio: Audio, power: Power = mean_power) -> bool:
    """Whether the signal is digital silence, dither or rounding: at most :data:`SILENCE_DBFS`.

    Used for references, estimates and mixtures in every metric except BSSEval, which uses museval's
    rule.
    """
    return is_silent_power(power(audio))


def is_silent_power(power: float) -> bool:
    """Whether a signal of this mean square is silent, see :func:`is_silent`."""
    return power <= 10 ** (SILENCE_DBFS / 10)


def absent(references: References, estimates: dict[str, Audio], stem: str) -> str:
    """Status when the stem has no reference or no estimate, else empty."""
    if stem not in references.stems:
        return f"undefined: the track has no reference for {stem}"
    if stem not in estimates:
        return f"undefined: the system gives no {stem}"
    return ""


def broken(role: str, audio: Audio, power: Power = mean_power) -> str:
    """Status when a sample is NaN or infinite, else empty."""
    # The power is NaN or infinite if one sample is; it takes a fifth of the time of a check of
    # each sample. Finite samples beyond 1e19 also have an infinite power.
    sound = np.isfinite(power(audio)) or np.isfinite(audio.samples).all()
    return "" if sound else f"failed: {role} holds NaN or infinite samples"


def mismatch(reference: Audio, estimate: Audio) -> str:
    """Status if the two differ in rate, channels or length, or have NaN samples; else empty."""
    return (
        _unlike(reference, estimate)
        or broken("reference", reference)
        or broken("estimate", estimate)
    )


def _unlike(reference: Audio, estimate: Audio) -> str:
    """Status if the two differ in rate, channels or length; else empty."""
    if reference.rate != estimate.rate:
        return f"failed: estimate at {estimate.rate} Hz, reference at {reference.rate} Hz"
    if reference.channels != estimate.channels:
        return (
            f"failed: estimate has {estimate.channels} channel(s), reference {reference.channels}"
        )
    if reference.frames != estimate.frames:
        return f"failed: estimate has {estimate.frames} samples, reference {reference.frames}"
    return ""


def pairing(
    references: References, estimates: dict[str, Audio], stem: str, power: Power = mean_power
) -> tuple[str, Audio]:
    """The first check of every metric with a reference: status, and the estimate with the
    reference's number of channels.

    A mono estimate of a stereo stem is repeated; a stereo estimate of a mono stem is averaged. If
    the status is not empty, the second item must not be used.
    """
    if status := absent(references, estimates, stem):
        present = references.stems | estimates
        return status, present.get(stem) or next(iter(present.values()), NOTHING)
    reference, estimate = references.stems[stem], estimates[stem]
    if status := broken("estimate", estimate, power):
        return status, estimate
    estimate = estimate.to_channels(reference.channels)
    return _unlike(reference, estimate) or broken("reference", reference, power), estimate
