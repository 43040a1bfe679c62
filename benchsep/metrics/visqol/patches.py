"""Matches patches of the reference with patches of the estimate.

Conventions
-----------
patch      30 frames (0.6 s) of all bands; reference patches begin at frames 14, 44, 74, ...
offset     the frame of the estimate at which its patch begins
profile    the NSIM of one reference patch with the patch at every offset of its search window,
           which is 60 patches (36 s) to each side

Dynamic programming chooses one offset per reference patch, strictly ascending, that maximise the
sum of similarities; a reference patch may also be marked as lost. The whole window is searched.

Source: google/visqol 3.3.3, ``image_patch_creator.cc`` and ``comparison_patches_selector.cc``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.jit import kernel
from benchsep.metrics.visqol import nsim
from benchsep.metrics.visqol.profile import MARGIN, similarity_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEARCH = 60 * nsim.WIDTH
"""Size of the search window to each side, in frames."""

MINIMUM_FRAMES = nsim.WIDTH + nsim.WIDTH // 2
"""Frames of the shortest reference with one patch."""


def patch_starts(frames: int) -> NDArray[np.int64]:
    """First frames of the reference patches; empty if the reference is too short."""
    if frames < MINIMUM_FRAMES:
        return np.empty(0, dtype=np.int64)
    first = nsim.WIDTH // 2
    stop = frames - nsim.WIDTH if first < frames - nsim.WIDTH else first + 1
    return np.arange(first, stop, nsim.WIDTH, dtype=np.int64) - 1


def match(
    reference: NDArray[np.float64],
    estimate: NDArray[np.float64],
    starts: NDArray[np.int64],
    search: int = SEARCH,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The offset in the estimate of each reference patch, and whether the patch is lost.

    Levels are ``[bands, frames]`` above their common floor. Patches at the end that exceed the
    estimate by more than half a patch are left out, so there may be fewer offsets than starts, or
    none.
    """
    frames = estimate.shape[1]
    count = len(starts)
    while count and starts[count - 1] - nsim.WIDTH // 2 > frames:
        count -= 1
    if count == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    # One frame before (an edge whose tap is zero) and, as in the original, silence after the end.
    padded = np.zeros((len(estimate), 1 + frames + nsim.WIDTH + MARGIN))
    padded[:, 1 : frames + 1] = estimate
    moments = nsim.local_moments(padded, nsim.WEIGHTS)
    before = np.zeros(frames)
    lows = np.maximum(0, starts[:count] - search)
    origins = np.zeros((count, min(frames, 2 * search + 1)), dtype=np.int32)
    # With s_i(o) the NSIM of reference patch i at offset o of the estimate, the highest sum over
    # strictly rising offsets is
    #     T_0(o) = s_0(o)
    #     T_i(o) = max( s_i(o) + max_{p < o} T_{i-1}(p),      patch i is at offset o
    #                   T_{i-1}(o) )                          patch i is lost
    # One pass over o updates the inner maximum, so a patch takes 3,601 steps and not their square.
    for patch, start in enumerate(starts[:count]):
        low, high = lows[patch], min(frames - 1, start + search)
        taps = nsim.reference_taps(reference[:, start : start + nsim.WIDTH], nsim.WEIGHTS)
        profile = np.empty(high - low + 1)
        similarity_profile(taps, padded, moments, low + 1, profile)
        totals = np.zeros(frames)  # T_i; before is T_{i-1}
        if patch == 0:
            totals[low : high + 1], origins[0] = profile, -1
        else:
            _extend(before, profile, low, lows[patch - 1], totals, origins[patch])
        before = totals
    return _trace(origins, lows, low + int(np.argmax(before[low : high + 1])))


@kernel
def _extend(
    before: NDArray[np.float64],
    profile: NDArray[np.float64],
    low: int,
    behind: int,
    totals: NDArray[np.float64],
    origins: NDArray[np.int32],
) -> None:
    """One step of the dynamic programming: the highest total for each offset, and its previous
    offset.

    ``before`` and ``totals`` span all frames, zero outside of the patch's window; the patch
    before has a window from ``behind`` on; ``origins`` begins at ``low``. If an origin equals its
    offset, the patch is lost.
    """
    best, best_at = -np.inf, -1
    for offset in range(low, low + profile.shape[0]):
        while behind < offset:
            # Of equal totals, the latest offset is taken.
            if before[behind] >= best:
                best, best_at = before[behind], behind
            behind += 1
        # best = max_{p < offset} T_{i-1}(p), reached at best_at
        total, origin = profile[offset - low] + best, best_at
        if before[offset] > total:
            total, origin = before[offset], offset
        totals[offset] = total
        origins[offset - low] = origin


@kernel
def _trace(
    origins: NDArray[np.int32], lows: NDArray[np.int64], offset: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Backtrack from the best offset of the last patch."""
    count = origins.shape[0]
    offsets = np.empty(count, dtype=np.int64)
    lost = np.zeros(count, dtype=np.bool_)
    for patch in range(count - 1, -1, -1):
        offsets[patch] = offset
        place = offset - lows[patch]
        # Totals of dissimilar patches can be below the zeros outside of a window, so the path may
        # leave it; the original's table of origins has zeros there.
        origin = origins[patch, place] if 0 <= place < origins.shape[1] else 0
        lost[patch] = origin == offset
        offset = origin
    return offsets, lost
