"""The products of spectra that BSSEval adds up, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Complex = NDArray[np.complex128]
    Real = NDArray[np.float64]

CHUNK = 128
"""Bins at a time: the sums of all pairs and the spectra of all rows there stay in the cache."""


def accumulate(near: Complex, far: Complex, total: Complex, same: bool) -> None:
    """``total[i, j] += sum_b conj(near[b, i]) * far[b, j]``; with ``same`` for ``j >= i`` only.

    ``near`` and ``far`` are ``[blocks, rows, bins]``, ``total`` ``[rows, rows, bins]``.
    """
    _accumulate(near.view(np.float64), far.view(np.float64), total.view(np.float64), same)


@kernel
def _accumulate(near: Real, far: Real, total: Real, same: bool) -> None:
    # Real and imaginary parts in turn on the last axis.
    bins = total.shape[2] // 2
    for start in range(0, bins, CHUNK):
        span = min(CHUNK, bins - start)
        for i in range(near.shape[1]):
            for j in range(i if same else 0, far.shape[1]):
                sums = total[i, j, 2 * start :]
                for block in range(near.shape[0]):
                    a, b = near[block, i, 2 * start :], far[block, j, 2 * start :]
                    for k in range(span):
                        re, im = a[2 * k], a[2 * k + 1]
                        sums[2 * k] += re * b[2 * k] + im * b[2 * k + 1]
                        sums[2 * k + 1] += re * b[2 * k + 1] - im * b[2 * k]


def filtered(truth: Complex, rows: tuple[int, ...], filters: Complex) -> Complex:
    """``sum_k filters[k, c] * truth[rows[k]]``: ``[channels, bins]``, complex128 all of them.

    ``truth`` is ``[channels of all references, bins]``, ``filters`` ``[rows, channels, bins]``.
    """
    out = np.zeros(filters.shape[1:], np.complex128)
    if truth.dtype != np.complex128 or filters.dtype != np.complex128:
        raise TypeError(f"{truth.dtype} and {filters.dtype}, expected complex128")
    if rows:
        numbers = np.array(rows, np.int64)
        _filtered(truth.view(np.float64), numbers, filters.view(np.float64), out.view(np.float64))
    return out


@kernel
def _filtered(truth: Real, rows: NDArray[np.int64], filters: Real, out: Real) -> None:
    bins = out.shape[1] // 2
    for start in range(0, bins, CHUNK):
        span = min(CHUNK, bins - start)
        for channel in range(out.shape[0]):
            sums = out[channel, 2 * start :]
            for row in range(rows.shape[0]):
                a, b = truth[rows[row], 2 * start :], filters[row, channel, 2 * start :]
                for k in range(span):
                    re, im = a[2 * k], a[2 * k + 1]
                    sums[2 * k] += re * b[2 * k] - im * b[2 * k + 1]
                    sums[2 * k + 1] += re * b[2 * k + 1] + im * b[2 * k]
