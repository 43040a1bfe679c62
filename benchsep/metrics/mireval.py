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

Source: Vincent, Gribonval, Févotte, IEEE TASLP 2006; Scheibler, ICASSP 2022 (``torchmetrics``,
which computes the values). Equal to ``mir_eval`` 0.8: ``tests/metrics/test_mireval.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.audio import STEMS
from benchsep.metrics.metric import References, Score, Tolerance, ValueTraits
from benchsep.metrics.sdr import finite
from benchsep.metrics.stems import score_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Domain

TAPS = 512
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
    drift=Tolerance(0.01, 0.005, "did not move between one and two threads"),
    rank=135,
    overview=True,
    own_table=False,
    aliases=(),
)


def sdr(reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> float:
    """SDR in dB of one mono signal ``[frames]``; NaN if the filter is not determined."""
    import torch
    from torchmetrics.functional.audio import signal_distortion_ratio

    pair = (torch.from_numpy(estimate).double(), torch.from_numpy(reference).double())
    try:
        return float(signal_distortion_ratio(*pair, filter_length=TAPS))
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return float("nan")


class MirEval:
    """``mir_eval``'s SDR: version 3, one source, mono."""

    name = "mireval"
    known_as = ("mir_eval.separation", "BSSEval v3")
    version = "2"
    default: int | None = None
    values = (_SDR,)
    rate: int | None = None
    channels: Channels = "mono"
    domain: Domain = "any"
    default_stems = STEMS
    licence = "MIT (values: torchmetrics, Apache-2.0)"
    source = "BSS Eval v3, one source, mono, 512 taps; torchmetrics 1.9, equal to mir_eval 0.8"
    packages = ("torchmetrics",)

    def settings(self) -> dict[str, Any]:
        return {"taps": TAPS}

    def available(self) -> str:
        """``""``: torchmetrics is a dependency of benchsep."""
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """One value per stem, ``sdr``."""

        def one(reference: Audio, estimate: Audio, stem: str) -> dict[str, Score]:
            if reference.frames < TAPS:
                return {"sdr": Score.missing("too_short")}
            value = sdr(reference.samples[0], estimate.samples[0])
            return {"sdr": finite(value, PERFECT_DB)}

        return score_pairs(self, references, estimates, stems, one, silent_estimate="est_silent")
