"""The SDR of BSS Eval v3 on one source: what ``mir_eval`` and ``torchmetrics`` call SDR.

Goal
----
Leaderboards that compute ``mir_eval.separation.bss_eval_sources`` stem by stem publish this value.
It differs from BSSEval v4 (``bsseval``): it uses the whole excerpt, in mono, with one reference,
and linear distortions that a filter of 512 taps can invert do not count.

Conventions
-----------
arrays     mono (the mean of the channels), float64 inside
filter     512 taps, fitted to the whole signal by least squares
value      ``10 log10(|s_target|^2 / |e - s_target|^2)`` in dB, ``s_target`` the filtered reference
direction  higher is better; median over tracks
perfect    above :data:`PERFECT_DB` the value is rounding noise: ``not_finite``; also if the filter
           is not determined by the reference (a pure tone)

Source: Vincent, Gribonval, Févotte, IEEE TASLP 2006. Equal to ``mir_eval`` 0.8 and to
``torchmetrics`` 1.9 (Scheibler, ICASSP 2022) in double precision:
``tests/metrics/test_mireval.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import STEMS
from benchsep.metrics.bsseval.gram import Gram, gram
from benchsep.metrics.guard import is_silent_power
from benchsep.metrics.levels import ratio_db
from benchsep.metrics.metric import References, Score, Tolerance, ValueTraits
from benchsep.metrics.sdr import finite
from benchsep.metrics.stems import score_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain

    Samples = NDArray[np.float32]
    Real = NDArray[np.float64]

TAPS = 512
POINTS = 4096
"""Length of the correlations' transforms, the quickest one."""
ALIKE = 2.0**12
"""Largest ratio of energies of signals that are transformed together as they are."""
PERFECT_DB = 100.0
"""In dB. The error of the filter of a perfect estimate is about 1e-11 of the reference's energy."""

_SDR = ValueTraits(
    name="sdr",
    direction=+1,
    unit="dB",
    low=None,
    high=None,
    digits=2,
    aggregate="median",
    window_s=None,
    waveform_matching=True,
    speech_model=False,
    display="mir_eval SDR",
    question="both",
    companion=None,
    companion_rank=None,
    tie_margin=0.25,
    failure=0.0,
    drift=Tolerance(0.01, 0.005, "moved by 1e-12 dB between one and two threads"),
    rank=135,
    overview=True,
    own_table=False,
    aliases=(),
)


@dataclass(frozen=True)
class Span:
    """The delays of a reference by 0 to ``TAPS - 1`` samples."""

    correlations: Real
    """Their inner products with the reference, ``[TAPS]``."""

    @classmethod
    def of(cls, reference: Samples) -> Span:
        """From a signal ``[1 or 2 channels, frames]``, of which the mean counts."""
        from benchsep.metrics.lags import correlations

        return cls(correlations(reference, reference, 0, TAPS - 1, POINTS, mixed=True))

    @property
    def energy(self) -> float:
        """Of the reference."""
        return float(self.correlations[0])

    @cached_property
    def matrix(self) -> Gram:
        """Inner products of the delays over the reference's energy, ``[TAPS, TAPS]``, factorised.

        The reference is not zero.
        """
        half = self.correlations
        both = np.concatenate([half[:0:-1], half]) / self.energy
        return gram(both[None, None], (0,), TAPS)

    def sdr(self, sides: Real, energy: float) -> float:
        """SDR in dB of an estimate with these inner products ``[TAPS]`` and this energy; NaN if the
        filter is not determined.
        """
        if self.matrix.kind == "lstsq":
            return float("nan")
        # With the inner products d and the filter h, |s_target|^2 = h d; s_target is orthogonal to
        # the rest of the estimate.
        target = float(self.matrix.solve(sides[:, None])[:, 0] @ sides) / self.energy
        return ratio_db(target, energy - target)


def sides_and_energy(span: Span, reference: Samples, estimate: Samples) -> tuple[Real, float]:
    """Inner products of an estimate with the delays of a reference, ``[TAPS]``, and its energy.

    Both signals are ``[1 or 2 channels, frames]``, of which the means count.
    """
    from benchsep.metrics.lags import correlations_and_own

    def measured(equalised: bool) -> tuple[Real, Real]:
        return correlations_and_own(
            estimate, reference, 1 - TAPS, 0, 1, POINTS, mixed=True, equalised=equalised
        )

    sides, energy = measured(equalised=False)
    if not 1 / ALIKE < energy[0] / span.energy < ALIKE:
        sides, energy = measured(equalised=True)
    return sides[::-1], float(energy[0])


class MirEval:
    """``mir_eval``'s SDR: version 3, one source, mono."""

    name = "mireval"
    known_as = ("mir_eval.separation", "BSSEval v3")
    version = "2"
    default: int | None = None
    values = (_SDR,)
    rate: int | None = None
    channels: Channels = "any"
    """Channels are averaged while correlations are computed, without a mono copy of the song."""
    domain: Domain = "any"
    default_stems = STEMS
    licence = "MIT"
    source = "Vincent et al. 2006: BSS Eval v3, one source, mono, 512 taps; equal to mir_eval 0.8"

    def settings(self) -> dict[str, Any]:
        return {"taps": TAPS}

    def available(self) -> str:
        """Always: numpy and scipy are all it needs."""
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """One value per stem, ``sdr``."""

        def one(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            truth, heard = (_one_or_two(x) for x in (reference, estimate))
            key = (self.name, "span", stem)
            if key not in references.cache:
                references.cache[key] = Span.of(truth)
            span: Span = references.cache[key]
            # Channels of opposite sign leave silence in mono.
            if is_silent_power(span.energy / reference.frames):
                return {"sdr": Score.missing("ref_silent")}
            sides, energy = sides_and_energy(span, truth, heard)
            if is_silent_power(energy / reference.frames):
                return {"sdr": Score.missing("est_silent")}
            if reference.frames < TAPS:
                return {"sdr": Score.missing("too_short")}
            return {"sdr": finite(span.sdr(sides, energy), PERFECT_DB)}

        return score_pairs(self, references, estimates, stems, one, silent_estimate="est_silent")


def _one_or_two(audio: Audio) -> Samples:
    """Channels whose mean is the mono signal."""
    return audio.samples if audio.channels <= 2 else audio.mono().samples
