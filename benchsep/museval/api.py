"""museval's ``bss_eval`` with benchsep's engine: same arguments and values, less time and memory.

Conventions
-----------
arrays     museval's: ``[sources, samples, channels]``, float; results ``[sources, windows]`` in dB
versions   BSSEval v4 (one filter per track) as in :mod:`benchsep.metrics.bsseval`, and with
           ``framewise_filters`` and ``bsseval_sources_version`` museval's v3 versions
errors     museval's: ``ValueError`` on silent or unequal sources, a warning on empty ones
NaN        for all sources in a window in which any source is silent

Use it directly, or as a replacement of museval's function for its ``evaluate``, ``eval_mus_track``
and wrappers::

    import museval.metrics
    from benchsep.museval import bss_eval
    museval.metrics.bss_eval = bss_eval

museval's test suite passes that way (``tests/museval/test_api.py`` says how to run it).
For a silent or ill-conditioned source, the metric ``bsseval`` has a status; this function has none.
"""

from __future__ import annotations

import itertools
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.bsseval.engine import Pair, Projections, Span, project
from benchsep.metrics.levels import energy, ratio_db

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Real = NDArray[np.float64]
    Result = tuple[Real, Real, Real, Real, NDArray[np.int64]]

MAX_SOURCES = 100
"""More sources are an error (probably swapped axes), as in museval."""

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
    """SDR, ISR, SIR, SAR in dB of every window, ``[sources, windows]`` each, and the order of the
    estimates.

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
        use the filtered reference (v3 ``sources``); ISR is NaN.

    Raises
    ------
    ValueError
        shapes differ, a source is silent, or there are more than :data:`MAX_SOURCES` sources.
    """
    truth, estimates = (
        np.atleast_3d(np.asarray(x)) for x in (reference_sources, estimated_sources)
    )
    _validate(truth, estimates)
    if truth.size == 0 or estimates.size == 0:
        empty = np.array([])
        return empty, empty, empty, empty, np.array([], np.int64)
    count, samples, _ = truth.shape
    orders = _orders(count, compute_permutation)
    pairs = sorted({pair for order in orders for pair in enumerate(order.tolist())})
    slices = framing(window, hop, samples)
    scores = np.full((4, count, count, len(slices)), np.nan)
    of_track = None if framewise_filters else _projections(truth, estimates, filters_len, pairs)
    for t, cut in enumerate(slices):
        part, estimate = (x[:, cut].astype(np.float64) for x in (truth, estimates))
        if _any_silent(part) or _any_silent(estimate):
            continue
        projections = of_track or _projections(part, estimate, filters_len, pairs)
        values = _window_scores(projections, part, estimate, sources=bsseval_sources_version)
        for (j, k), four in values.items():
            scores[:, j, k, t] = four
    return _ordered(scores, orders, framewise_filters)


def evaluate(
    references: ArrayLike,
    estimates: ArrayLike,
    win: int = 44100,
    hop: int = 44100,
    mode: str = "v4",
    padding: bool = True,
) -> tuple[Real, Real, Real, Real]:
    """Museval's ``evaluate``: SDR, ISR, SIR, SAR, ``[sources, windows]`` each.

    Parameters
    ----------
    references, estimates
        ``[sources, samples, channels]``.
    win, hop
        in samples.
    mode
        ``v4``, or ``v3``: new filters for each window.
    padding
        cut the estimates to the references' length, or append zeros.

    Raises
    ------
    ValueError
        as :func:`bss_eval`; or a mode that is neither.
    """
    if mode not in ("v3", "v4"):
        raise ValueError(f"mode {mode!r}; expected 'v3' or 'v4'")
    truth, heard = (np.atleast_3d(np.asarray(x)) for x in (references, estimates))
    lacking = truth.shape[1] - heard.shape[1]
    if padding and lacking > 0:
        heard = np.pad(heard, [(0, 0), (0, lacking), (0, 0)])
    elif padding:
        heard = heard[:, : truth.shape[1]]
    return bss_eval(truth, heard, window=win, hop=hop, framewise_filters=mode == "v3")[:4]


def framing(window: float, hop: float, samples: int) -> list[slice]:
    """Windows as in museval: they may overlap; the rest after the last complete window is left
    out.
    """
    if not window < samples:
        return [slice(0, samples)]
    count = math.floor((samples - window + hop) / hop)
    starts = [t * hop for t in range(count)]
    return [slice(math.floor(s), math.floor(min(s + window, samples))) for s in starts]


def _validate(truth: Real, estimates: Real) -> None:
    if truth.shape != estimates.shape:
        raise ValueError(
            f"references have shape {truth.shape}, estimates {estimates.shape}; expected the same"
        )
    if truth.ndim > 3:
        raise ValueError(f"{truth.ndim} dimensions; expected sources, samples, channels")
    if odd := [x.dtype for x in (truth, estimates) if x.dtype.kind not in "biuf"]:
        raise ValueError(f"sources are {odd[0]}, expected real numbers")
    for what, sources in (("reference", truth), ("estimated", estimates)):
        if sources.size == 0:
            warnings.warn(f"{what}_sources is empty, and so is every result", stacklevel=3)
        elif _any_silent(sources):
            raise ValueError(f"one of the {what} sources is silent; expected no silent source")
    if len(truth) > MAX_SOURCES:
        raise ValueError(f"{len(truth)} sources; expected {MAX_SOURCES} at most: swapped axes?")


def _any_silent(sources: Real) -> bool:
    """Whether a source is silent as in museval: the sum over its channels is zero everywhere."""
    return bool((~sources.sum(axis=2).any(axis=1)).any())


def _orders(count: int, every: bool) -> NDArray[np.int64]:
    orders = itertools.permutations(range(count)) if every else [tuple(range(count))]
    return np.array(list(orders), np.int64)


def _ordered(scores: Real, orders: NDArray[np.int64], framewise: bool) -> Result:
    """The order with the best mean SIR: one for the track, or one per window."""
    own = np.arange(scores.shape[1])
    sir = np.stack([scores[SIR, own, order] for order in orders])  # [orders, sources, windows]
    mean = sir.mean(axis=1) if framewise else sir.mean(axis=(1, 2))[:, None]
    best = orders[np.argmax(mean, axis=0)].T  # [sources, windows or 1]
    if framewise:
        windows = np.arange(scores.shape[3])
        chosen = scores[:, own[:, None], best, windows[None]]
    else:
        chosen = scores[:, own, best[:, 0]]
    return chosen[SDR], chosen[ISR], chosen[SIR], chosen[SAR], best


def _projections(truth: Real, estimates: Real, taps: int, pairs: Sequence[Pair]) -> Projections:
    """The filters for ``pairs``, from sources ``[sources, samples, channels]``."""
    span = Span.of(_rows(truth), truth.shape[2], taps)
    return project(span, _rows(estimates), pairs)


def _window_scores(
    projections: Projections, truth: Real, estimates: Real, *, sources: bool
) -> dict[Pair, tuple[float, float, float, float]]:
    """SDR, ISR, SIR, SAR of one window for each pair."""
    found = projections.parts(_rows(truth), _rows(estimates), [slice(0, truth.shape[1])])
    scores = {}
    for (j, k), (parts,) in found.items():
        if sources:
            sdr, isr = parts.filtered_sdr, np.nan
        else:
            target = energy(truth[j])
            sdr = ratio_db(target, energy(truth[j] - estimates[k]))
            # A NaN anywhere in the track makes the filters NaN: those of the source, or those of
            # all sources.
            if math.isnan(parts.spatial + parts.whole):
                sdr = math.nan
            isr = ratio_db(target, parts.spatial)
        scores[j, k] = (sdr, isr, parts.sir, parts.sar)
    return scores


def _rows(sources: Real) -> list[Any]:
    """All channels of all sources, one vector each."""
    return [np.ascontiguousarray(channel) for source in sources for channel in source.T]
