"""Correlations of long signals, and the normal equations of their delayed copies.

Conventions
-----------
K      channels of all references, stacked
taps   length of the distortion filters: each channel spans itself and its ``taps - 1`` delays
lag    ``m`` of ``sum_t x(t) y(t + m)``
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchsep.metrics.bsseval.products import TOGETHER, accumulate, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.metrics.bsseval.transform import Transform

    Real = NDArray[np.float64]
    Complex = NDArray[np.complex128]

FFT = 16384
"""Block length of the correlations' transforms."""
_LOOK = 1 << 16
"""Samples per block of a comparison."""


def lagged_correlations(x: list[Any], y: list[Any], lags: int, *, fft: int = FFT) -> Real:
    """Cross-correlations of all rows of ``x`` with all rows of ``y``, at the lags needed only.

    Each block of ``x`` is multiplied with the part of ``y`` within the lags. Products are summed in
    the frequency domain, so one inverse transform is enough for the whole song, and memory does not
    grow with its length.

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
    from scipy.fft import irfft

    from benchsep.metrics.bsseval.transform import Transform

    frames, reach = len(x[0]), lags - 1
    step = fft - 2 * reach
    starts = range(0, frames, step)
    transform, same = Transform(fft), x is y
    total = transform.room(len(x), len(y))
    near, far = transform.room(TOGETHER, len(x)), transform.room(TOGETHER, len(y))
    for first in range(0, len(starts), TOGETHER):
        blocks = starts[first : first + TOGETHER]
        near[len(blocks) :], far[len(blocks) :] = 0, 0
        # A block of x, and the part of y within the lags.
        stops = [min(start + step, frames) for start in blocks]
        spans = [slice(a, b) for a, b in zip(blocks, stops, strict=True)]
        _write(transform, x, spans, [0] * len(spans), near)
        around = [slice(max(s.start - reach, 0), min(s.stop + reach, frames)) for s in spans]
        places = [a.start - s.start + reach for a, s in zip(around, spans, strict=True)]
        _write(transform, y, around, places, far)
        accumulate(near, far, total, same)
    out: Real = irfft(joined(total, fft // 2 + 1), fft, axis=2)[..., : 2 * lags - 1]
    if same:  # the correlation of j with i is that of i with j, read backwards
        for i in range(len(x)):
            out[i + 1 :, i] = out[i, i + 1 :, ::-1]
    return out


def _write(
    transform: Transform, signals: list[Any], spans: list[slice], places: list[int], out: Real
) -> None:
    """Write spectra ``[spans, signals, pieces, 2 * PIECE]``, each span at its position."""
    parts = [signal[span] for span in spans for signal in signals]
    transform.write(parts, list(np.repeat(places, len(signals))), out.reshape(-1, *out.shape[2:]))


@dataclass
class Gram:
    """A factorised Gram matrix of delayed channels.

    ``condition`` is the condition number of the matrix with unit diagonal, 1-norm; infinite if
    singular.
    """

    rows: tuple[int, ...]
    """Indices of the stacked channels that span the space."""
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


def gram(corr: Real, rows: tuple[int, ...], taps: int) -> Gram:
    """Build, measure and factorise the Gram matrix of ``rows``.

    Cholesky costs half of LU and needs one copy of the matrix. If rounding has made the matrix
    indefinite, LU solves it as in museval; if LU has a zero pivot, least squares. Both cases are
    far beyond :data:`benchsep.metrics.bsseval.MAX_CONDITION`.

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
    """The symmetric block-Toeplitz matrix, Fortran order, unit diagonal; and its scaling.

    Block ``(i, j)``, ``[taps, taps]``, holds ``sum_t x_i(t - a) x_j(t - b)`` at ``[a, b]``, which
    is the correlation at lag ``a - b``. Each is divided by the norms of both channels, so that the
    condition does not measure how loud the channels are; ``scale`` undoes it in the solution.
    """
    # museval's epsilon keeps an all-zero channel solvable (its filter is zero).
    energy = np.array([corr[r, r, taps - 1] for r in rows]) + np.finfo(float).eps
    matrix = np.empty((len(rows) * taps,) * 2, order="F")
    for i, row in enumerate(rows):
        for j, col in enumerate(rows):
            weighted = corr[row, col] / np.sqrt(energy[i] * energy[j])
            if i == j:
                weighted[taps - 1] = 1.0
            # Column b of a block holds lags -b, 1 - b, ...: correlations from place taps - 1 - b
            # on. Columns lie in order in memory, so they are what is copied.
            columns = np.lib.stride_tricks.sliding_window_view(weighted, taps)[::-1]
            matrix.T[j * taps : (j + 1) * taps, i * taps : (i + 1) * taps] = columns
    return matrix, np.repeat(1.0 / np.sqrt(energy), taps)


def _one_norm(matrix: Real, chunk: int) -> float:
    """Largest absolute column sum, without a second matrix in memory."""
    return max(
        float(np.abs(matrix[:, c : c + chunk]).sum(0).max())
        for c in range(0, matrix.shape[1], chunk)
    )


def independent_rows(signals: list[Any], rows: range) -> tuple[int, ...]:
    """``rows`` without channels that are zero or copies of an earlier one.

    Two equal channels (a mono stem stored as stereo) make the Gram matrix singular; the projections
    are the same without the copy.
    """
    kept: list[int] = []
    for row in rows:
        copied = any(_equal(signals[row], signals[k]) for k in kept)
        if not copied and signals[row].any():
            kept.append(row)
    return tuple(kept)


def _equal(first: Any, second: Any) -> bool:
    """Whether two signals are equal; compared block by block, because most differ early."""
    return all(
        np.array_equal(first[k : k + _LOOK], second[k : k + _LOOK])
        for k in range(0, len(first), _LOOK)
    )
