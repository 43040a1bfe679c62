"""The projections of BSSEval on spans of delayed references, and the ratios of one window.

Goal
----
One algorithm for the metric ``bsseval`` and for museval's own call
(:mod:`benchsep.museval.api`): :func:`project` finds the filters of a whole track, and a
:class:`Window` applies them to a piece of it.

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
from benchsep.metrics.bsseval.products import filtered
from benchsep.metrics.levels import energy, ratio_db

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.metrics.metric import References

    Real = NDArray[np.float64]
    Complex = NDArray[np.complex128]

TAPS = 512
"""Length of the distortion filters, as in museval."""

Pair = tuple[int, int]
"""Number of a source, number of an estimate of it."""


# --- what depends on the references alone -----------------------------------------------------


@dataclass(frozen=True)
class Span:
    """What delayed references span: the Gram matrices of ``P_all`` and of each ``P_own``."""

    signals: list[Any]
    """The ``K`` channels of all sources, vectors ``[frames]`` of any float type."""
    channels: int
    """Of each source."""
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
        """The channels of one source among the stacked ones, of references or of estimates."""
        return slice(source * self.channels, (source + 1) * self.channels)


def project(span: Span, estimates: list[Any], pairs: Iterable[Pair]) -> Projections:
    """The filters of ``P_own`` and ``P_all`` for pairs of a source and an estimate.

    Parameters
    ----------
    span
        Of the references.
    estimates
        The channels of all estimates, stacked as the references are; as long as they are.
    pairs
        Which estimate is to be read as which source.
    """
    fft = max(FFT, 8 * 2 ** (span.taps - 1).bit_length())
    # sides[i, c, a] = sum_t x_i(t - a) y_c(t): lags 0 .. taps - 1.    [K, channels, taps]
    sides = lagged_correlations(span.signals, estimates, span.taps, fft=fft)[..., span.taps - 1 :]
    # Every estimate meets the same matrix in P_all: all channels are solved for at once.
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


# --- one window of one estimate -------------------------------------------------------------------


@dataclass
class Projections:
    """The filters of a whole track, which cut windows of it are filtered with."""

    span: Span
    filters: dict[Pair, tuple[Real, Real]]
    """``P_own``: ``[own rows, channels, taps]``; ``P_all``: ``[rows, channels, taps]``. Channels
    that span nothing new have no filter, see ``Gram.rows``."""
    _fft: int = 0
    _spectra: dict[Pair, tuple[Complex, Complex]] = field(default_factory=dict)

    def window(self, references: Real) -> Window:
        """A window from the references' channels in it, ``[K, frames]``."""
        from scipy.fft import next_fast_len, rfft

        # Long enough that a filtered window does not wrap around.
        fft = next_fast_len(references.shape[1] + self.span.taps - 1, real=True)
        if fft != self._fft:
            self._fft = fft
            self._spectra = {
                pair: (rfft(own, fft), rfft(whole, fft))
                for pair, (own, whole) in self.filters.items()
            }
        return Window(self.span, self._spectra, fft, rfft(references, fft, axis=1))


@dataclass(frozen=True)
class Window:
    """Spectra of one window.

    A filter is a product, and energies are sums over frequency (Parseval): no projection is ever
    transformed back.
    """

    span: Span
    filters: dict[Pair, tuple[Complex, Complex]]
    fft: int
    references: Complex
    """``[K, bins]``."""

    def transform(self, estimate: Real) -> Complex:
        """``[channels, frames]`` to ``[channels, bins]``."""
        from scipy.fft import rfft

        out: Complex = rfft(estimate, self.fft, axis=1)
        return out

    def parts(self, pair: Pair, estimate: Complex) -> Parts:
        """An estimate's spectrum ``[channels, bins]``, split as the ``pair`` says."""
        source, _ = pair
        own, whole = self.filters[pair]
        return Parts(
            target=self.references[self.span.rows(source)],
            own=filtered(self.references, self.span.own[source].rows, own),
            whole=filtered(self.references, self.span.whole.rows, whole),
            estimate=estimate,
            fft=self.fft,
        )


@dataclass(frozen=True)
class Parts:
    """Spectra ``[channels, bins]`` of ``s``, ``P_own e``, ``P_all e`` and ``e`` in one window."""

    target: Complex
    own: Complex
    whole: Complex
    estimate: Complex
    fft: int

    def energy(self, spectrum: Complex) -> float:
        return spectral_energy(spectrum, self.fft)

    @property
    def spatial(self) -> float:
        """Energy of ``P_own e - s``."""
        return self.energy(self.own - self.target)

    @property
    def isr(self) -> float:
        return ratio_db(self.energy(self.target), self.spatial)

    @property
    def sir(self) -> float:
        return ratio_db(self.energy(self.own), self.energy(self.whole - self.own))

    @property
    def sar(self) -> float:
        return ratio_db(self.energy(self.whole), self.energy(self.estimate - self.whole))

    @property
    def filtered_sdr(self) -> float:
        """SDR where the reference may be filtered too: ``|P_own e|^2 / |e - P_own e|^2``."""
        return ratio_db(self.energy(self.own), self.energy(self.estimate - self.own))


def spectral_energy(spectrum: Complex, fft: int) -> float:
    """Energy in time of what ``[channels, bins]`` transforms back to, by Parseval.

    ``sum_t |x(t)|^2 = sum_k |X(k)|^2 / fft`` over all ``fft`` bins; a real signal's half spectrum
    holds each bin's mirror too, except those of frequency 0 and, for even ``fft``, of Nyquist.
    """
    flat = np.ascontiguousarray(spectrum).view(np.float64)
    twice = 2.0 * float(np.vdot(flat, flat))
    edges = energy(np.abs(spectrum[:, 0]))
    if fft % 2 == 0:
        edges += energy(np.abs(spectrum[:, -1]))
    return (twice - edges) / fft


# --- one track ------------------------------------------------------------------------------------


@dataclass
class Basis:
    """The references of one track, ready for any number of estimates."""

    stems: tuple[str, ...]
    """Stems that are not silent, in order; silent ones span nothing."""
    span: Span
    rate: int
    silent: NDArray[np.bool_] = field(repr=False)
    """``[windows]``: a reference is silent there."""

    @classmethod
    def of(cls, references: References) -> Basis | None:
        """From the references; ``None`` when every stem is silent."""
        audible = {s: a for s, a in references.stems.items() if not is_silent(a.samples)}
        if not audible:
            return None
        first = next(iter(audible.values()))
        signals = [channel for audio in audible.values() for channel in audio.samples]
        silent = [
            any(is_silent(audio.samples[:, window]) for audio in audible.values())
            for window in windows(first.frames, first.rate)
        ]
        span = Span.of(signals, first.channels, TAPS)
        return cls(tuple(audible), span, first.rate, np.array(silent))


def windows(frames: int, rate: int) -> list[slice]:
    """One-second windows and hops as museval frames them; a shorter signal is one window.

    The rest after the last whole window is in the filters and in no window.
    """
    count = frames // rate if frames > rate else 1
    return [slice(k * rate, min((k + 1) * rate, frames)) for k in range(count)]


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Silence in the sense of museval: the channels add up to zero everywhere."""
    return not samples.sum(0).any()


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
    for t, cut in enumerate(slices):
        if basis.silent[t] or any(is_silent(e[:, cut]) for e in estimates.values()):
            continue
        truth = np.array([signal[cut] for signal in span.signals], np.float64)
        window = projections.window(truth)
        for stem, samples in estimates.items():
            estimate = samples[:, cut].astype(np.float64)
            target = truth[span.rows(pairs[stem][0])]
            parts = window.parts(pairs[stem], window.transform(estimate))
            sdr = ratio_db(energy(target), energy(target - estimate))
            scores[stem][:, t] = sdr, parts.isr, parts.sir, parts.sar
    return scores
