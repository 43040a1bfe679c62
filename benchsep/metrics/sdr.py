"""Energy ratios without filters: uSDR and SI-SDR.

Goal
----
``usdr``   the whole-song SDR of the Music Demixing Challenges: the level of the stem over the level
           of everything that is wrong with the estimate, gain and phase errors included
``sisdr``  the same after the best gain, which it therefore ignores; split by orthogonal
           projection into interference (``sir``) and artefacts (``sar``)

Conventions
-----------
arrays     ``[channels, frames]`` float32 in, sums in float64; all channels count as one vector
direction  higher is better, in dB; mean over tracks
silence    a silent reference has no score; a silent estimate scores 0 dB in uSDR (all of the stem
           is missing) and has no SI-SDR
perfect    SI-SDR above :data:`PERFECT_DB` is float32 rounding: ``not_finite``. uSDR is bounded by
           its ``delta``

Source: Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in Signal Processing 2022,
eq. 1 (delta 1e-7); Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019. Parity:
``torchmetrics`` SI-SDR (its ``zero_mean=False``) on the channels joined to one vector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchsep.audio import STEMS
from benchsep.metrics._stems import score_pairs
from benchsep.metrics.guard import broken
from benchsep.metrics.metric import References, Score, ValueTraits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio

    Samples = NDArray[np.float32]

DELTA = 1e-7
"""Added to both energies of uSDR, as the challenges do."""

PERFECT_DB = 140.0
"""24 bits of float32 mantissa are 144 dB: a higher ratio measures rounding."""


def dot(a: Samples, b: Samples) -> float:
    """Inner product over all channels and frames, in float64 without a float64 copy of either."""
    return float(np.einsum("ct,ct->", a, b, dtype=np.float64, casting="same_kind"))


def error_energy(reference: Samples, estimate: Samples, gain: float = 1.0) -> float:
    """``|estimate - gain * reference|^2``, subtracted in float64: small errors keep digits."""
    total = 0.0
    for ref, est in zip(reference, estimate, strict=True):
        error = est.astype(np.float64) - gain * ref.astype(np.float64)
        total += float(np.dot(error, error))
    return total


def usdr(reference: Samples, estimate: Samples, delta: float = DELTA) -> float:
    """``10 log10((|s|^2 + delta) / (|s - e|^2 + delta))`` of a whole song.

    Parameters
    ----------
    reference, estimate
        ``[channels, frames]``, equal shapes.

    Returns
    -------
    dB; 0 for a silent estimate, about -5 for the mixture.
    """
    error = error_energy(reference, estimate)
    return float(10.0 * np.log10((dot(reference, reference) + delta) / (error + delta)))


def sisdr(reference: Samples, estimate: Samples) -> float:
    """SI-SDR in dB; infinite when the estimate is the reference times a positive or negative gain.

    ``-inf`` when the two are orthogonal (a silent estimate included).
    """
    energy = dot(reference, reference)
    gain = dot(reference, estimate) / energy
    return ratio_db(gain * gain * energy, error_energy(reference, estimate, gain))


def sisdr_parts(
    stem: str, references: dict[str, Samples], matrix: NDArray[np.float64], estimate: Samples
) -> tuple[float, float, float]:
    """SI-SDR, SI-SIR and SI-SAR: ``10^(-SDR/10) = 10^(-SIR/10) + 10^(-SAR/10)``.

    The estimate is projected on the span of all references, each as one vector with one gain.

    Parameters
    ----------
    references
        every stem of the track that is not silent, ``[channels, frames]`` each.
    matrix
        their inner products, see :func:`inner_products`.
    """
    names = list(references)
    own = references[stem]
    sides = np.array([dot(references[name], estimate) for name in names])
    index = names.index(stem)
    energy = float(matrix[index, index])
    gain = float(sides[index]) / energy
    target = gain * gain * energy
    # lstsq because stems may be copies of each other; it then shares the gain between them.
    gains = np.linalg.lstsq(matrix, sides, rcond=None)[0]
    interference, artefacts = 0.0, 0.0
    for channel, heard in enumerate(estimate):
        span = np.zeros(len(heard))
        for name, weight in zip(names, gains, strict=True):
            span += weight * references[name][channel].astype(np.float64)
        leak = span - gain * own[channel].astype(np.float64)
        rest = heard.astype(np.float64) - span
        interference += float(np.dot(leak, leak))
        artefacts += float(np.dot(rest, rest))
    return (
        ratio_db(target, error_energy(own, estimate, gain)),
        ratio_db(target, interference),
        ratio_db(target, artefacts),
    )


def inner_products(references: dict[str, Samples]) -> NDArray[np.float64]:
    """``[stems, stems]`` inner products of the references: theirs alone, so once per track."""
    names = list(references)
    matrix = np.empty((len(names), len(names)))
    for i, a in enumerate(names):
        for j, b in enumerate(names[: i + 1]):
            matrix[i, j] = matrix[j, i] = dot(references[a], references[b])
    return matrix


def ratio_db(above: float, below: float) -> float:
    """``10 log10(above / below)``, infinite where one of them is zero."""
    if below <= 0.0:
        return float("inf")
    if above <= 0.0:
        return float("-inf")
    return float(10.0 * np.log10(above / below))


def finite(value: float, limit: float = PERFECT_DB) -> Score:
    """A score, or ``not_finite`` beyond what float32 samples can tell from a perfect one."""
    return Score(value) if -limit <= value <= limit else Score.missing("not_finite")


def _decibels(name: str, display: str) -> ValueTraits:
    return ValueTraits(
        name, +1, "dB", None, None, aggregate="mean", alignment_tolerant=False, display=display
    )


class _Ratio:
    """What uSDR and SI-SDR share."""

    needs_reference = True
    rate = None
    channels: Literal["any"] = "any"
    domain: Literal["any"] = "any"
    default_stems = STEMS
    licence = "MIT"

    def available(self) -> str:
        """Always: it needs numpy alone."""
        return ""


class USDR(_Ratio):
    """Whole-song SDR of the Music Demixing Challenges."""

    name = "usdr"
    version = "1"
    values = (_decibels("", "uSDR"),)
    source = "Mitsufuji et al. 2022, eq. 1 (MDX 2021, SDX 2023); whole song, delta 1e-7"
    silence = "A silent reference is ref_silent; a silent estimate scores 0 dB."

    def settings(self) -> dict[str, Any]:
        return {"delta": DELTA}

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """One value a stem, under the empty name."""

        def one(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            return {"": Score(usdr(reference.samples, estimate.samples))}

        return score_pairs(self.values, references, estimates, stems, one)


class SISDR(_Ratio):
    """Scale-invariant SDR, with its interference and artefact parts."""

    name = "sisdr"
    version = "1"
    values = (_decibels("", "SI-SDR"), _decibels("sir", "SI-SIR"), _decibels("sar", "SI-SAR"))
    source = "Le Roux et al., ICASSP 2019; SI-SDR as torchmetrics (zero_mean=False)"
    silence = "A silent reference is ref_silent, a silent estimate est_silent."

    def settings(self) -> dict[str, Any]:
        return {"zero_mean": False, "channels": "joined"}

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """SI-SDR under the empty name, ``sir`` and ``sar`` beside it."""
        span, matrix = _span(references)

        def one(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            sdr, sir, sar = sisdr_parts(stem, span, matrix, estimate.samples)
            return {"": finite(sdr), "sir": finite(sir), "sar": finite(sar)}

        return score_pairs(
            self.values, references, estimates, stems, one, silent_estimate="est_silent"
        )


def _span(references: References) -> tuple[dict[str, Samples], NDArray[np.float64]]:
    """References that span something, and their inner products; once per track."""
    key = ("sisdr", "span")
    if key not in references.cache:
        usable = {
            name: audio.samples
            for name, audio in references.stems.items()
            if not audio.silent and not broken("reference", audio)
        }
        references.cache[key] = usable, inner_products(usable)
    span: tuple[dict[str, Samples], NDArray[np.float64]] = references.cache[key]
    return span
