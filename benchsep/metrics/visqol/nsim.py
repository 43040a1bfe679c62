"""NSIM: the similarity of two patches of spectrograms.

Conventions
-----------
patch      float64 ``[bands, frames]`` in dB above a common floor, so never negative
weights    a 3 x 3 Gaussian; edges are replicated
result     the mean over the patch of *intensity* times *structure*; 1 for equal patches::

               2 mu_r mu_d + C1          sigma_rd + C3
             ---------------------  *  -------------------
             mu_r^2 + mu_d^2 + C1      sigma_r sigma_d + C3

Source: A. Hines and N. Harte, "Speech intelligibility prediction using a Neurogram Similarity
Index Measure", Speech Communication 54 (2012), as in google/visqol 3.3.3
(``neurogram_similiarity_index_measure.cc``). As there, a product of variances that is negative
because of rounding counts as zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

CORNER, SIDE, CENTRE = 0.0113033910173052, 0.0838251475442633, 0.619485845753726
WEIGHTS = np.array([[CORNER, SIDE, CORNER], [SIDE, CENTRE, SIDE], [CORNER, SIDE, CORNER]])
WIDTH = 30
"""Frames of a patch."""
C1 = 0.01**2
C3 = 0.03**2 / 2


@kernel
def band_similarity(
    reference: NDArray[np.float64], degraded: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean similarity of each band, ``[bands]``, of two patches of the same shape."""
    bands, frames = reference.shape
    means = np.zeros(bands)
    for band in range(bands):
        for frame in range(frames):
            # Moments under the 3 x 3 window, which sums to one: mu = sum w x, rr = sum w r^2, ...
            mu_r = mu_d = rr = dd = rd = 0.0
            for i in range(3):
                row = min(max(band + i - 1, 0), bands - 1)
                for j in range(3):
                    column = min(max(frame + j - 1, 0), frames - 1)
                    w, r, d = weights[i, j], reference[row, column], degraded[row, column]
                    mu_r += w * r
                    mu_d += w * d
                    rr += w * (r * r)
                    dd += w * (d * d)
                    rd += w * (r * d)
            # sigma_r^2 = rr - mu_r^2, sigma_d^2 alike, sigma_rd = rd - mu_r mu_d
            variances = (rr - mu_r * mu_r) * (dd - mu_d * mu_d)
            structure = (rd - mu_r * mu_d + C3) / (np.sqrt(max(variances, 0.0)) + C3)
            means[band] += (2 * mu_r * mu_d + C1) / (mu_r * mu_r + mu_d * mu_d + C1) * structure
        means[band] /= frames
    return means


@kernel
def reference_taps(patch: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Precomputed values of a reference patch for NSIM, ``[bands, frames, 5]``.

    The level, the local mean ``mu``, the local standard deviation, ``2 mu`` and ``mu^2 + C1``.
    """
    bands, frames = patch.shape
    taps = np.empty((bands, frames, 5))
    for band in range(bands):
        for frame in range(frames):
            mean = square = 0.0
            for i in range(3):
                row = min(max(band + i - 1, 0), bands - 1)
                for j in range(3):
                    column = min(max(frame + j - 1, 0), frames - 1)
                    value = patch[row, column]
                    mean += weights[i, j] * value
                    square += weights[i, j] * (value * value)
            taps[band, frame, 0] = patch[band, frame]
            taps[band, frame, 1] = mean
            taps[band, frame, 2] = np.sqrt(max(square - mean * mean, 0.0))
            taps[band, frame, 3] = 2.0 * mean
            taps[band, frame, 4] = mean * mean + C1
    return taps


@kernel
def local_moments(levels: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Local mean and standard deviation of every frame, ``[3, 2, bands, frames]``.

    The first axis is the position of the frame in a patch: first (its left neighbour is itself),
    inner, last (its right neighbour is itself).
    """
    bands, frames = levels.shape
    moments = np.empty((3, 2, bands, frames))
    for place in range(3):
        for band in range(bands):
            for frame in range(frames):
                mean = square = 0.0
                for j in range(3):
                    column = frame + j - 1
                    if (place == 0 and j == 0) or (place == 2 and j == 2):
                        column = frame
                    column = min(max(column, 0), frames - 1)
                    for i in range(3):
                        row = min(max(band + i - 1, 0), bands - 1)
                        value = levels[row, column]
                        mean += weights[i, j] * value
                        square += weights[i, j] * (value * value)
                moments[place, 0, band, frame] = mean
                moments[place, 1, band, frame] = np.sqrt(max(square - mean * mean, 0.0))
    return moments
