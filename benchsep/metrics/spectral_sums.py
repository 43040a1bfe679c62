"""The inner loops of the multi-resolution STFT distance, compiled.

Conventions
-----------
spectrum    float32 ``[frames, 2 * bins]``: real and imaginary parts in turn
power       squared magnitude, at least ``floor``
sums        float64, over all frames and bins

The bins are the lanes of vector registers, so no sum is reordered. The logarithms of eight ratios
are one logarithm of their product: a ratio of two float32 numbers is below ``2^128``, so the
product of eight has room in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Single = NDArray[np.float32]
    Double = NDArray[np.float64]

TOGETHER = 8
"""Ratios that share a logarithm."""


def spectral_sums(ours: Single, theirs: Single, floor: np.float32) -> tuple[float, float, float]:
    """Sums over two spectra of the same shape ``[frames, 2 * bins]``.

    Returns
    -------
    tuple
        For powers ``y`` (ours) and ``x`` (theirs): ``sum (sqrt y - sqrt x)^2``, ``sum y`` and
        ``sum |ln sqrt x - ln sqrt y|``.
    """
    frames, bins = ours.shape[0], ours.shape[1] // 2
    error, energy = np.zeros(bins), np.zeros(bins)
    ratios = np.ones((-(-frames // TOGETHER), bins))
    _add(ours, theirs, floor, error, energy, ratios)
    # |ln sqrt x - ln sqrt y| = ln(max(x, y) / min(x, y)) / 2
    logs = float(np.log(ratios, out=ratios).sum()) / 2
    return float(error.sum()), float(energy.sum()), logs


@kernel
def windowed(signal: Single, first: int, hop: int, window: Single, frames: Single) -> None:
    """``frames[k] = window * signal[first + k * hop :]``, ``[frames, size]``."""
    for k in range(frames.shape[0]):
        start = first + k * hop
        for n in range(window.shape[0]):
            frames[k, n] = window[n] * signal[start + n]


@kernel
def _add(
    ours: Single, theirs: Single, floor: np.float32, error: Double, energy: Double, ratios: Double
) -> None:
    """``error``, ``energy`` ``[bins]`` grow; ``ratios[k]`` are products of eight frames' ratios."""
    for n in range(ours.shape[0]):
        first, second, product = ours[n], theirs[n], ratios[n // TOGETHER]
        for k in range(error.shape[0]):
            y = first[2 * k] * first[2 * k] + first[2 * k + 1] * first[2 * k + 1]
            x = second[2 * k] * second[2 * k] + second[2 * k + 1] * second[2 * k + 1]
            y = y if y > floor else floor
            x = x if x > floor else floor
            gap = np.sqrt(y) - np.sqrt(x)
            error[k] += np.float64(gap * gap)
            energy[k] += np.float64(y)
            product[k] *= np.float64(x / y if x > y else y / x)
