"""BSSEval v4: how far an estimate is from its true stem, and of what the distance is made.

Goal
----
The numbers of ``museval`` 0.4.1 (images, 512 taps, one filter per track, one-second windows and
hops), exactly and about an order of magnitude faster, with a status where museval raises.

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
silence    silent in museval's sense: the sum over channels is zero. A window in which any stem or
           any estimate is silent has no value, for every stem (museval writes NaN)
condition  of each Gram matrix with its diagonal scaled to one, 1-norm; above
           :data:`MAX_CONDITION` ISR, SIR and SAR mean nothing and say ``ill_conditioned``

Source: Stoeter, Liutkus, Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018;
museval 0.4.1 (MIT) is the parity reference. ``docs/metrics/bsseval.md`` has the measurements.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchsep.audio import STEMS
from benchsep.metrics.guard import broken, pairing
from benchsep.metrics.metric import References, Score, Tolerance, ValueTraits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Question

    Real = NDArray[np.float64]
    Complex = NDArray[np.complex128]

TAPS = 512
"""Length of the distortion filters, as in museval."""

MAX_CONDITION = 3e12
"""Above it ISR, SIR and SAR are ``ill_conditioned``.

The 25 test excerpts of MUSDB18's AAC edition measure 7e10 to 6e11 rounded to 16 bit; decoded to
float the worst single stem alone has 8e12 to 8e15. See ``docs/metrics/bsseval.md``.
"""

PERFECT_DB = 150.0
"""A ratio above this is float32 rounding, not a finite score."""

_FFT = 16384
WINDOW_S = 1.0
"""Length and hop of the windows, in seconds."""
_QUESTIONS: tuple[tuple[str, Question, int | None], ...] = (
    ("sdr", "both", 60),
    ("isr", "quality", None),  # errors of level, panning and frequency response
    ("sir", "interference", 20),
    ("sar", "quality", None),
)
"""Each value, the question that it answers, and its place as a companion."""
_VALUES = tuple(name for name, _, _ in _QUESTIONS)


# --- correlations ------------------------------------------------------------------------------


def lagged_correlations(x: list[Any], y: list[Any], lags: int, *, fft: int = _FFT) -> Real:
    """Cross-correlations of all rows of ``x`` with all rows of ``y``, at the lags needed only.

    Blocks of ``x`` meet the part of ``y`` that they can reach; products are added up in
    frequency, so one inverse transform serves the whole song and memory does not grow with it.

    Parameters
    ----------
    x, y
        lists of equally long vectors ``[T]``.
    lags
        lags from ``-(lags - 1)`` to ``lags - 1`` are formed.
    fft
        block transform length, well above ``2 * lags``.

    Returns
    -------
    float64 ``[len(x), len(y), 2 * lags - 1]``, entry ``m`` for lag ``m - (lags - 1)``.
    """
    from scipy.fft import irfft, rfft

    frames, reach = len(x[0]), lags - 1
    step = fft - 2 * reach
    total = np.zeros((len(x), len(y), fft // 2 + 1), np.complex128)
    left, right = np.zeros((len(x), fft)), np.zeros((len(y), fft))
    product = np.empty(fft // 2 + 1, np.complex128)
    for start in range(0, frames, step):
        stop = min(start + step, frames)
        left[:, stop - start :] = 0.0
        for row, signal in zip(left, x, strict=True):
            row[: stop - start] = signal[start:stop]
        lo, hi = max(start - reach, 0), min(stop + reach, frames)
        right[:] = 0.0
        for row, signal in zip(right, y, strict=True):
            row[lo - start + reach : hi - start + reach] = signal[lo:hi]
        near, far = np.conj(rfft(left, axis=1)), rfft(right, axis=1)
        for i in range(len(x)):
            for j in range(len(y)):
                np.multiply(near[i], far[j], out=product)
                total[i, j] += product
    out: Real = irfft(total, fft, axis=2)[..., : 2 * lags - 1]
    return out


# --- the Gram matrix -----------------------------------------------------------------------------


@dataclass
class Gram:
    """A factorised Gram matrix of delayed channels.

    ``condition`` is that of the matrix with unit diagonal, 1-norm, infinite when singular.
    """

    rows: tuple[int, ...]
    """Which of the stacked channels span the space."""
    scale: Real
    factor: Any
    kind: Literal["cholesky", "lu", "lstsq"]
    condition: float

    def solve(self, right: Real) -> Real:
        """Filters ``[rows * taps, n]`` for correlations ``[rows * taps, n]``."""
        from scipy import linalg

        scaled = np.asfortranarray(right * self.scale[:, None])
        if self.kind == "cholesky":
            out = linalg.cho_solve((self.factor, True), scaled, check_finite=False)
        elif self.kind == "lu":
            out = linalg.lu_solve(self.factor, scaled, check_finite=False)
        else:
            out = linalg.lstsq(self.factor, scaled, check_finite=False, lapack_driver="gelsy")[0]
        solved: Real = out * self.scale[:, None]
        return solved


def gram(corr: Real, rows: tuple[int, ...], taps: int = TAPS) -> Gram:
    """Build, measure and factorise the Gram matrix of ``rows``.

    Cholesky costs half of LU and needs one copy of the matrix; where rounding has made the
    matrix indefinite LU solves it as museval does, and least squares where even LU meets a zero
    pivot. Both cases are far beyond :data:`MAX_CONDITION`.

    Parameters
    ----------
    corr
        ``[K, K, 2 * taps - 1]`` correlations of all channels.
    rows
        the channels to span.
    """
    from scipy.linalg import LinAlgError, cholesky, lapack

    matrix, scale = _gram_matrix(corr, rows, taps)
    norm = _one_norm(matrix, taps)
    try:
        factor = cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
        rcond, _ = lapack.dpocon(factor, norm, uplo="L")
        return Gram(rows, scale, factor, "cholesky", 1.0 / rcond if rcond > 0 else np.inf)
    except LinAlgError:
        matrix, scale = _gram_matrix(corr, rows, taps)
    factor, pivots, info = lapack.dgetrf(matrix, overwrite_a=True)
    if info == 0:
        rcond, _ = lapack.dgecon(factor, norm)
        condition = 1.0 / rcond if rcond > 0 else np.inf
        return Gram(rows, scale, (factor, pivots), "lu", max(condition, 1.0 / np.finfo(float).eps))
    matrix, scale = _gram_matrix(corr, rows, taps)
    return Gram(rows, scale, matrix, "lstsq", np.inf)


def _gram_matrix(corr: Real, rows: tuple[int, ...], taps: int) -> tuple[Real, Real]:
    """The symmetric block-Toeplitz matrix, Fortran order, unit diagonal; and its scaling."""
    lags = np.arange(taps)
    index = lags[:, None] - lags[None, :] + taps - 1
    # museval's epsilon keeps an all-zero channel solvable (its filter is zero).
    energy = np.array([corr[r, r, taps - 1] for r in rows]) + np.finfo(float).eps
    matrix = np.empty((len(rows) * taps,) * 2, order="F")
    for i, row in enumerate(rows):
        for j, col in enumerate(rows):
            weighted = corr[row, col] / np.sqrt(energy[i] * energy[j])
            if i == j:
                weighted[taps - 1] = 1.0
            matrix[i * taps : (i + 1) * taps, j * taps : (j + 1) * taps] = weighted[index]
    return matrix, np.repeat(1.0 / np.sqrt(energy), taps)


def _one_norm(matrix: Real, chunk: int) -> float:
    """Largest absolute column sum, without a second matrix in memory."""
    return max(
        float(np.abs(matrix[:, c : c + chunk]).sum(0).max())
        for c in range(0, matrix.shape[1], chunk)
    )


def independent_rows(signals: list[Any], rows: range) -> tuple[int, ...]:
    """``rows`` without channels that are zero or copies of an earlier one.

    A mono stem stored as stereo spans the same space as one channel of it, and makes the Gram
    matrix singular; the projections are the same without the copy.
    """
    kept: list[int] = []
    for row in rows:
        copied = any(np.array_equal(signals[row], signals[k]) for k in kept)
        if not copied and signals[row].any():
            kept.append(row)
    return tuple(kept)


# --- what depends on the references alone -----------------------------------------------------


@dataclass
class Basis:
    """The references of one track, ready for any number of estimates."""

    stems: tuple[str, ...]
    """Stems that are not silent, in order; silent ones span nothing."""
    signals: list[Any]
    """Channels of those stems, stacked: ``len(stems) * channels`` vectors of float32."""
    channels: int
    rate: int
    whole: Gram
    own: dict[str, Gram]
    silent: NDArray[np.bool_] = field(repr=False)
    """``[windows]``: a reference is silent there."""

    @classmethod
    def of(cls, references: References) -> Basis | None:
        """From the references; ``None`` when every stem is silent."""
        stems = tuple(s for s, audio in references.stems.items() if not is_silent(audio.samples))
        if not stems:
            return None
        first = references.stems[stems[0]]
        signals = [row for stem in stems for row in references.stems[stem].samples]
        corr = lagged_correlations(signals, signals, TAPS)
        every = range(len(signals))
        own = {}
        for i, stem in enumerate(stems):
            rows = independent_rows(signals, range(i * first.channels, (i + 1) * first.channels))
            own[stem] = gram(corr, rows)
        silent = np.array(
            [
                any(is_silent(references.stems[s].samples[:, window]) for s in stems)
                for window in windows(first.frames, first.rate)
            ]
        )
        whole = gram(corr, independent_rows(signals, every))
        return cls(stems, signals, first.channels, first.rate, whole, own, silent)

    def rows(self, stem: str) -> slice:
        """The stem's own channels among the stacked ones."""
        start = self.stems.index(stem) * self.channels
        return slice(start, start + self.channels)


def windows(frames: int, rate: int) -> list[slice]:
    """One-second windows and hops as museval frames them; a shorter signal is one window.

    The rest after the last whole window is in the filters and in no window.
    """
    count = frames // rate if frames > rate else 1
    return [slice(k * rate, min((k + 1) * rate, frames)) for k in range(count)]


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Silence in the sense of museval: the channels add up to zero everywhere."""
    return not samples.sum(0).any()


# --- one track of estimates ----------------------------------------------------------------------


def projection_filters(
    basis: Basis, estimates: dict[str, NDArray[np.float32]]
) -> dict[str, tuple[Real, Real]]:
    """The filters of ``P_own`` and ``P_all`` for each estimate, all solved at once.

    Returns
    -------
    stem -> (own ``[own rows, channels, taps]``, all ``[rows, channels, taps]``); channels that
    span nothing new are left out, see ``Gram.rows``.
    """
    width = basis.channels
    heard = [row for samples in estimates.values() for row in samples]
    corr = lagged_correlations(basis.signals, heard, TAPS)[..., TAPS - 1 :]
    # [rows, heard, taps] -> right-hand sides [rows * taps, heard]
    rows = basis.whole.rows
    right = corr[list(rows)].transpose(0, 2, 1).reshape(len(rows) * TAPS, -1)
    whole = basis.whole.solve(right).reshape(len(rows), TAPS, -1).transpose(0, 2, 1)
    filters = {}
    for i, stem in enumerate(estimates):
        mine = slice(i * width, (i + 1) * width)
        gram_own = basis.own[stem]
        side = corr[list(gram_own.rows), mine].transpose(0, 2, 1).reshape(-1, width)
        own = gram_own.solve(side).reshape(len(gram_own.rows), TAPS, width).transpose(0, 2, 1)
        filters[stem] = (own, whole[:, mine])
    return filters


def frame_scores(basis: Basis, estimates: dict[str, NDArray[np.float32]]) -> dict[str, Real]:
    """SDR, ISR, SIR, SAR of every window of every estimate, in dB.

    Parameters
    ----------
    estimates
        stem -> float ``[channels, T]``, none silent, all as long as the references.

    Returns
    -------
    stem -> ``[4, windows]`` in the order sdr, isr, sir, sar; NaN where museval has NaN.
    """
    spans = windows(len(basis.signals[0]), basis.rate)
    scores = {stem: np.full((4, len(spans)), np.nan) for stem in estimates}
    spectra = _FilterSpectra.of(basis, estimates, spans[0].stop)
    for t, window in enumerate(spans):
        if basis.silent[t] or any(is_silent(e[:, window]) for e in estimates.values()):
            continue
        truth = np.array([row[window] for row in basis.signals], np.float64)
        shapes = spectra.transform(truth)
        for stem, samples in estimates.items():
            estimate = samples[:, window].astype(np.float64)
            target = truth[basis.rows(stem)]
            scores[stem][0, t] = db(energy(target), energy(target - estimate))
            scores[stem][1:, t] = spectra.ratios(stem, shapes, spectra.transform(estimate))
    return scores


@dataclass
class _FilterSpectra:
    """Filters at the window's transform length: long enough that nothing wraps around.

    Energies are sums over frequency (Parseval), so no projection is ever transformed back.
    """

    basis: Basis
    fft: int
    filters: dict[str, tuple[Complex, Complex]]

    @classmethod
    def of(
        cls, basis: Basis, estimates: dict[str, NDArray[np.float32]], frames: int
    ) -> _FilterSpectra:
        from scipy.fft import next_fast_len, rfft

        fft = next_fast_len(frames + TAPS - 1, real=True)
        found = projection_filters(basis, estimates)
        filters = {s: (rfft(own, fft), rfft(whole, fft)) for s, (own, whole) in found.items()}
        return cls(basis, fft, filters)

    def transform(self, samples: Real) -> Complex:
        from scipy.fft import rfft

        out: Complex = rfft(samples, self.fft, axis=1)
        return out

    def ratios(self, stem: str, truth: Complex, estimate: Complex) -> tuple[float, float, float]:
        """ISR, SIR, SAR of one window from spectra of all references and of the estimate."""
        own_filters, all_filters = self.filters[stem]
        own = filtered(truth, self.basis.own[stem].rows, own_filters)
        whole = filtered(truth, self.basis.whole.rows, all_filters)
        target = truth[self.basis.rows(stem)]
        own_energy, all_energy = spectral_energy(own, self.fft), spectral_energy(whole, self.fft)
        isr = db(spectral_energy(target, self.fft), spectral_energy(own - target, self.fft))
        sir = db(own_energy, spectral_energy(whole - own, self.fft))
        sar = db(all_energy, spectral_energy(estimate - whole, self.fft))
        return isr, sir, sar


def spectral_energy(spectrum: Complex, fft: int) -> float:
    """Energy in time of what ``[channels, bins]`` transforms back to, by Parseval."""
    flat = np.ascontiguousarray(spectrum).view(np.float64)
    twice = 2.0 * float(np.vdot(flat, flat))
    edges = energy(np.abs(spectrum[:, 0]))
    if fft % 2 == 0:
        edges += energy(np.abs(spectrum[:, -1]))
    return (twice - edges) / fft


def filtered(truth: Complex, rows: tuple[int, ...], filters: Complex) -> Complex:
    """``sum_k filters[k, c] * truth[rows[k]]``: ``[channels, bins]``."""
    out = np.zeros(filters.shape[1:], np.complex128)
    product = np.empty(filters.shape[2], np.complex128)
    for k, row in enumerate(rows):
        for c in range(filters.shape[1]):
            np.multiply(filters[k, c], truth[row], out=product)
            out[c] += product
    return out


def energy(values: Real) -> float:
    flat = np.ravel(values)
    return float(np.dot(flat, flat))


def db(above: float, below: float) -> float:
    if below <= 0.0:
        return float("inf")
    if above <= 0.0:
        return float("-inf")
    return float(10.0 * np.log10(above / below))


# --- the metric --------------------------------------------------------------------------------


class BSSEval:
    """BSSEval v4 on one-second windows: values ``sdr``, ``isr``, ``sir``, ``sar``."""

    name = "bsseval"
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
            # What papers print as progress.
            tie_margin=0.25,
            # SDR: the error is louder than the stem. The others have no such bound.
            failure=0.0 if value == "sdr" else None,
            drift=Tolerance(0.02, 0.01, "moved by 1e-4 dB"),
            rank=130,
            overview=value == "sdr",
            own_table=True,
            aliases=(value,),
        )
        for value, question, companion_rank in _QUESTIONS
    )
    default: int | None = 5
    needs_reference = True
    rate = None
    channels: Literal["any"] = "any"
    domain: Literal["any"] = "any"
    default_stems = STEMS
    licence = "MIT"
    source = "Stoeter, Liutkus, Ito, LVA/ICA 2018; values of museval 0.4.1"
    silence = (
        "A silent reference is ref_silent and spans nothing for the other stems, a silent estimate "
        "is est_silent; a window where any stem is silent has no value for any, as in museval."
    )

    def settings(self) -> dict[str, Any]:
        """What moves a value: filter length, window, and the bound of ``ill_conditioned``."""
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

        Every usable estimate takes part in the rule that a silent window of one stem has no value
        for any, also those not in ``stems``, so that a subset scores as the whole does.
        """
        checked = {s: _check(references, estimates, s) for s in {*stems, *estimates}}
        usable = {s: checked[s][1].samples for s in references.stems if not checked.get(s, "-")[0]}
        basis = basis_of(references) if usable else None
        frames = frame_scores(basis, usable) if basis else {}
        return {
            stem: _scores(basis, stem, frames[stem])
            if basis and stem in frames
            else {value: Score.missing(checked[stem][0]) for value in _VALUES}
            for stem in stems
        }


def basis_of(references: References) -> Basis | None:
    """:meth:`Basis.of`, once per track."""
    key = ("bsseval", "basis")
    if key not in references.cache:
        references.cache[key] = Basis.of(references)
    basis: Basis | None = references.cache[key]
    return basis


def _check(references: References, estimates: dict[str, Audio], stem: str) -> tuple[str, Audio]:
    """Why a stem cannot be scored (empty when it can), and the estimate to score."""
    status, estimate = pairing(references, estimates, stem)
    if status:
        return status, estimate
    for other, audio in references.stems.items():
        if status := broken(f"the reference of {other}", audio):
            return status, estimate
    if is_silent(references.stems[stem].samples):
        return "ref_silent", estimate
    return "est_silent" if is_silent(estimate.samples) else "", estimate


def _scores(basis: Basis, stem: str, frames: Real) -> dict[str, Score]:
    """Median over windows, and the status of each value."""
    condition = max(basis.own[stem].condition, basis.whole.condition)
    no_reference = bool(basis.silent.all())
    return {
        # SDR needs no projection, so no matrix can spoil it.
        value: _track_score(row, 0.0 if value == "sdr" else condition, no_reference)
        for value, row in zip(_VALUES, frames, strict=True)
    }


def _track_score(row: Real, condition: float, no_reference: bool) -> Score:
    listed = tuple(float(v) if np.isfinite(v) and v < PERFECT_DB else None for v in row)
    heard = row[~np.isnan(row)]
    if not len(heard):
        return Score(None, "ref_silent" if no_reference else "est_silent", listed)
    value = float(np.median(np.where(heard > PERFECT_DB, np.inf, heard)))
    if not np.isfinite(value):
        return Score(None, "not_finite", listed)
    status = "ill_conditioned" if condition > MAX_CONDITION else "ok"
    return Score(value, status, listed)
