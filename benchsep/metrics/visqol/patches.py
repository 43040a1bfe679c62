"""Which patch of the estimate belongs to which patch of the reference.

Conventions
-----------
patch      30 frames (0.6 s) of all bands; reference patches begin at frames 14, 44, 74, ...
offset     the frame of the estimate at which its patch begins
profile    the NSIM of one reference patch with the patch at every offset of its search window,
           60 patches (36 s) to each side

A dynamic programme chooses one offset for each reference patch, strictly rising, so that the
similarities add up highest; a reference patch may also be declared lost. The whole window is
searched, for any material: it costs less than to find out where it could be narrower.

Source: google/visqol 3.3.3, ``image_patch_creator.cc`` and ``comparison_patches_selector.cc``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.visqol import nsim
from benchsep.metrics.visqol.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH = 30
SEARCH = 60 * WIDTH
"""Frames to each side."""

MINIMUM_FRAMES = WIDTH + WIDTH // 2
"""Frames of the shortest reference that holds a patch."""


def patch_starts(frames: int) -> NDArray[np.int64]:
    """First frames of the reference patches; none when the reference is too short."""
    if frames < MINIMUM_FRAMES:
        return np.empty(0, dtype=np.int64)
    first = WIDTH // 2
    stop = frames - WIDTH if first < frames - WIDTH else first + 1
    return np.arange(first, stop, WIDTH, dtype=np.int64) - 1


def match(
    reference: NDArray[np.float64], estimate: NDArray[np.float64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The offset in the estimate of each reference patch, and whether the patch is lost.

    Levels are ``[bands, frames]`` above their common floor. Patches at the end for which the
    estimate is too short by more than half a patch are left out: fewer offsets than starts, or
    none, may come back.
    """
    frames = estimate.shape[1]
    count = len(starts)
    while count and starts[count - 1] - WIDTH // 2 > frames:
        count -= 1
    if count == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    # One frame before (an edge whose tap is zero) and, as in the original, silence after the end.
    padded = np.zeros((len(estimate), 1 + frames + WIDTH + nsim.BLOCK + 1))
    padded[:, 1 : frames + 1] = estimate
    moments = nsim.local_moments(padded, nsim.WEIGHTS)
    totals, origins = _programme(reference, padded, moments, starts[:count], frames, nsim.WEIGHTS)
    return _trace(totals, origins, starts[:count], frames)


@kernel
def _programme(
    reference: NDArray[np.float64],
    padded: NDArray[np.float64],
    moments: NDArray[np.float64],
    starts: NDArray[np.int64],
    frames: int,
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Highest total up to each (patch, offset), and the offset of the patch before."""
    totals = np.zeros((starts.shape[0], frames))
    origins = np.zeros((starts.shape[0], frames), dtype=np.int32)
    profile = np.empty(frames)
    for patch in range(starts.shape[0]):
        start = starts[patch]
        low, high = max(0, start - SEARCH), min(frames - 1, start + SEARCH)
        taps = nsim.reference_taps(reference[:, start : start + WIDTH], weights)
        nsim.similarity_profile(taps, padded, moments, low + 1, profile[: high - low + 1])
        best, best_at = -np.inf, -1
        behind = 0 if patch == 0 else max(0, starts[patch - 1] - SEARCH)
        for offset in range(low, high + 1):
            total, origin = profile[offset - low], -1
            if patch > 0:
                # Of equal totals the latest offset wins.
                while behind < offset:
                    if totals[patch - 1, behind] >= best:
                        best, best_at = totals[patch - 1, behind], behind
                    behind += 1
                total, origin = total + best, best_at
                if totals[patch - 1, offset] > total:
                    total, origin = totals[patch - 1, offset], offset
            totals[patch, offset] = total
            origins[patch, offset] = origin
    return totals, origins


@kernel
def _trace(
    totals: NDArray[np.float64],
    origins: NDArray[np.int32],
    starts: NDArray[np.int64],
    frames: int,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    last = starts.shape[0] - 1
    low, high = max(0, starts[last] - SEARCH), min(frames - 1, starts[last] + SEARCH)
    offset = low + int(np.argmax(totals[last, low : high + 1]))
    offsets = np.empty(last + 1, dtype=np.int64)
    lost = np.zeros(last + 1, dtype=np.bool_)
    for patch in range(last, -1, -1):
        offsets[patch] = offset
        lost[patch] = origins[patch, offset] == offset
        offset = origins[patch, offset]
    return offsets, lost
