"""Whether an estimate can be compared with its reference at all.

Goal: one wording and one order of checks for every metric, so that the same fault has the same
status in every column.

Conventions
-----------
A guard returns a *status* (see :mod:`benchsep.metrics.metric`), empty when all is well. It never
raises for what the audio holds: an absent, broken or silent estimate is a row with a reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.audio import Audio

if TYPE_CHECKING:
    from benchsep.metrics.metric import References


SILENCE_DBFS = -80.0
"""RMS level over the whole track and all channels up to which a signal counts as silent.

A 'silent' stem of a real master is dither or rounding: 16-bit triangular dither is at -92 dBFS, its
rounding alone at -101. The quietest of the 476 stems in MUSDB18's 7-second edition is at -51 dBFS
(``The Districts - Vermont``, bass), the next one at -39; one such excerpt in four minutes of
silence is at -66. What is below -80 is noise that nobody recorded on purpose.
"""

NOTHING = Audio(np.zeros((1, 1), np.float32), 44_100)
"""What stands beside a status where there is no audio at all."""


def is_silent(audio: Audio) -> bool:
    """Whether the signal is digital silence, dither or rounding: at most :data:`SILENCE_DBFS`.

    Of references, estimates and mixtures alike, in every metric but BSSEval, which has museval's
    rule.
    """
    samples = audio.samples.ravel()
    power = float(np.dot(samples, samples)) / samples.size
    return power <= 10 ** (SILENCE_DBFS / 10)


def absent(references: References, estimates: dict[str, Audio], stem: str) -> str:
    """Status when the stem has no reference or no estimate, else empty."""
    if stem not in references.stems:
        return f"undefined: the track has no reference for {stem}"
    if stem not in estimates:
        return f"undefined: the system gives no {stem}"
    return ""


def broken(role: str, audio: Audio) -> str:
    """Status when a sample is NaN or infinite, else empty."""
    # The energy is NaN or infinite as soon as one sample is, and takes a fifth of the time of a
    # look at each; finite samples beyond 1e19 have an infinite one too.
    samples = audio.samples.ravel()
    with np.errstate(invalid="ignore", over="ignore"):
        sound = np.isfinite(np.dot(samples, samples)) or np.isfinite(samples).all()
    return "" if sound else f"failed: {role} holds NaN or infinite samples"


def mismatch(reference: Audio, estimate: Audio) -> str:
    """Status when the two do not share rate, channels and length, or hold a NaN, else empty."""
    return (
        _unlike(reference, estimate)
        or broken("reference", reference)
        or broken("estimate", estimate)
    )


def _unlike(reference: Audio, estimate: Audio) -> str:
    """Status when the two do not share rate, channels and length, else empty."""
    if reference.rate != estimate.rate:
        return f"failed: estimate at {estimate.rate} Hz, reference at {reference.rate} Hz"
    if reference.channels != estimate.channels:
        return (
            f"failed: estimate has {estimate.channels} channel(s), reference {reference.channels}"
        )
    if reference.frames != estimate.frames:
        return f"failed: estimate has {estimate.frames} samples, reference {reference.frames}"
    return ""


def pairing(references: References, estimates: dict[str, Audio], stem: str) -> tuple[str, Audio]:
    """What every intrusive metric asks first: status, and the estimate in the reference's channels.

    A mono estimate of a stereo stem is repeated, a stereo one of a mono stem averaged. With a
    status that is not empty the second item is meaningless.
    """
    if status := absent(references, estimates, stem):
        present = references.stems | estimates
        return status, present.get(stem) or next(iter(present.values()), NOTHING)
    reference, estimate = references.stems[stem], estimates[stem]
    if status := broken("estimate", estimate):
        return status, estimate
    # A look at all samples is a pass over memory: none is looked at twice.
    estimate = estimate.to_channels(reference.channels)
    return _unlike(reference, estimate) or broken("reference", reference), estimate
