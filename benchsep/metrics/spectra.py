"""Power spectra of sixteen signals at once, each in a lane of vector registers.

Conventions
-----------
lanes       float32 ``[samples, 16]``: a row holds the same sample of sixteen signals
size        samples of a frame, a power of two from 64 to 4096
room        float32 ``[size, 16]``: one frame of all lanes, transformed in place
order       the output of the transform is not sorted: bin ``k`` of ``size / 2`` complex bins is at
            the position with the digits of ``k`` reversed (:func:`bin_places`)

An FFT library transforms frame by frame and needs half its time to move numbers between lanes. With
one signal per lane, no number changes its lane, and one twiddle factor is used for sixteen frames.

A real frame is transformed as ``size / 2`` complex numbers, with even samples as real and odd
samples as imaginary parts; the spectrum of the frame is computed from the result. Lanes never mix,
so equal signals have bit-identical spectra.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.crosslanes import take_sixteen
from benchsep.metrics.framing import interleave
from benchsep.metrics.jit import inner_kernel, kernel
from benchsep.metrics.passes import bin_places, even_passes
from benchsep.metrics.vectors import (
    LANES,
    band_sum,
    bin_magnitudes,
    bin_powers,
    first_pass,
    pair_sums,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from benchsep.metrics.mel import Bank

    Single = NDArray[np.float32]
    Whole = NDArray[np.int64]


IN_CACHE = 512
"""Complex numbers of all lanes that the first-level cache holds."""


@dataclass(frozen=True)
class Plan:
    """Tables for transforms of one size."""

    size: int
    window: Single
    """Periodic Hann window times 1/2, the factor of the conversion to a real spectrum."""
    twiddles: Single
    """``[size / 2, 2]``: ``exp(-2 pi i k / (size / 2))``."""
    halves: Single
    """``[size / 4 + 1, 2]``: ``exp(-2 pi i k / size)``."""
    places: Whole
    """``[size / 4 + 1, 2]``: rows of bins ``k`` and ``size / 2 - k`` in the room."""


@lru_cache(maxsize=16)
def plan(size: int, width: int = 0) -> Plan:
    """The tables of one size. ``width``: length of the window, which is padded with zeros to
    ``size``.
    """
    points, width = size // 2, width or size
    hann = np.zeros(size)
    hann[:width] = 0.25 - 0.25 * np.cos(2 * np.pi * np.arange(width) / width)
    bins = np.arange(size // 4 + 1)
    pairs = np.stack([bins, (points - bins) % points], axis=1)
    return Plan(
        size,
        hann.astype(np.float32),
        _turns(points, points),
        _turns(size, len(bins)),
        np.ascontiguousarray(bin_places(points)[pairs]),
    )


def aligned(rows: int) -> Single:
    """Zeros ``[rows, 16]``, each row aligned to a cache line; without alignment, kernels take twice
    as long.
    """
    room = np.zeros(rows * LANES + LANES - 1, np.float32)
    start = -room.ctypes.data // room.itemsize % LANES
    return room[start : start + rows * LANES].reshape(rows, LANES)


def lanes_with(count: int, own: int, lanes: int) -> Whole:
    """How many of ``lanes`` segments have frame ``k`` of a segment, ``[own]``.

    A signal of ``count`` frames is cut into segments of ``own`` frames; the last ones have fewer.
    """
    left = count - np.arange(own)
    return np.asarray(np.clip(-(-left // own), 0, lanes))


def _turns(points: int, count: int) -> Single:
    angle = -2 * np.pi * np.arange(count) / points
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


@inner_kernel
def transform(
    lanes: Single, first: int, window: Single, twiddles: Single, size: int, room: Single
) -> None:
    """The frame ``lanes[first : first + size]``, windowed, transformed into ``room``."""
    points = size // 2
    block = points // 8
    for k in range(block):
        first_pass(lanes, first + 2 * k, window, 2 * k, twiddles, k, room, 2 * k, 2 * block)
    # An eighth of a large frame stays in the first-level cache for all further passes.
    part = block if points > IN_CACHE else points
    for start in range(0, points, part):
        even_passes(room, twiddles, points, block, start, start + part)


@inner_kernel
def powers(room: Single, places: Whole, halves: Single, out: Single) -> None:
    """Squared magnitudes ``[size / 2 + 1, 16]`` from the output of :func:`transform` in
    ``room``.
    """
    top = 2 * (places.shape[0] - 1)
    for k in range(places.shape[0]):
        bin_powers(room, 2 * places[k, 0], 2 * places[k, 1], halves, 2 * k, out, k, top - k)


@inner_kernel
def magnitudes(room: Single, places: Whole, halves: Single, out: Single) -> None:
    """The square roots of :func:`powers`."""
    top = 2 * (places.shape[0] - 1)
    for k in range(places.shape[0]):
        bin_magnitudes(room, 2 * places[k, 0], 2 * places[k, 1], halves, 2 * k, out, k, top - k)


# --- sums over pairs of spectra -------------------------------------------------------------------

TOGETHER = 128
"""Pairs of bins per partial sum in single precision."""


class PairSums:
    """Sums over spectra of references in lanes 0 to 7, and of estimates in lanes 8 to 15.

    Powers have a lower limit ``floor``. Sums of logarithms are computed as the logarithm of a
    product, whose fraction (1 to 2) and exponent of two are accumulated separately.
    """

    def __init__(self, size: int, floor: float) -> None:
        self.size, self._plan, self._floor = size, plan(size), np.float32(floor)
        self._room, self._out = aligned(size), aligned(size // 2 + 1)
        self._sums = np.zeros((2, LANES))
        self._product, self._powers = np.ones(LANES), np.zeros(LANES, np.int64)

    def add(self, lanes: Single, first: int, hop: int, valid: Whole) -> None:
        """Add frames, one every ``hop`` rows from ``first`` on.

        ``valid[k]``: number of segments of frame ``k`` that count, 0 to 8.
        """
        p = self._plan
        _add_frames(
            lanes, first, hop, valid, self._floor, p.window, p.twiddles, p.halves, p.places,
            self._room, self._out,
            self._sums, self._product, self._product.view(np.int64), self._powers,
        )  # fmt: skip

    def totals(self) -> tuple[float, float, float]:
        """Three sums over powers ``y`` of references and ``x`` of estimates.

        ``sum (sqrt y - sqrt x)^2``, ``sum y`` and ``sum |ln sqrt x - ln sqrt y|``.
        """
        # |ln sqrt x - ln sqrt y| = ln(max(x, y) / min(x, y)) / 2
        logs = float(np.log(self._product).sum()) + float(np.log(2)) * int(self._powers.sum())
        error, energy = self._sums.sum(1).tolist()
        return error, energy, logs / 2


@kernel
def _add_frames(
    lanes: Single,
    first: int,
    hop: int,
    valid: Whole,
    floor: np.float32,
    window: Single,
    twiddles: Single,
    halves: Single,
    places: Whole,
    room: Single,
    out: Single,
    sums: NDArray[np.float64],
    product: NDArray[np.float64],
    bits: Whole,
    exponents: Whole,
) -> None:
    found, counts = np.empty((3, LANES), np.float32), np.empty(LANES, np.int32)
    size = room.shape[0]
    quarter = size // 4
    for frame in range(valid.shape[0]):
        transform(lanes, first + frame * hop, window, twiddles, size, room)
        powers(room, places, halves, out)
        for begin in range(0, quarter, TOGETHER):
            count = min(TOGETHER, quarter - begin)
            pair_sums(out, begin, 2 * quarter - begin, count, floor, found, counts)
            for half in range(0, LANES, 8):
                _grow(found, counts, count, half, valid[frame], sums, product, bits, exponents)
        # The middle bin is its own mirror.
        pair_sums(out, quarter, quarter, 1, floor, found, counts)
        _grow(found, counts, 1, 0, valid[frame], sums, product, bits, exponents)


@inner_kernel
def _grow(
    found: Single,
    counts: NDArray[np.int32],
    count: int,
    first: int,
    valid: int,
    sums: NDArray[np.float64],
    product: NDArray[np.float64],
    bits: Whole,
    exponents: Whole,
) -> None:
    """Add the results of lanes ``first`` to ``first + valid`` to the totals."""
    for lane in range(first, first + valid):
        sums[0, lane] += found[0, lane]
        sums[1, lane] += found[1, lane]
        product[lane] *= found[2, lane]
        exponents[lane] += counts[lane] - 127 * count + (bits[lane] >> 52) - 1023
        bits[lane] = (bits[lane] & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000


# --- bands ----------------------------------------------------------------------------------------

ROWS = 1 << 14
"""Samples of all lanes per block; they fit into the cache."""


def banded(
    signal: Single,
    size: int,
    hop: int,
    bank: Bank,
    *,
    root: bool,
    width: int = 0,
    edge: int = 0,
    least: float = 0.0,
    finish: Callable[[Single], object] | None = None,
) -> Single:
    """Bands ``[frames, bands]`` of a signal's power spectra; with ``root``, of magnitude spectra.

    ``signal`` is ``[samples]``, with ``edge`` zeros added at both ends, and has at least one frame.
    Only complete frames are used. The window has ``width`` samples, by default the whole frame.
    Each lane is a sixteenth of the signal. A band has at least the value ``least``. ``finish`` is
    applied in place to blocks ``[16, frames, bands]`` while they are in the cache; frames of the
    last lanes that are past the signal's last one hold ``least``.
    """
    count = 1 + (len(signal) + 2 * edge - size) // hop
    own = -(-count // LANES)  # frames of a lane
    out = np.empty((LANES * own, len(bank.firsts)), np.float32)
    found = out.reshape(LANES, own, -1)
    step = ROWS // hop
    tables = plan(size, width)
    kept = max(size - hop, 0)  # rows of a block that the next one needs too
    lanes, room, powers = aligned(kept + step * hop), aligned(size), aligned(size // 2 + 1)
    interleave(signal[None], -edge, own * hop, lanes[:kept])
    sums = aligned(len(bank.firsts))
    for first in range(0, own, step):
        now = min(step, own - first)
        interleave(
            signal[None], first * hop + kept - edge, own * hop, lanes[kept : kept + now * hop]
        )
        _write_bands(
            lanes, hop, root, tables.window, tables.twiddles, tables.halves, tables.places,
            bank.firsts, bank.ends, bank.weights, np.float32(least), room, powers, sums,
            found, first, now,
        )  # fmt: skip
        if finish is not None:
            out[count:] = least
            finish(found[:, first : first + now])
        lanes[:kept] = lanes[now * hop : now * hop + kept].copy()
    return out[:count]


@kernel
def _write_bands(
    lanes: Single,
    hop: int,
    root: bool,
    window: Single,
    twiddles: Single,
    halves: Single,
    places: Whole,
    firsts: Whole,
    ends: Whole,
    weights: Single,
    least: np.float32,
    room: Single,
    out: Single,
    sums: Single,
    found: Single,
    first: int,
    count: int,
) -> None:
    """Frames ``first`` to ``first + count`` of ``found``, ``[16, frames, bands]``."""
    own, bands = found.shape[1], found.shape[2]
    whole = bands // LANES * LANES
    starts = np.arange(LANES) * (own * bands) + first * bands
    for frame in range(count):
        transform(lanes, frame * hop, window, twiddles, room.shape[0], room)
        if root:
            magnitudes(room, places, halves, out)
        else:
            powers(room, places, halves, out)
        for band in range(firsts.shape[0]):
            at, stop = ends[band], ends[band + 1]
            if at == stop:
                sums[band] = 0.0
            else:
                band_sum(out, firsts[band], weights, at, stop - at, sums, band)
        _raise_to(least, sums.reshape(-1))
        for band in range(0, whole, LANES):
            take_sixteen(sums, band, found, starts, frame * bands + band)
        for lane in range(LANES):
            row = found[lane, first + frame]
            for band in range(whole, bands):
                row[band] = sums[band, lane]


@inner_kernel
def _raise_to(least: np.float32, values: Single) -> None:
    """Set lower values to ``least``, in place."""
    for k in range(values.shape[0]):
        value = values[k]
        values[k] = least if value < least else value  # no branch, so vector instructions
