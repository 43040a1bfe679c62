"""museval's ``bss_eval`` on benchsep's engine: same call, same values, less time and memory.

Conventions
-----------
arrays     museval's: ``[sources, samples, channels]``, float; results ``[sources, windows]`` in dB
versions   BSSEval v4 (one filter a track) as :mod:`benchsep.metrics.bsseval` has it, and through
           ``framewise_filters`` and ``bsseval_sources_version`` the v3 ones that museval keeps
errors     museval's: ``ValueError`` on silent or unequal sources, a warning on empty ones
NaN        a window in which any source is silent, for every source

Use it in one's own code, or in place of museval's own function, which its ``evaluate``,
``eval_mus_track`` and wrappers then all use::

    import museval.metrics
    from benchsep.museval.api import bss_eval
    museval.metrics.bss_eval = bss_eval

museval's test suite passes that way (``tests/museval/test_api.py`` says how to run it).
Where a source is silent or badly conditioned the metric ``bsseval`` says so in a status; this call
cannot.
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.bsseval import (
    Gram,
    db,
    energy,
    filtered,
    gram,
    independent_rows,
    lagged_correlations,
    spectral_energy,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Real = NDArray[np.float64]
    Complex = NDArray[np.complex128]
    Result = tuple[Real, Real, Real, Real, NDArray[np.int64]]

MAX_SOURCES = 100
"""More is taken for swapped axes, as in museval."""

SDR, ISR, SIR, SAR = range(4)


def bss_eval(
    reference_sources: ArrayLike,
    estimated_sources: ArrayLike,
    window: float = 2 * 44100,
    hop: float = 1.5 * 44100,
    compute_permutation: bool = False,
    filters_len: int = 512,
    framewise_filters: bool = False,
    bsseval_sources_version: bool = False,
) -> Result:
    """SDR, ISR, SIR, SAR of every window, and the order of the estimates.

    Parameters
    ----------
    reference_sources, estimated_sources
        ``[sources, samples, channels]`` (or ``[sources, samples]``), equal shapes.
    window, hop
        in samples; infinite for one window.
    compute_permutation
        find the order of the estimates with the best mean SIR.
    filters_len
        taps of the distortion filters.
    framewise_filters
        new filters for each window (v3).
    bsseval_sources_version
        the reference may be filtered too (v3 ``sources``); ISR is NaN.

    Raises
    ------
    ValueError
        shapes that differ, a silent source, more than :data:`MAX_SOURCES` sources.
    """
    truth, heard = (np.atleast_3d(np.asarray(x)) for x in (reference_sources, estimated_sources))
    _validate(truth, heard)
    if truth.size == 0 or heard.size == 0:
        empty = np.array([])
        return empty, empty, empty, empty, np.array([], np.int64)
    count, samples, _ = truth.shape
    orders = _orders(count, compute_permutation)
    wanted = sorted({pair for order in orders for pair in enumerate(order.tolist())})
    spans = framing(window, hop, samples)
    scores = np.full((4, count, count, len(spans)), np.nan)
    filters = None if framewise_filters else _Filters(truth, heard, filters_len, wanted)
    for t, span in enumerate(spans):
        part, estimate = truth[:, span], heard[:, span]
        if _any_silent(part) or _any_silent(estimate):
            continue
        own = filters or _Filters(part, estimate, filters_len, wanted)
        found = own.scores(part, estimate, sources=bsseval_sources_version)
        for (j, k), values in found.items():
            scores[:, j, k, t] = values
    return _ordered(scores, orders, framewise_filters)


def framing(window: float, hop: float, samples: int) -> list[slice]:
    """Cut windows as museval does: they may overlap; what follows the last whole one is left."""
    if not window < samples:
        return [slice(0, samples)]
    count = math.floor((samples - window + hop) / hop)
    starts = [t * hop for t in range(count)]
    return [slice(math.floor(s), math.floor(min(s + window, samples))) for s in starts]


def _validate(truth: Real, heard: Real) -> None:
    if truth.shape != heard.shape:
        raise ValueError(
            f"references have shape {truth.shape}, estimates {heard.shape}; expected the same"
        )
    if truth.ndim > 3:
        raise ValueError(f"{truth.ndim} dimensions; expected sources, samples, channels")
    for what, sources in (("reference", truth), ("estimated", heard)):
        if sources.size == 0:
            warnings.warn(f"{what}_sources is empty, and so is every result", stacklevel=3)
        elif _any_silent(sources):
            raise ValueError(f"one of the {what} sources is silent; expected every one to sound")
    if len(truth) > MAX_SOURCES:
        raise ValueError(f"{len(truth)} sources; expected {MAX_SOURCES} at most: swapped axes?")


def _any_silent(sources: Real) -> bool:
    """In museval's sense: the channels of a source add up to zero everywhere."""
    return bool((~sources.sum(axis=2).any(axis=1)).any())


def _orders(count: int, every: bool) -> NDArray[np.int64]:
    found = itertools.permutations(range(count)) if every else [tuple(range(count))]
    return np.array(list(found), np.int64)


def _ordered(scores: Real, orders: NDArray[np.int64], framewise: bool) -> Result:
    """The order with the best mean SIR: one for the track, or one a window."""
    own = np.arange(scores.shape[1])
    sir = np.stack([scores[SIR, own, order] for order in orders])  # [orders, sources, windows]
    mean = sir.mean(axis=1) if framewise else sir.mean(axis=(1, 2))[:, None]
    best = orders[np.argmax(mean, axis=0)].T  # [sources, windows or 1]
    if framewise:
        windows = np.arange(scores.shape[3])
        found = scores[:, own[:, None], best, windows[None]]
    else:
        found = scores[:, own, best[:, 0]]
    return found[SDR], found[ISR], found[SIR], found[SAR], best


class _Filters:
    """The projections of estimates on references, for the pairs that are wanted."""

    def __init__(self, truth: Real, heard: Real, taps: int, pairs: list[tuple[int, int]]) -> None:
        self.taps, self.pairs = taps, pairs
        self.width = truth.shape[2]
        references, estimates = _rows(truth), _rows(heard)
        fft = max(16384, 8 * 2 ** (taps - 1).bit_length())
        corr = lagged_correlations(references, references, taps, fft=fft)
        sides = lagged_correlations(references, estimates, taps, fft=fft)[..., taps - 1 :]
        rows = independent_rows(references, range(len(references)))
        self.whole = gram(corr, rows, taps)
        self.whole_filters = self._solved(self.whole, sides)
        self.own: list[Gram] = []
        self.own_filters: dict[tuple[int, int], Real] = {}
        for j in range(len(truth)):
            mine = range(j * self.width, (j + 1) * self.width)
            self.own.append(gram(corr, independent_rows(references, mine), taps))
        for j, k in pairs:
            self.own_filters[j, k] = self._solved(self.own[j], sides[:, self._channels(k)])

    def _channels(self, source: int) -> slice:
        return slice(source * self.width, (source + 1) * self.width)

    def _solved(self, matrix: Gram, sides: Real) -> Real:
        """``[rows, heard, taps]`` filters."""
        count = len(matrix.rows)
        right = sides[list(matrix.rows)].transpose(0, 2, 1).reshape(count * self.taps, -1)
        return matrix.solve(right).reshape(count, self.taps, -1).transpose(0, 2, 1)

    def scores(
        self, truth: Real, heard: Real, *, sources: bool
    ) -> dict[tuple[int, int], tuple[float, float, float, float]]:
        """SDR, ISR, SIR, SAR of one window for each pair."""
        from scipy.fft import next_fast_len, rfft

        fft = next_fast_len(truth.shape[1] + self.taps - 1, real=True)

        def transform(rows: Any) -> Complex:
            out: Complex = rfft(rows, fft, axis=-1)
            return out

        spectra = transform(np.stack(_rows(truth)))
        found = {}
        for j, k in self.pairs:
            own = filtered(spectra, self.own[j].rows, transform(self.own_filters[j, k]))
            filters = transform(self.whole_filters[:, self._channels(k)])
            whole = filtered(spectra, self.whole.rows, filters)
            estimate = transform(heard[k].T)
            target = spectra[self._channels(j)]
            sums = [spectral_energy(x, fft) for x in (own, whole, whole - own, estimate - whole)]
            sir, sar = db(sums[0], sums[2]), db(sums[1], sums[3])
            if sources:
                sdr, isr = db(sums[0], spectral_energy(estimate - own, fft)), np.nan
            else:
                sdr = db(energy(truth[j]), energy(truth[j] - heard[k]))
                isr = db(energy(truth[j]), spectral_energy(own - target, fft))
            found[j, k] = (sdr, isr, sir, sar)
        return found


def _rows(sources: Real) -> list[Any]:
    """All channels of all sources, one vector each."""
    return [np.ascontiguousarray(channel) for source in sources for channel in source.T]
