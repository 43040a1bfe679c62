"""The delay in samples that aligns the estimate with the reference.

Conventions
-----------
signal     float32 ``[samples]``
lag        samples by which the estimate must be delayed; if negative, its beginning is cut off

The lag maximises the cross-correlation of the two *envelopes* over all lags; of equal maxima, the
lowest lag is taken. The envelope of google/visqol is not the Hilbert envelope, although its code
intends it: the inverse transform keeps only the real part. The result is twice the centred signal
without its component at the Nyquist frequency of the padded transform, rectified (``envelope.cc``,
``fast_fourier_transform.cc``). It is used here, because the published scores depend on it.
``visqol-python`` uses the Hilbert envelope (:data:`HILBERT`), which changes scores on music by up
to 0.08 MOS; see ``docs/metrics/visqol.md``.

Google uses single precision. :func:`best_lag` also uses it to find the few candidates for the best
lag, and compares these in double precision. So the lag is the same on every machine, and equal to
the lag of :func:`best_lag_plain`, which uses double precision and takes ten times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchsep.metrics.jit import inner_kernel, kernel
from benchsep.metrics.visqol.correlation import correlate, fast_points, sheet
from benchsep.metrics.visqol.envelopes import SUMS as LANES
from benchsep.metrics.visqol.envelopes import envelope_products, write_sixteen

if TYPE_CHECKING:
    from numpy.typing import NDArray

Envelope = Literal["google", "hilbert"]
GOOGLE: Envelope = "google"
HILBERT: Envelope = "hilbert"

CHUNKS = 64
"""Number of steps in which the range of lags can be narrowed."""

SINGLE_ERROR = 2e-5
"""Upper bound for the error of a correlation in single precision, relative to the product of the
norms.

Transforms of up to 2^25 points, each within ``log2(points) * 3 * 2^-24`` of the norm: one of both
signals, whose norms differ by a factor of two at most, counts three times, and one back.
"""

CANDIDATES = 64
"""Most lags that are compared one by one; for a flatter peak, :func:`best_lag_plain` is used."""


def usable_lag(
    reference: NDArray[np.float32], estimate: NDArray[np.float32], kind: Envelope = GOOGLE
) -> int:
    """The best lag, or zero if it exceeds half of the reference's length."""
    find = best_lag if kind == GOOGLE else best_lag_plain
    lag = find(reference, estimate, kind)
    return 0 if abs(lag) > len(reference) / 2 else lag


def moved(estimate: NDArray[np.float32], lag: int) -> NDArray[np.float32]:
    """The estimate after ``lag`` zeros; for a negative lag, without its first ``-lag`` samples."""
    if lag < 0:
        return estimate[-lag:]
    return np.concatenate([np.zeros(lag, dtype=estimate.dtype), estimate]) if lag else estimate


def envelope(signal: NDArray[np.float32], kind: Envelope = GOOGLE) -> NDArray[np.float64]:
    """The envelope ``[samples]`` for the correlation."""
    if kind == GOOGLE:
        out = np.empty((-(-len(signal) // LANES), LANES))
        _write_envelope(signal, *_shape(signal), out, 1.0)
        return out.reshape(-1)[: len(signal)]
    from scipy.signal import hilbert

    mean = float(signal.mean(dtype=np.float64))
    return np.asarray(np.abs(hilbert(signal - mean)) + mean)


def best_lag_plain(
    reference: NDArray[np.float32], estimate: NDArray[np.float32], kind: Envelope = GOOGLE
) -> int:
    """The best lag, from one correlation over all lags in double precision."""
    from scipy.fft import next_fast_len

    longest = max(len(reference), len(estimate))
    points = next_fast_len(2 * longest - 1, real=True)
    correlation = _correlation(envelope(reference, kind), envelope(estimate, kind), points)
    lags = np.concatenate([correlation[points - longest + 1 :], correlation[:longest]])
    return int(np.argmax(lags)) - (longest - 1)


def best_lag(
    reference: NDArray[np.float32], estimate: NDArray[np.float32], kind: Envelope = GOOGLE
) -> int:
    """The same lag as :func:`best_lag_plain`, in a fraction of the time and memory.

    By the Cauchy-Schwarz inequality, the correlation at lags beyond ``K`` is at most the product of
    the norms of the overlapping parts. If this is less than the correlation at lag zero, lags
    beyond ``K`` are excluded, and the transform is shorter.
    """
    ours, theirs = _shape(reference), _shape(estimate)
    longest = max(len(reference), len(estimate))
    chunk = -(-longest // CHUNKS)
    energies = _chunk_energies(reference, *ours, chunk), _chunk_energies(estimate, *theirs, chunk)
    norms = [float(np.sqrt(found.sum())) for found in energies]
    if min(norms) == 0:
        return 1 - longest
    at_zero = _correlation_at(reference, *ours, estimate, *theirs, 0)
    reach = min(longest - 1, chunk * _chunks_in_reach(*energies, at_zero))

    points = fast_points(longest + reach + 1)
    # Both are parts of one complex signal, so errors are relative to the norm of the louder one.
    scales = [2.0 ** -round(np.log2(norm)) for norm in norms]
    both = sheet(points)
    _write_envelope(reference, *ours, both[:, 0], scales[0])
    _write_envelope(estimate, *theirs, both[:, 1], scales[1])
    lags = correlate(both, reach)
    error = SINGLE_ERROR * norms[0] * scales[0] * norms[1] * scales[1]
    # Each of two single-precision values may be wrong by the error, so lags with a correlation more
    # than twice the error below the maximum are excluded. The others are compared in double
    # precision.
    candidates = np.flatnonzero(lags >= lags.max() - 2 * error)
    if len(candidates) > CANDIDATES:
        return best_lag_plain(reference, estimate, kind)
    exact = [
        _correlation_at(reference, *ours, estimate, *theirs, int(lag) - reach) for lag in candidates
    ]
    return int(candidates[int(np.argmax(exact))]) - reach


def _correlation(first: Any, second: Any, points: int) -> Any:
    """Circular cross-correlation of ``points`` points, in the precision of its inputs."""
    from scipy.fft import irfft, rfft

    product = rfft(first, points, overwrite_x=True)
    del first
    other = rfft(second, points, overwrite_x=True)
    del second
    product *= np.conjugate(other, out=other)
    del other
    return irfft(product, points, overwrite_x=True)


@kernel
def _chunks_in_reach(ours: NDArray[np.float64], theirs: NDArray[np.float64], at_zero: float) -> int:
    """The fewest chunks of lag beyond which no correlation can reach ``at_zero``."""
    # At a lag of k >= reach chunks the reference's chunks from k on meet the estimate's up to
    # CHUNKS - k, so by Cauchy and Schwarz
    #     corr(lag)^2 <= sum_{i >= reach} |r_i|^2 * sum_{i < CHUNKS - reach} |e_i|^2
    # and the same with both exchanged for a lag of the other sign.
    for reach in range(1, CHUNKS):
        later = ours[reach:].sum() * theirs[: CHUNKS - reach].sum()
        earlier = ours[: CHUNKS - reach].sum() * theirs[reach:].sum()
        if np.sqrt(max(later, earlier)) < at_zero * (1 - 1e-9):
            return reach
    return CHUNKS


def _shape(signal: NDArray[np.float32]) -> tuple[float, float]:
    """The mean, and the amplitude of the component that Google's transform loses at its Nyquist
    frequency.
    """
    mean, alternating = _sums(signal)
    padded = max(32, 1 << (len(signal) - 1).bit_length())
    return mean, alternating * (1.0 if len(signal) == padded else 2.0) / padded


@kernel
def _sums(signal: NDArray[np.float32]) -> tuple[float, float]:
    """The mean, and the sum of the centred signal with alternating signs."""
    sums = np.zeros(LANES)
    whole = signal.shape[0] // LANES * LANES
    for n in range(0, whole, LANES):
        for lane in range(LANES):
            sums[lane] += np.float64(signal[n + lane])
    for n in range(whole, signal.shape[0]):
        sums[n - whole] += np.float64(signal[n])
    even, odd = sums[::2].sum(), sums[1::2].sum()
    mean = (even + odd) / signal.shape[0]
    return mean, even - odd - (mean if signal.shape[0] % 2 else 0.0)


@inner_kernel
def _envelope_at(signal: NDArray[np.float32], mean: float, ripple: float, n: int) -> float:
    return abs(2 * (np.float64(signal[n]) - mean) - (ripple if n % 2 == 0 else -ripple)) + mean


@kernel
def _write_envelope(
    signal: NDArray[np.float32],
    mean: float,
    ripple: float,
    out: NDArray[np.floating[Any]],
    scale: float,
) -> None:
    """Write the envelope to ``out``, ``[rows, 16]``, row by row."""
    whole = signal.shape[0] // LANES
    for row in range(whole):
        write_sixteen(signal, row * LANES, mean, ripple, scale, out[row])
    rest = signal[whole * LANES :]
    for n in range(rest.shape[0]):
        out[whole, n] = scale * _envelope_at(rest, mean, ripple, n)


@inner_kernel
def _product(
    first: NDArray[np.float32],
    mean_1: float,
    ripple_1: float,
    second: NDArray[np.float32],
    mean_2: float,
    ripple_2: float,
) -> float:
    """Sum of the products of two envelopes; each ripple is that of the first sample given."""
    sums = np.zeros(LANES)
    vectors = first.shape[0] // LANES
    if vectors > 0:
        envelope_products(first, mean_1, ripple_1, second, mean_2, ripple_2, vectors, sums)
    whole = vectors * LANES
    for n in range(whole, first.shape[0]):
        ours = _envelope_at(first, mean_1, ripple_1, n)
        sums[n - whole] += ours * _envelope_at(second, mean_2, ripple_2, n)
    return float(sums.sum())


@kernel
def _chunk_energies(
    signal: NDArray[np.float32], mean: float, ripple: float, chunk: int
) -> NDArray[np.float64]:
    energies = np.zeros(CHUNKS)
    for number in range(CHUNKS):
        start = number * chunk
        part = signal[start : start + chunk]
        turned = ripple if start % 2 == 0 else -ripple
        energies[number] = _product(part, mean, turned, part, mean, turned)
    return energies


@kernel
def _correlation_at(
    reference: NDArray[np.float32],
    mean_r: float,
    ripple_r: float,
    estimate: NDArray[np.float32],
    mean_e: float,
    ripple_e: float,
    lag: int,
) -> float:
    """Sum over n of the reference's envelope at ``n + lag`` times the estimate's at ``n``."""
    first, stop = max(0, -lag), min(estimate.shape[0], reference.shape[0] - lag)
    if stop <= first:
        return 0.0
    ours, theirs = reference[first + lag : stop + lag], estimate[first:stop]
    turned_r = ripple_r if (first + lag) % 2 == 0 else -ripple_r
    turned_e = ripple_e if first % 2 == 0 else -ripple_e
    return _product(ours, mean_r, turned_r, theirs, mean_e, turned_e)
