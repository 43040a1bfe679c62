"""Compiled kernels for sums of products of spectra in BSSEval.

Conventions
-----------
pieces      a spectrum is cut into pieces of :data:`PIECE` bins; zeros fill the last one. A piece
            stores first all real parts, then all imaginary parts, so that loads into vector
            registers are contiguous and the compiler can see that arrays do not overlap
row         ``[pieces, 2 * PIECE]`` float64 of a spectrum
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.jit import inner_kernel, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Complex = NDArray[np.complex128]
    Real = NDArray[np.float64]
    Whole = NDArray[np.int64]

PIECE = 128
"""Bins per piece: the inputs of all rows and the sums of all pairs fit into the cache."""
PIECES_TOGETHER = 8
"""Pieces of all rows of some windows that fit into the second-level cache."""
TOGETHER = 4
"""Blocks of a signal that are multiplied per pass over the sums."""
ENERGIES = 7
"""See :func:`add_energies`."""


def joined(pieces: Real, bins: int) -> Complex:
    """Spectra ``[..., bins]`` of their pieces."""
    apart = pieces.reshape(*pieces.shape[:-1], 2, PIECE)
    whole = apart[..., 0, :] + 1j * apart[..., 1, :]
    return np.ascontiguousarray(whole.reshape(*pieces.shape[:-2], -1)[..., :bins])


@kernel
def accumulate(near: Real, far: Real, total: Real, same: bool) -> None:
    """``total[i, j] += sum_b conj(near[b, i]) * far[b, j]``; with ``same`` for ``j >= i`` only.

    ``near`` and ``far`` are ``[TOGETHER, rows, pieces, 2 * PIECE]``, ``total`` ``[rows, rows,
    pieces, 2 * PIECE]``.
    """
    ours = np.empty((near.shape[1], TOGETHER * 2 * PIECE))
    theirs = np.empty((far.shape[1], TOGETHER * 2 * PIECE))
    for piece in range(near.shape[2]):
        for source, target in ((near, ours), (far, theirs)):
            for row in range(source.shape[1]):
                for block in range(TOGETHER):
                    first = 2 * PIECE * block
                    target[row, first : first + 2 * PIECE] = source[block, row, piece]
        for i in range(near.shape[1]):
            for j in range(i if same else 0, far.shape[1]):
                _add_products(ours[i], theirs[j], total[i, j, piece])


@inner_kernel
def _add_products(a: Real, b: Real, sums: Real) -> None:
    """``sums += conj(a) * b`` of four blocks."""
    for k in range(PIECE):
        re, im = 0.0, 0.0
        for block in range(TOGETHER):
            r, i = k + 2 * PIECE * block, k + 2 * PIECE * block + PIECE
            re += a[r] * b[r] + a[i] * b[i]
            im += a[r] * b[i] - a[i] * b[r]
        sums[k] += re
        sums[k + PIECE] += im


@kernel
def add_energies(
    truth: Real,
    heard: Real,
    stem: int,
    estimate: int,
    own_rows: Whole,
    own: Real,
    all_rows: Whole,
    whole: Real,
    first: int,
    stop: int,
    sums: Real,
) -> None:
    """Energies of the parts of an estimate, window by window, in some pieces of the spectra.

    With ``s`` the stem, ``e`` the estimate, ``p = P_own e`` and ``q = P_all e`` they are those of
    ``s``, ``p - s``, ``p``, ``q - p``, ``q``, ``e - q`` and ``e - p``, summed over channels.

    Parameters
    ----------
    truth
        ``[windows, K, pieces, 2 * PIECE]``, the spectra of all references.
    heard
        The same of all estimates.
    stem, estimate
        the rows of the first channel of the stem, and of the estimate.
    own_rows, own
        which rows span ``P_own``, and their filters ``[rows, channels, pieces, 2 * PIECE]``.
    all_rows, whole
        the same for ``P_all``.
    first, stop
        which pieces are added.
    sums
        ``[windows, 7 * PIECE]``, updated in place; an energy is the sum of its :data:`PIECE`
        numbers.
    """
    p, q = np.empty(2 * PIECE), np.empty(2 * PIECE)
    for piece in range(first, stop):
        for channel in range(own.shape[1]):
            for window in range(truth.shape[0]):
                p[:], q[:] = 0.0, 0.0
                for row in range(own_rows.shape[0]):
                    _add_filtered(truth[window, own_rows[row], piece], own[row, channel, piece], p)
                for row in range(all_rows.shape[0]):
                    source = truth[window, all_rows[row], piece]
                    _add_filtered(source, whole[row, channel, piece], q)
                s, e = (
                    truth[window, stem + channel, piece],
                    heard[window, estimate + channel, piece],
                )
                _add_squares(s, p, q, e, sums[window])


@inner_kernel
def _add_filtered(a: Real, b: Real, out: Real) -> None:
    """``out += a * b``."""
    for k in range(PIECE):
        i = k + PIECE
        out[k] += a[k] * b[k] - a[i] * b[i]
        out[i] += a[k] * b[i] + a[i] * b[k]


@inner_kernel
def _add_squares(s: Real, p: Real, q: Real, e: Real, sums: Real) -> None:
    for k in range(PIECE):
        for part in range(2):
            n = k + PIECE * part
            a, b, c, d = s[n], p[n], q[n], e[n]
            sums[k] += a * a
            sums[k + PIECE] += (b - a) * (b - a)
            sums[k + 2 * PIECE] += b * b
            sums[k + 3 * PIECE] += (c - b) * (c - b)
            sums[k + 4 * PIECE] += c * c
            sums[k + 5 * PIECE] += (d - c) * (d - c)
            sums[k + 6 * PIECE] += (d - b) * (d - b)


def distances(truth: list[Any], heard: list[Any], window: slice) -> tuple[float, float]:
    """Energies of the reference and of its difference to the estimate in a window, in the time
    domain.
    """
    found = [_distance(a[window], b[window]) for a, b in zip(truth, heard, strict=True)]
    return sum(target for target, _ in found), sum(error for _, error in found)


@kernel
def _distance(truth: Real, heard: Real) -> tuple[float, float]:
    targets, errors = np.zeros(PIECE), np.zeros(PIECE)
    for first in range(0, truth.shape[0], PIECE):
        a, b = truth[first : first + PIECE], heard[first : first + PIECE]
        for k in range(a.shape[0]):
            target = np.float64(a[k])
            error = target - np.float64(b[k])
            targets[k] += target * target
            errors[k] += error * error
    return targets.sum(), errors.sum()
