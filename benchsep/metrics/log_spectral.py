"""The log-spectral distance of one channel, with segments of the song side by side in lanes.

Conventions
-----------
signals    float32 ``[frames]``; the edges of a signal are reflected by half a window
spectra    powers of Hann windows of ``size`` samples, one every ``hop``
floor      the lowest power that counts, relative to the largest power of the reference

Source: Gray and Markel, "Distance measures for speech processing", IEEE TASSP 24 (1976).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.errors import AudioError
from benchsep.metrics.framing import interleave, reflected
from benchsep.metrics.jit import kernel
from benchsep.metrics.spectra import aligned, lanes_with, plan, powers, transform
from benchsep.metrics.vectors import LANES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Single = NDArray[np.float32]
    Real = NDArray[np.float64]
    Whole = NDArray[np.int64]

STEPS = 16
"""Windows of each lane per block: samples and ratios of a block fit into the cache."""
HALF = LANES // 2
"""Segments of a song: reference and estimate have half of the lanes each."""


def floor_of(reference: Single, size: int, hop: int, span: float) -> np.float32:
    """The lowest power that counts: ``span`` dB below the peak of a reference.

    Raises
    ------
    AudioError
        if it is not longer than half a window, or silent.
    """
    if len(reference) <= size // 2:
        raise AudioError(f"{len(reference)} samples, expected over {size // 2}")
    tables, largest = plan(size), np.zeros(LANES, np.float32)
    room, out = aligned(size), aligned(size // 2 + 1)
    for lanes, valid in _blocks(reflected(size // 2, reference), size, hop):
        _raise_largest(
            lanes, hop, valid, tables.window, tables.twiddles, tables.halves, tables.places,
            room, out, largest,
        )  # fmt: skip
    floor = np.float32(largest.max() * 10 ** (-span / 10))
    if floor <= 0:
        raise AudioError("the reference is silent: there is no peak to measure down from")
    return floor


def distance(reference: Single, estimate: Single, floor: np.float32, size: int, hop: int) -> float:
    """Root mean square over bins of the difference in dB, mean over windows.

    ``reference`` and ``estimate`` are equally long; ``floor`` is :func:`floor_of` the reference.
    """
    tables, bins = plan(size), size // 2 + 1
    room, out = aligned(size), aligned(bins)
    ratios, found = np.empty((STEPS, bins, HALF), np.float32), np.empty((STEPS, HALF))
    total, count = 0.0, 0
    for lanes, valid in _blocks(reflected(size // 2, reference, estimate), size, hop):
        now = len(valid)
        _write_ratios(
            lanes, hop, floor, tables.window, tables.twiddles, tables.halves, tables.places,
            room, out, ratios[:now],
        )  # fmt: skip
        np.log(ratios[:now], out=ratios[:now])  # numpy's logarithm is vectorised, numba's is not
        _sum_squares(ratios[:now], found[:now])
        counted = np.arange(HALF) < valid[:, None]  # [windows, segments]
        total += float(np.sqrt(found[:now][counted] / bins).sum())
        count += int(valid.sum())
    return 10 / float(np.log(10)) * total / count


def _blocks(signals: Single, size: int, hop: int) -> Iterator[tuple[Single, Whole]]:
    """Samples of all lanes, and how many segments have each window of the block.

    ``signals`` is ``[1 or 2, samples]``; each is cut into 16 or 8 segments with the same number of
    windows, the last ones with fewer. The next block overwrites a yielded one.
    """
    segments = LANES // len(signals)
    windows = 1 + (signals.shape[1] - size) // hop
    own = -(-windows // segments)
    lanes = aligned((STEPS - 1) * hop + size)
    for first in range(0, own, STEPS):
        now = min(STEPS, own - first)
        interleave(signals, first * hop, own * hop, lanes)
        yield lanes, lanes_with(range(first, first + now), windows, own, segments)


@kernel
def _raise_largest(
    lanes: Single,
    hop: int,
    valid: Whole,
    window: Single,
    twiddles: Single,
    halves: Single,
    places: Whole,
    room: Single,
    out: Single,
    largest: Single,
) -> None:
    for step in range(valid.shape[0]):
        transform(lanes, step * hop, window, twiddles, room.shape[0], room)
        powers(room, places, halves, out)
        for k in range(out.shape[0]):
            row = out[k]
            if valid[step] == LANES:  # a constant number of lanes, so vector instructions
                for lane in range(LANES):
                    largest[lane] = row[lane] if row[lane] > largest[lane] else largest[lane]
            else:
                for lane in range(valid[step]):
                    largest[lane] = max(largest[lane], row[lane])


@kernel
def _write_ratios(
    lanes: Single,
    hop: int,
    floor: np.float32,
    window: Single,
    twiddles: Single,
    halves: Single,
    places: Whole,
    room: Single,
    out: Single,
    ratios: Single,
) -> None:
    """Power of the estimate over power of the reference, ``[windows, bins, segments]``."""
    for step in range(ratios.shape[0]):
        transform(lanes, step * hop, window, twiddles, room.shape[0], room)
        powers(room, places, halves, out)
        for k in range(out.shape[0]):
            row, ratio = out[k], ratios[step, k]
            for lane in range(HALF):
                above, below = row[HALF + lane], row[lane]
                above = floor if above < floor else above  # no branch, so vector instructions
                below = floor if below < floor else below
                ratio[lane] = above / below


@kernel
def _sum_squares(values: Single, out: Real) -> None:
    """``out[n, s] = sum_k values[n, k, s]^2``."""
    for n in range(values.shape[0]):
        out[n] = 0.0
        for k in range(values.shape[1]):
            for lane in range(HALF):
                value = np.float64(values[n, k, lane])
                out[n, lane] += value * value
