"""BSSEval v4: the error of an estimate, split into spatial error, interference and artefacts.

Goal
----
The numbers of ``museval`` 0.4.1 (images, 512 taps, one filter per track, one-second windows and
hops), with equal values and about ten times as fast. Where museval raises an error, there is a
status.

An estimate ``e`` of stem ``s`` is split as ``e = s + spatial + interference + artefacts``.
``P_own`` projects on the 512 delays of the stem's own channels, ``P_all`` on those of every
stem's channels; ``spatial = P_own e - s``, ``interference = P_all e - P_own e``,
``artefacts = e - P_all e``. In a window:

=====  ============================================  ==============================
value  ratio, in dB                                  needs
=====  ============================================  ==============================
sdr    ``|s|^2 / |e - s|^2``                         the stem
isr    ``|s|^2 / |spatial|^2``                       Gram matrix of the stem
sir    ``|P_own e|^2 / |interference|^2``            both Gram matrices
sar    ``|P_all e|^2 / |artefacts|^2``               Gram matrix of all stems
=====  ============================================  ==============================

Conventions
-----------
arrays     ``[channels, frames]`` float32 in, float64 inside; channels of all stems stacked
lags       ``corr[i, j, m]`` is ``sum_t x_i(t) y_j(t + m - (taps - 1))``
direction  higher is better; a perfect estimate has no finite score (``not_finite``)
track      nan-median over its windows (v4); the table takes the median over tracks
silence    as in museval: the sum over channels is zero everywhere. If any stem or estimate is
           silent in a window, no stem has a value there (museval writes NaN)
condition  condition number of each Gram matrix with unit diagonal, 1-norm; above
           :data:`MAX_CONDITION` ISR, SIR and SAR are numerical noise: ``ill_conditioned``

Source: Stoeter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018;
museval 0.4.1 (MIT) is the parity reference. ``docs/metrics/bsseval.md`` has the measurements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.audio import STEMS
from benchsep.metrics.bsseval.engine import TAPS, Basis, frame_scores, is_silent
from benchsep.metrics.device import current
from benchsep.metrics.guard import broken, pairing
from benchsep.metrics.metric import References, Score, Tolerance, ValueTraits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.bsseval.on_device import DeviceBasis
    from benchsep.metrics.metric import Channels, Domain, Question

    AnyBasis = Basis | DeviceBasis

    Real = NDArray[np.float64]

MAX_CONDITION = 3e12
"""Above it ISR, SIR and SAR are ``ill_conditioned``.

The 25 test excerpts of MUSDB18's AAC edition measure 7e10 to 6e11 rounded to 16 bit; decoded to
float the worst single stem alone has 8e12 to 8e15. See ``docs/metrics/bsseval.md``.
"""

PERFECT_DB = 150.0
"""In dB. A higher ratio is float32 rounding and has no finite score."""

WINDOW_S = 1.0
"""Length and hop of the windows, in seconds."""

_QUESTIONS: tuple[tuple[str, Question, int | None], ...] = (
    ("sdr", "both", 60),
    ("isr", "quality", None),  # errors of level, panning and frequency response
    ("sir", "interference", 20),
    ("sar", "quality", None),
)
"""Each value, the question that it answers, and its rank as a companion."""
_VALUES = tuple(name for name, _, _ in _QUESTIONS)


class BSSEval:
    """BSSEval v4 on one-second windows: values ``sdr``, ``isr``, ``sir``, ``sar``."""

    name = "bsseval"
    known_as = ("museval", "BSSEval v4", "cSDR", "chunk SDR")
    version = "1"
    values = tuple(
        ValueTraits(
            name=value,
            direction=+1,
            unit="dB",
            low=None,
            high=None,
            digits=2,
            aggregate="median",
            window_s=WINDOW_S,
            waveform_matching=True,
            speech_model=False,
            display=f"{value.upper()} (BSSEval v4)",
            question=question,
            companion=None,
            companion_rank=companion_rank,
            # Differences that papers report as progress.
            tie_margin=0.25,
            # SDR below 0: the error is louder than the stem. The other values have no such limit.
            failure=0.0 if value == "sdr" else None,
            drift=Tolerance(0.02, 0.01, "moved by 1e-4 dB"),
            rank=130,
            overview=value == "sdr",
            own_table=True,
            aliases=(value,),
        )
        for value, question, companion_rank in _QUESTIONS
    )
    device_tolerance = 1e-3
    default: int | None = 5
    rate: int | None = None
    channels: Channels = "any"
    domain: Domain = "any"
    default_stems = STEMS
    licence = "MIT"
    source = "Stoeter, Liutkus, Ito, LVA/ICA 2018; values of museval 0.4.1"

    def settings(self) -> dict[str, Any]:
        """Settings that affect a value: filter length, window, and the limit of
        ``ill_conditioned``.
        """
        return {
            "taps": TAPS,
            "window_s": WINDOW_S,
            "hop_s": WINDOW_S,
            "max_condition": MAX_CONDITION,
        }

    def available(self) -> str:
        """Always: numpy and scipy are all it needs."""
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        """Scores of ``stems``; see the module for statuses.

        All usable estimates are checked for silent windows, also those not in ``stems``, so that a
        subset of stems has the same values as all stems.
        """
        spoiled = _spoiled(references)
        checked = {s: _check(references, estimates, s, spoiled) for s in {*stems, *estimates}}
        usable = {s: checked[s][1].samples for s in references.stems if not checked.get(s, "-")[0]}
        basis = basis_of(references) if usable else None
        frames = _frame_scores(basis, usable) if basis else {}
        return {
            stem: _scores(basis, stem, frames[stem])
            if basis and stem in frames
            else {value: Score.missing(checked[stem][0]) for value in _VALUES}
            for stem in stems
        }


def basis_of(references: References) -> AnyBasis | None:
    """:meth:`Basis.of`, or that of the device in use, once per track."""
    device = current()
    key = ("bsseval", "basis", str(device))
    if key not in references.cache and device is None:
        references.cache[key] = Basis.of(references)
    elif key not in references.cache:
        from benchsep.metrics.bsseval.on_device import DeviceBasis

        references.cache[key] = DeviceBasis.of(references, device)
    basis: AnyBasis | None = references.cache[key]
    return basis


def _frame_scores(basis: AnyBasis, usable: dict[str, NDArray[np.float32]]) -> dict[str, Real]:
    if isinstance(basis, Basis):
        return frame_scores(basis, usable)
    from benchsep.metrics.bsseval import on_device

    return on_device.frame_scores(basis, usable)


def _spoiled(references: References) -> str:
    """Status of all stems when a reference holds NaN or infinite samples, else empty."""
    found = (broken(f"the reference of {s}", audio) for s, audio in references.stems.items())
    return next(filter(None, found), "")


def _check(
    references: References, estimates: dict[str, Audio], stem: str, spoiled: str
) -> tuple[str, Audio]:
    """Why a stem cannot be scored (empty when it can), and the estimate to score."""
    status, estimate = pairing(references, estimates, stem)
    if status or spoiled:
        return status or spoiled, estimate
    if is_silent(references.stems[stem].samples):
        return "ref_silent", estimate
    return "est_silent" if is_silent(estimate.samples) else "", estimate


def _scores(basis: AnyBasis, stem: str, frames: Real) -> dict[str, Score]:
    """Median over windows, and the status of each value."""
    span = basis.span
    condition = max(span.own[basis.stems.index(stem)].condition, span.whole.condition)
    no_reference = bool(basis.silent.all())
    return {
        # SDR needs no projection, so it does not depend on the condition of a matrix.
        value: _track_score(row, 0.0 if value == "sdr" else condition, no_reference)
        for value, row in zip(_VALUES, frames, strict=True)
    }


def _track_score(row: Real, condition: float, no_reference: bool) -> Score:
    listed = tuple(float(v) if np.isfinite(v) and v < PERFECT_DB else None for v in row)
    known = row[~np.isnan(row)]
    if not len(known):
        return Score(None, "ref_silent" if no_reference else "est_silent", listed)
    value = float(np.median(np.where(known > PERFECT_DB, np.inf, known)))
    if not np.isfinite(value):
        return Score(None, "not_finite", listed)
    status = "ill_conditioned" if condition > MAX_CONDITION else "ok"
    return Score(value, status, listed)
