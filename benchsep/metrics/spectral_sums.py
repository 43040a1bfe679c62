"""The inner loops of the multi-resolution STFT distance, compiled.

Conventions
-----------
spectrum    float32 ``[frames, 2 * bins]``: real and imaginary parts in turn
power       squared magnitude, at least ``floor``
sums        float64, over all frames and bins

The bins are the lanes of vector registers. Four frames share an addition in double precision, and
all frames of a bin share a logarithm, that of the product of their ratios: a ratio of two float32
numbers is below ``2^128``, so the product of four has room in float64 beside what is left of the
frames before, a number from 1 to 2 whose power of two is counted apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Single = NDArray[np.float32]
    Double = NDArray[np.float64]
    Whole = NDArray[np.int64]

TAPS_TOGETHER = 4
"""Taps of a filter that share a pass over a piece of the signal."""
PIECE = 2048
"""Samples of a piece: it stays in the first-level cache."""


class SpectralSums:
    """Sums over two spectra of ``bins`` bins, which grow block by block."""

    def __init__(self, bins: int, floor: np.float32) -> None:
        self._floor = floor
        self._error, self._energy = np.zeros(bins), np.zeros(bins)
        self._product, self._powers = np.ones(bins), np.zeros(bins, np.int64)

    def add(self, ours: Single, theirs: Single) -> None:
        """Spectra of the same shape ``[frames, 2 * bins]``."""
        bits = self._product.view(np.int64)
        sums = (self._error, self._energy, self._product, bits, self._powers)
        _add(ours, theirs, self._floor, *sums)

    def totals(self) -> tuple[float, float, float]:
        """For powers ``y`` (ours) and ``x`` (theirs): three sums.

        ``sum (sqrt y - sqrt x)^2``, ``sum y`` and ``sum |ln sqrt x - ln sqrt y|``.
        """
        # |ln sqrt x - ln sqrt y| = ln(max(x, y) / min(x, y)) / 2
        logs = float(np.log(self._product).sum()) + float(np.log(2)) * int(self._powers.sum())
        return float(self._error.sum()), float(self._energy.sum()), logs / 2


@kernel
def windowed(signal: Single, first: int, hop: int, window: Single, frames: Single) -> None:
    """``frames[k] = window * signal[first + k * hop :]``, ``[frames, size]``."""
    for k in range(frames.shape[0]):
        start = first + k * hop
        # Slices begin at zero, so that no index can be negative: the loop is vectorised.
        part, frame = signal[start : start + window.shape[0]], frames[k]
        for n in range(window.shape[0]):
            frame[n] = window[n] * part[n]


def write_filtered(signal: Single, taps: Single, out: Single) -> None:
    """The convolution with an odd number of taps, as long as the signal: numpy's mode ``same``."""
    reach = len(taps) // 2
    rest = -len(taps) % TAPS_TOGETHER
    turned = np.pad(taps[::-1], (0, rest))
    edge, frames = reach + rest, len(signal)
    if frames < 4 * edge:
        _filter(np.pad(signal, edge)[rest:], turned, out)
        return
    # Zeros are needed at the edges only: no padded copy of a song.
    _filter(np.pad(signal[: 2 * edge], (reach, 0)), turned, out[:edge])
    _filter(signal[rest:], turned, out[edge : frames - edge])
    _filter(np.pad(signal[-2 * edge :], (0, edge))[rest:], turned, out[frames - edge :])


@kernel
def _filter(padded: Single, taps: Single, out: Single) -> None:
    """``out[n] = sum_k taps[k] padded[n + k]``."""
    for first in range(0, out.shape[0], PIECE):
        piece = out[first : first + PIECE]
        count = piece.shape[0]
        piece[:] = 0
        for k in range(0, taps.shape[0], TAPS_TOGETHER):
            place = first + k
            a, b = padded[place : place + count], padded[place + 1 : place + 1 + count]
            c, d = padded[place + 2 : place + 2 + count], padded[place + 3 : place + 3 + count]
            for n in range(count):
                near = taps[k] * a[n] + taps[k + 1] * b[n]
                piece[n] += near + (taps[k + 2] * c[n] + taps[k + 3] * d[n])


@kernel
def _point(
    re: np.float32, im: np.float32, other_re: np.float32, other_im: np.float32, floor: np.float32
) -> tuple[np.float32, np.float32, np.float64]:
    """Squared difference of magnitudes, our power, and the larger power over the smaller."""
    y, x = re * re + im * im, other_re * other_re + other_im * other_im
    y = y if y > floor else floor
    x = x if x > floor else floor
    gap = np.sqrt(y) - np.sqrt(x)
    return gap * gap, y, np.float64(x / y if x > y else y / x)


@kernel
def _add(
    ours: Single,
    theirs: Single,
    floor: np.float32,
    error: Double,
    energy: Double,
    product: Double,
    bits: Whole,
    powers: Whole,
) -> None:
    """All but spectra and floor are ``[bins]``, and grow; ``bits`` are those of ``product``."""
    whole = ours.shape[0] // 4 * 4
    for n in range(0, whole, 4):
        a, b, c, d = ours[n], ours[n + 1], ours[n + 2], ours[n + 3]
        e, f, g, h = theirs[n], theirs[n + 1], theirs[n + 2], theirs[n + 3]
        for k in range(error.shape[0]):
            i, j = 2 * k, 2 * k + 1
            gap_a, y_a, ratio_a = _point(a[i], a[j], e[i], e[j], floor)
            gap_b, y_b, ratio_b = _point(b[i], b[j], f[i], f[j], floor)
            gap_c, y_c, ratio_c = _point(c[i], c[j], g[i], g[j], floor)
            gap_d, y_d, ratio_d = _point(d[i], d[j], h[i], h[j], floor)
            error[k] += np.float64((gap_a + gap_b) + (gap_c + gap_d))
            energy[k] += np.float64((y_a + y_b) + (y_c + y_d))
            product[k] *= (ratio_a * ratio_b) * (ratio_c * ratio_d)
        _normalise(bits, powers)
    for n in range(whole, ours.shape[0]):
        a, e = ours[n], theirs[n]
        for k in range(error.shape[0]):
            gap, y, ratio = _point(a[2 * k], a[2 * k + 1], e[2 * k], e[2 * k + 1], floor)
            error[k] += np.float64(gap)
            energy[k] += np.float64(y)
            product[k] *= ratio
        _normalise(bits, powers)


@kernel
def _normalise(bits: Whole, powers: Whole) -> None:
    """Doubles from 1 on become their fractions, from 1 to 2; their powers of two are added up."""
    for k in range(bits.shape[0]):
        powers[k] += (bits[k] >> 52) - 1023
        bits[k] = (bits[k] & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000
