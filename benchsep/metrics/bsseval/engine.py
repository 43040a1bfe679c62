"""The projections of BSSEval on spans of delayed references, and the ratios of one window.

Goal
----
One algorithm for the metric ``bsseval`` and for museval's own call
(:mod:`benchsep.museval.api`): :func:`project` finds the filters of a whole track, and
:meth:`Projections.parts` applies them to pieces of it.

Conventions
-----------
arrays     ``[channels, frames]``; channels of all sources stacked, ``K`` in all
``P_own``  projection on the delays of the channels of one source
``P_all``  projection on the delays of the channels of every source
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.bsseval.gram import FFT, Gram, gram, independent_rows, lagged_correlations
from benchsep.metrics.bsseval.products import (
    ENERGIES,
    PIECE,
    PIECES_TOGETHER,
    add_energies,
    distances,
)
from benchsep.metrics.levels import ratio_db

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.audio import Audio
    from benchsep.metrics.bsseval.transform import Transform
    from benchsep.metrics.metric import References

    Real = NDArray[np.float64]

TAPS = 512
"""Length of the distortion filters, as in museval."""

Pair = tuple[int, int]
"""Index of a source, index of an estimate of this source."""


# --- what depends on the references alone -----------------------------------------------------


@dataclass(frozen=True)
class Span:
    """The span of delayed references: the Gram matrices of ``P_all`` and of each ``P_own``."""

    signals: list[Any]
    """The ``K`` channels of all sources, vectors ``[frames]`` of any float type."""
    channels: int
    """Number of channels of each source."""
    taps: int
    whole: Gram
    own: tuple[Gram, ...]

    @classmethod
    def of(cls, signals: list[Any], channels: int, taps: int) -> Span:
        """Build the normal equations of all projections from one set of correlations.

        Let ``x_i`` be channel ``i`` and ``x_i(t - a)`` its delay by ``a`` samples, ``0 <= a <
        taps``. The projection of ``y`` on all delays of some rows ``R`` is
        ``sum_(i in R, a) h_i(a) x_i(t - a)``, where ``h`` minimises the squared error and so
        solves the normal equations::

            sum_(j in R, b) G[(i, a), (j, b)] h_j(b) = d(i, a)      for each i in R and each a

            G[(i, a), (j, b)] = sum_t x_i(t - a) x_j(t - b)         the Gram matrix
            d(i, a)           = sum_t x_i(t - a) y(t)               the right-hand side

        ``G`` depends on ``a - b`` alone (block Toeplitz), so the correlations of the references
        at ``2 taps - 1`` lags, ``[K, K, 2 taps - 1]``, hold all of it; ``d`` are the
        correlations with an estimate at lags ``0 .. taps - 1``. One matrix over all sources gives
        ``P_all``, its diagonal block of one source gives that source's ``P_own``.
        """
        fft = max(FFT, 8 * 2 ** (taps - 1).bit_length())
        corr = lagged_correlations(signals, signals, taps, fft=fft)  # [K, K, 2 taps - 1]
        blocks = [range(k, k + channels) for k in range(0, len(signals), channels)]
        own = tuple(gram(corr, independent_rows(signals, block), taps) for block in blocks)
        whole = gram(corr, independent_rows(signals, range(len(signals))), taps)
        return cls(signals, channels, taps, whole, own)

    def rows(self, source: int) -> slice:
        """The rows of one source in the stacked channels of references or estimates."""
        return slice(source * self.channels, (source + 1) * self.channels)


def project(span: Span, estimates: list[Any], pairs: Iterable[Pair]) -> Projections:
    """The filters of ``P_own`` and ``P_all`` for pairs of a source and an estimate.

    Parameters
    ----------
    span
        The span of the references.
    estimates
        The channels of all estimates, stacked like the references and of the same length.
    pairs
        Indices of sources and estimates that are compared.
    """
    fft = max(FFT, 8 * 2 ** (span.taps - 1).bit_length())
    # sides[i, c, a] = sum_t x_i(t - a) y_c(t): lags 0 .. taps - 1.    [K, channels, taps]
    sides = lagged_correlations(span.signals, estimates, span.taps, fft=fft)[..., span.taps - 1 :]
    # All estimates have the same matrix for P_all: one solve for all channels.
    whole = _filters(span.whole, sides)
    filters = {}
    for source, estimate in pairs:
        columns = span.rows(estimate)
        own = _filters(span.own[source], sides[:, columns])
        filters[source, estimate] = (own, whole[:, columns])
    return Projections(span, filters)


def _filters(matrix: Gram, sides: Real) -> Real:
    """``[rows of the matrix, channels, taps]`` that solve for ``sides`` ``[K, channels, taps]``."""
    rows, taps = len(matrix.rows), sides.shape[2]
    # The unknowns are ordered (row, tap): [rows, channels, taps] -> [rows * taps, channels]
    right = sides[list(matrix.rows)].transpose(0, 2, 1).reshape(rows * taps, -1)
    return matrix.solve(right).reshape(rows, taps, -1).transpose(0, 2, 1)


# --- windows of one estimate ----------------------------------------------------------------------

WINDOWS_TOGETHER = 4
"""Windows per block: the filters' spectra, which exceed the cache, are read once per block."""


@dataclass
class Projections:
    """The filters of a whole track, and their application to windows of it."""

    span: Span
    filters: dict[Pair, tuple[Real, Real]]
    """``P_own``: ``[own rows, channels, taps]``; ``P_all``: ``[rows, channels, taps]``. Channels
    that are linearly dependent have no filter, see ``Gram.rows``."""
    _transform: Transform | None = None
    _spectra: dict[Pair, tuple[Real, Real]] = field(default_factory=dict)

    def parts(
        self, references: list[Any], estimates: list[Any], windows: list[slice]
    ) -> dict[Pair, list[Parts]]:
        """The parts of estimates in windows of equal length.

        Filtering is a product of spectra, and energies are sums over frequency, so no projection is
        transformed back.

        Parameters
        ----------
        references, estimates
            The channels of all sources and of all estimates, ``[frames]`` each.
        windows
            At most :data:`WINDOWS_TOGETHER`; more need more memory.
        """
        transform = self._prepare(windows[0].stop - windows[0].start)
        truth = transform.room(len(windows), len(references))
        heard = transform.room(len(windows), len(estimates))
        for signals, out in ((references, truth), (estimates, heard)):
            cuts = [signal[window] for window in windows for signal in signals]
            # By Parseval sum_t |x(t)|^2 = sum_k |X(k)|^2 / fft over all fft bins; a real signal's
            # half spectrum holds each bin's mirror too, but for the two at the edges.
            out = out.reshape(-1, *out.shape[2:])
            transform.write(cuts, [0] * len(cuts), out, edge=np.sqrt(0.5))
        sums = {pair: np.zeros((len(windows), ENERGIES * PIECE)) for pair in self.filters}
        for first in range(0, transform.pieces, PIECES_TOGETHER):
            stop = min(first + PIECES_TOGETHER, transform.pieces)
            for pair in self.filters:
                self._add(pair, truth, heard, first, stop, sums[pair])
        factor = 2 / transform.length
        return {
            pair: [Parts(*row) for row in (factor * s.reshape(-1, ENERGIES, PIECE).sum(2)).tolist()]
            for pair, s in sums.items()
        }

    def _add(self, pair: Pair, truth: Real, heard: Real, first: int, stop: int, sums: Real) -> None:
        own, whole = self._spectra[pair]
        stem, estimate = (self.span.rows(number).start for number in pair)
        own_rows, all_rows = (
            np.array(g.rows, np.int64) for g in (self.span.own[pair[0]], self.span.whole)
        )
        add_energies(
            truth, heard, stem, estimate, own_rows, own, all_rows, whole, first, stop, sums
        )

    def _prepare(self, frames: int) -> Transform:
        """The transform of windows of ``frames`` samples; caches the filters' spectra."""
        from benchsep.metrics.bsseval.transform import Transform

        # Long enough that a filtered window does not wrap around.
        length = fast_length(frames + self.span.taps - 1)
        if self._transform is None or self._transform.length != length:
            self._transform = Transform(length)
            self._spectra = {
                pair: (self._filter_spectra(own), self._filter_spectra(whole))
                for pair, (own, whole) in self.filters.items()
            }
        return self._transform

    def _filter_spectra(self, filters: Real) -> Real:
        """``[rows, channels, pieces, 2 * PIECE]`` of ``[rows, channels, taps]``."""
        assert self._transform is not None
        out = self._transform.room(*filters.shape[:2])
        rows = filters.reshape(-1, filters.shape[2])
        self._transform.write(list(rows), [0] * len(rows), out.reshape(-1, *out.shape[2:]))
        return out


def fast_length(frames: int) -> int:
    """The shortest fast transform of at least ``frames``: a power of two times 1, 3, 5, 9, 15 or
    45.

    It is even. Factors of two are quickest: 46080 points take less time than 45000.
    """
    return min(m << max(1, (-(-frames // m) - 1).bit_length()) for m in (1, 3, 5, 9, 15, 45))


@dataclass(frozen=True)
class Parts:
    """Energies of the parts of an estimate ``e`` of a stem ``s`` in one window, over channels."""

    target: float
    """``s``."""
    spatial: float
    """``P_own e - s``."""
    own: float
    """``P_own e``."""
    interference: float
    """``P_all e - P_own e``."""
    whole: float
    """``P_all e``."""
    artefacts: float
    """``e - P_all e``."""
    rest: float
    """``e - P_own e``."""

    @property
    def isr(self) -> float:
        return ratio_db(self.target, self.spatial)

    @property
    def sir(self) -> float:
        return ratio_db(self.own, self.interference)

    @property
    def sar(self) -> float:
        return ratio_db(self.whole, self.artefacts)

    @property
    def filtered_sdr(self) -> float:
        """SDR with the filtered reference: ``|P_own e|^2 / |e - P_own e|^2`` in dB."""
        return ratio_db(self.own, self.rest)


# --- one track ------------------------------------------------------------------------------------


@dataclass
class Basis:
    """The precomputed references of one track, for any number of estimates."""

    stems: tuple[str, ...]
    """Stems that are not silent, in order."""
    span: Span
    rate: int
    silent: NDArray[np.bool_] = field(repr=False)
    """``[windows]``: True where a reference is silent."""

    @classmethod
    def of(cls, references: References) -> Basis | None:
        """From the references; ``None`` when every stem is silent."""
        audible = audible_stems(references)
        if not audible:
            return None
        first = next(iter(audible.values()))
        signals = [channel for audio in audible.values() for channel in audio.samples]
        span = Span.of(signals, first.channels, TAPS)
        return cls(tuple(audible), span, first.rate, silent_windows(audible))


def audible_stems(references: References) -> dict[str, Audio]:
    """The references that are not silent, in order."""
    return {s: a for s, a in references.stems.items() if not is_silent(a.samples)}


def silent_windows(audible: dict[str, Audio]) -> NDArray[np.bool_]:
    """``[windows]``: True where at least one reference is silent."""
    first = next(iter(audible.values()))
    silent = [
        any(is_silent(audio.samples[:, window]) for audio in audible.values())
        for window in windows(first.frames, first.rate)
    ]
    return np.array(silent)


def windows(frames: int, rate: int) -> list[slice]:
    """One-second windows and hops as museval frames them; a shorter signal is one window.

    The filters use the rest after the last whole window, but no window contains it.
    """
    count = frames // rate if frames > rate else 1
    return [slice(k * rate, min((k + 1) * rate, frames)) for k in range(count)]


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Silence as in museval: the sum over channels is zero everywhere."""
    # Most signals are not silent in their first piece.
    return not any(samples[:, k : k + 4096].sum(0).any() for k in range(0, samples.shape[1], 4096))


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
    span = basis.span
    slices = windows(len(span.signals[0]), basis.rate)
    scores = {stem: np.full((4, len(slices)), np.nan) for stem in estimates}
    pairs = {stem: (basis.stems.index(stem), i) for i, stem in enumerate(estimates)}
    rows = [row for samples in estimates.values() for row in samples]
    projections = project(span, rows, pairs.values())
    scored = [
        t
        for t, cut in enumerate(slices)
        if not basis.silent[t] and not any(is_silent(e[:, cut]) for e in estimates.values())
    ]
    for first in range(0, len(scored), WINDOWS_TOGETHER):
        now = scored[first : first + WINDOWS_TOGETHER]
        parts = projections.parts(span.signals, rows, [slices[t] for t in now])
        for stem, (source, estimate) in pairs.items():
            truth, heard = span.signals[span.rows(source)], rows[span.rows(estimate)]
            for t, part in zip(now, parts[source, estimate], strict=True):
                sdr = ratio_db(*distances(truth, heard, slices[t]))
                scores[stem][:, t] = sdr, part.isr, part.sir, part.sar
    return scores
