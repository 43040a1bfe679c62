"""Compiled kernels that prepare signals for transforms: windows, filters, lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.crosslanes import lay_sixteen
from benchsep.metrics.jit import kernel
from benchsep.metrics.vectors import FILTERED, LANES, filter_piece

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Single = NDArray[np.float32]


def reflected(edge: int, *signals: Single) -> Single:
    """Signals ``[frames]`` with ``edge`` samples reflected at both ends: ``[signals, frames + 2
    edge]``, as numpy's ``pad`` in mode ``reflect``.
    """
    out = np.empty((len(signals), len(signals[0]) + 2 * edge), np.float32)
    for row, x in zip(out, signals, strict=True):  # numpy's pad and stack would copy twice
        row[edge:-edge] = x
        reflect_edges(row, edge)
    return out


def reflect_edges(row: Single, edge: int) -> None:
    """Fill the first and the last ``edge`` samples of a padded signal with its mirror image."""
    row[:edge] = row[2 * edge : edge : -1]
    row[-edge:] = row[-edge - 2 : -2 * edge - 2 : -1]


def write_filtered(signal: Single, taps: Single, out: Single) -> None:
    """Convolution with an odd number of taps, output as long as the signal (numpy's mode
    ``same``).
    """
    reach, frames = len(taps) // 2, len(signal)
    turned = np.ascontiguousarray(taps[::-1])
    if frames < 4 * reach:
        _filter(np.pad(signal, reach), turned, out)
        return
    # Only the edges need zeros, so the song is not copied.
    _filter(np.pad(signal[: 2 * reach], (reach, 0)), turned, out[:reach])
    _filter(signal, turned, out[reach : frames - reach])
    _filter(np.pad(signal[-2 * reach :], (0, reach)), turned, out[frames - reach :])


@kernel
def _filter(padded: Single, taps: Single, out: Single) -> None:
    """``out[n] = sum_k taps[k] padded[n + k]``."""
    whole = out.shape[0] // FILTERED * FILTERED
    for first in range(0, whole, FILTERED):
        filter_piece(padded[first:], taps, taps.shape[0], out[first:])
    for n in range(whole, out.shape[0]):
        total = np.float32(0)
        for k in range(taps.shape[0]):
            total += taps[k] * padded[n + k]
        out[n] = total


ROWS = 64
"""Rows of lanes per block; they fit into the first-level cache."""


@kernel
def interleave(signals: Single, first: int, step: int, lanes: Single) -> None:
    """``lanes[n, m * segments + s] = signals[m, first + s * step + n]``; zero beyond both ends.

    ``lanes`` is ``[rows, 16]``, with ``16 / len(signals)`` segments per signal.
    """
    length = signals.shape[1]
    segments = LANES // signals.shape[0]
    starts, left = np.empty(LANES, np.int64), np.empty(LANES, np.int64)
    starts_inside = first >= 0
    for lane in range(LANES):
        start = min(first + lane % segments * step, length)
        starts[lane], left[lane] = lane // segments * length + start, length - start
    whole = min(left.min(), lanes.shape[0]) // LANES * LANES if starts_inside else 0
    for row in range(0, whole, LANES):
        lay_sixteen(signals, starts, row, lanes, row)
    for row in range(whole, lanes.shape[0], ROWS):
        for lane in range(LANES):
            begin = length - left[lane] + row
            tile = lanes[row : row + ROWS]
            before = min(max(0, -begin), tile.shape[0])
            part = signals[lane // segments][max(begin + before, 0) : max(begin + ROWS, 0)]
            count = min(part.shape[0], tile.shape[0] - before)
            tile[:before, lane] = 0.0
            for n in range(count):
                tile[before + n, lane] = part[n]
            for n in range(before + count, tile.shape[0]):
                tile[n, lane] = 0.0
