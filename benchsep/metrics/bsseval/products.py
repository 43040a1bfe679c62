"""The products of spectra that BSSEval adds up, compiled.

Conventions
-----------
pieces      a spectrum is cut into pieces of :data:`PIECE` bins, the last filled up with zeros; of
            a piece first all real parts, then all imaginary parts: vector registers want neighbours
            of one kind, and the compiler wants to see that arrays do not overlap
row         ``[pieces, 2 * PIECE]`` float64 of a spectrum
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Complex = NDArray[np.complex128]
    Real = NDArray[np.float64]
    Whole = NDArray[np.int64]

PIECE = 128
"""Bins at a time: what is read of all rows and added up for all pairs stays in the cache."""
PIECES_TOGETHER = 8
"""Pieces of all rows of some windows that fit into the second-level cache."""
TOGETHER = 4
"""Blocks of a signal that are multiplied in one pass over the sums."""
ENERGIES = 7
"""See :func:`add_energies`."""


class Transform:
    """Real transforms of one length, two signals at a time, through buffers that stay in the cache.

    scipy transforms two signals in the time of one and a half. All rows of all windows at once
    would travel through memory half a dozen times.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._buffer = np.zeros((2, length))

    @property
    def pieces(self) -> int:
        """Pieces of a spectrum."""
        return -(-(self.length // 2 + 1) // PIECE)

    def room(self, *shape: int) -> Real:
        """Zeros for spectra: ``[..., pieces, 2 * PIECE]``."""
        return np.zeros((*shape, self.pieces, 2 * PIECE))

    def write(self, signals: list[Any], span: slice, at: int, out: Real, edge: float = 1.0) -> None:
        """Spectra of the samples ``span`` of each signal, put at ``at`` among zeros.

        ``out`` is ``[signals, pieces, 2 * PIECE]``. The bins of frequency zero and of Nyquist are
        multiplied by ``edge``.
        """
        from scipy.fft import rfft

        stop = at + span.stop - span.start
        for first in range(0, len(signals), 2):
            pair = signals[first : first + 2]
            buffer = self._buffer[: len(pair)]
            buffer[:, :at], buffer[:, stop:] = 0, 0
            for row, signal in zip(buffer, pair, strict=True):
                _copy(np.asarray(signal[span]), row[at:stop])
            spectra = rfft(buffer, axis=1)
            spectra[:, 0] *= edge
            if self.length % 2 == 0:
                spectra[:, -1] *= edge
            _cut(spectra.view(np.float64), out[first : first + 2])


def joined(pieces: Real, bins: int) -> Complex:
    """Spectra ``[..., bins]`` of their pieces."""
    apart = pieces.reshape(*pieces.shape[:-1], 2, PIECE)
    whole = apart[..., 0, :] + 1j * apart[..., 1, :]
    return np.ascontiguousarray(whole.reshape(*pieces.shape[:-2], -1)[..., :bins])


@kernel
def _copy(source: Real, target: Real) -> None:
    """Of any kind of number: numpy's conversion takes as long as a transform."""
    for n in range(target.shape[0]):
        target[n] = source[n]


@kernel
def _cut(spectra: Real, out: Real) -> None:
    bins = spectra.shape[1] // 2
    for row in range(spectra.shape[0]):
        for number in range(out.shape[1]):
            piece, part = out[row, number], spectra[row, 2 * PIECE * number :]
            for k in range(min(PIECE, bins - number * PIECE)):
                piece[k], piece[k + PIECE] = part[2 * k], part[2 * k + 1]


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


@kernel
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
        ``[windows, 7 * PIECE]``: grow; an energy is the sum of its :data:`PIECE` numbers.
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


@kernel
def _add_filtered(a: Real, b: Real, out: Real) -> None:
    """``out += a * b``."""
    for k in range(PIECE):
        i = k + PIECE
        out[k] += a[k] * b[k] - a[i] * b[i]
        out[i] += a[k] * b[i] + a[i] * b[k]


@kernel
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
    """Energies of a window of some channels, and of what an estimate differs by, in time."""
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
