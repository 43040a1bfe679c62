"""Energy ratios without filters: uSDR and SI-SDR.

Goal
----
``usdr``   the whole-song SDR of the Music Demixing Challenges: energy of the stem relative to the
           energy of the error, which includes errors of gain and phase
``sisdr``  the same after the optimal gain, so errors of gain are ignored; split by orthogonal
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

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import STEMS
from benchsep.metrics.guard import broken, is_silent
from benchsep.metrics.levels import ratio_db
from benchsep.metrics.metric import References, Score, Tolerance, ValueTraits
from benchsep.metrics.stems import score_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain

    Samples = NDArray[np.float32]
    Real = NDArray[np.float64]

DELTA = 1e-7
"""Added to both energies of uSDR, as in the challenges."""

PERFECT_DB = 140.0
"""24 bits of float32 mantissa are 144 dB: a higher ratio is rounding noise."""


def energies(weights: Real, signals: list[Samples]) -> Real:
    """``|sum_k weights[i, k] signals[k]|^2`` for each row of weights, without cancellation."""
    from benchsep.metrics import sums

    return sums.energies(weights, sums.flat(signals))


def inner_products(left: list[Samples], right: list[Samples]) -> Real:
    """``[left, right]`` inner products over all channels and frames."""
    from benchsep.metrics import sums

    together = sums.flat([*left, *right])
    return sums.inner_products(together[: len(left)], together[len(left) :])


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
    above, below = energies(np.array([[1.0, 0.0], [1.0, -1.0]]), [reference, estimate])
    return float(10.0 * np.log10((above + delta) / (below + delta)))


def sisdr(reference: Samples, estimate: Samples) -> float:
    """SI-SDR in dB, with one gain for all channels.

    Returns
    -------
    dB; infinite (or above :data:`PERFECT_DB`) for the reference times any gain, ``-inf`` for an
    estimate orthogonal to it (a silent one included).
    """
    energy, product = inner_products([reference], [reference, estimate])[0]
    above, below = energies(
        np.array([[product / energy, 0.0], [-product / energy, 1.0]]), [reference, estimate]
    )
    return ratio_db(float(above), float(below))


def sisdr_parts(
    own: int, references: list[Samples], gram: Real, estimate: Samples
) -> tuple[float, float, float]:
    """SI-SDR, SI-SIR and SI-SAR: ``10^(-SDR/10) = 10^(-SIR/10) + 10^(-SAR/10)``.

    The estimate is projected on the span of all references, each as one vector with one gain.

    Parameters
    ----------
    own
        index of the estimate's own reference.
    references
        every stem of the track that is not silent, ``[channels, frames]`` each.
    gram
        their inner products.
    """
    sides = inner_products(references, [estimate])[:, 0]
    target = np.zeros(len(references))
    target[own] = sides[own] / gram[own, own]
    # lstsq, because stems may be equal; it then splits the gain between them.
    span = np.linalg.lstsq(gram, sides, rcond=None)[0]
    weights = np.array([[*target, 0.0], [*-target, 1.0], [*(span - target), 0.0], [*-span, 1.0]])
    above, distortion, leak, rest = energies(weights, [*references, estimate]).tolist()
    return ratio_db(above, distortion), ratio_db(above, leak), ratio_db(above, rest)


def finite(value: float, limit: float = PERFECT_DB) -> Score:
    """A score, or ``not_finite`` if the value in dB is above ``limit``."""
    return Score(value) if -limit <= value <= limit else Score.missing("not_finite")


_USDR = ValueTraits(
    name="",
    direction=+1,
    unit="dB",
    low=None,
    high=None,
    digits=2,
    aggregate="mean",
    window_s=None,
    waveform_matching=True,
    speech_model=False,
    display="uSDR",
    question="both",
    companion=None,
    companion_rank=50,
    # Differences that papers report as progress; from the mixture to an ideal ratio mask it is 14
    # dB.
    tie_margin=0.25,
    # The error is louder than the stem.
    failure=0.0,
    drift=Tolerance(0.01, 0.005, "moved by 1e-5 dB"),
    rank=120,
    overview=True,
    own_table=False,
    aliases=(),
)
_SISDR = replace(
    _USDR,
    display="SI-SDR",
    companion_rank=70,
    drift=Tolerance(0.01, 0.005, "moved by 2e-5 dB"),
    rank=140,
    aliases=("sisdr",),
)
_SISIR = replace(
    _SISDR,
    name="sir",
    display="SI-SIR",
    question="interference",
    companion_rank=30,
    overview=False,
    aliases=(),
)
_SISAR = replace(_SISIR, name="sar", display="SI-SAR", question="quality", companion_rank=None)


class _Ratio:
    """Attributes that uSDR and SI-SDR share."""

    rate: int | None = None
    channels: Channels = "any"
    domain: Domain = "any"
    default_stems = STEMS
    licence = "MIT"

    def available(self) -> str:
        """Always: it needs numpy alone."""
        return ""


class USDR(_Ratio):
    """Whole-song SDR of the Music Demixing Challenges."""

    name = "usdr"
    known_as = ("SDR", "utterance SDR", "MDX SDR")
    version = "2"
    default: int | None = 3
    values = (_USDR,)
    source = "Mitsufuji et al. 2022, eq. 1 (MDX 2021, SDX 2023); whole song, delta 1e-7"

    def settings(self) -> dict[str, Any]:
        return {"delta": DELTA}

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """One value per stem, with the empty name."""

        def one(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            return {"": Score(usdr(reference.samples, estimate.samples))}

        return score_pairs(self, references, estimates, stems, one)


class SISDR(_Ratio):
    """Scale-invariant SDR, with its interference and artefact parts."""

    name = "sisdr"
    known_as = ("scale-invariant SDR",)
    version = "3"
    default: int | None = 4
    values = (_SISDR, _SISIR, _SISAR)
    source = "Le Roux et al., ICASSP 2019; SI-SDR as torchmetrics (zero_mean=False)"

    def settings(self) -> dict[str, Any]:
        return {"zero_mean": False, "channels": "joined"}

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """SI-SDR with the empty name, and ``sir`` and ``sar``."""
        names, span, gram = _span(references)

        def one(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            sdr, sir, sar = sisdr_parts(names.index(stem), span, gram, estimate.samples)
            return {"": finite(sdr), "sir": finite(sir), "sar": finite(sar)}

        return score_pairs(self, references, estimates, stems, one, silent_estimate="est_silent")


def _span(references: References) -> tuple[list[str], list[Samples], Real]:
    """Names and samples of the references that are not silent or broken, and their inner
    products.
    """
    key = ("sisdr", "span")
    if key not in references.cache:
        usable = {
            name: audio.samples
            for name, audio in references.stems.items()
            if not is_silent(audio) and not broken("reference", audio)
        }
        span = list(usable.values())
        gram = inner_products(span, span) if span else np.zeros((0, 0))
        references.cache[key] = list(usable), span, gram
    found: tuple[list[str], list[Samples], Real] = references.cache[key]
    return found
