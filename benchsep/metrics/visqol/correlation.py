"""Cross-correlation of two long signals in single precision, vectorised over lanes.

Conventions
-----------
points     length of the circular correlation, ``16 n`` with ``n = height * width``
lanes      lane ``j`` of row ``q`` is sample ``16 q + j``. The transform is sixteen transforms of
           ``n`` points, one per lane, and then transforms of sixteen points across lanes
sheet      float32 ``[2 n, 16]``, complex rows ``q = x + width * y``; after the column transforms,
           frequency ``k = y' + height * x'`` is at position ``x' + width * y'``

Both signals form one complex signal, ``first + i second``. It is transformed by columns and then by
rows, each of which fits into the second-level cache. The cross-spectrum is computed from
frequencies ``k`` and ``-k``; the inverse transform computes sixteen real transforms as eight
complex ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.crosslanes import (
    cross_spectra,
    fold_row,
    part_halves,
    scale_halves,
    scale_row,
    transform_rows,
    transpose,
    turn_row,
    turn_row_back,
)
from benchsep.metrics.jit import inner_kernel, kernel
from benchsep.metrics.passes import bin_places, even_passes, odd_pass
from benchsep.metrics.spectra import aligned
from benchsep.metrics.vectors import LANES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Single = NDArray[np.float32]
    Double = NDArray[np.complex128]
    Whole = NDArray[np.int64]

FACTORS = (1, 3, 5, 7)
"""Allowed lengths: one of these times a power of two."""
TOGETHER = 4
"""Columns per block, because memory access to small scattered pieces is slow."""
STEP = 4096
"""Roots of unity come from two tables: for multiples of STEP, and for exponents below STEP."""


@dataclass(frozen=True)
class Plan:
    """Tables for correlations of one length."""

    factor: int
    height: int
    width: int
    columns: Single
    """``[height, 2]``: roots of unity of order ``height``."""
    rows: Single
    """``[width, 2]``: roots of unity of order ``width``."""
    column_order: Whole
    row_order: Whole
    """The position of each bin after a transform."""
    across: Single
    """``[2 width, 16]``: complex rows ``exp(-2 pi i j x / (16 width))``."""
    between: Double
    multiples: Double
    """``exp(-2 pi i k / points)`` for ``k`` up to STEP, and for multiples of STEP."""


def fast_points(points: int) -> int:
    """The smallest allowed length for :func:`correlate` that is at least ``points``."""
    least = max(points, 2 * LANES * LANES)
    return min(f << max(9, math.ceil(math.log2(least / f))) for f in FACTORS)


@lru_cache(maxsize=16)
def _plan(points: int) -> Plan:
    n = points // LANES
    power = (n & -n).bit_length() - 1
    factor = n >> power
    width = 1 << max(4, min(power - 1, round(math.log2(n) / 2)))
    height = n // width
    if factor not in FACTORS or height * width * LANES != points or height % 2:
        raise ValueError(f"{points} points: expected one of fast_points, such as 1 << 20")
    across = _roots(np.outer(np.arange(width), np.arange(LANES)), LANES * width)
    return Plan(
        factor,
        height,
        width,
        _pairs(_roots(np.arange(height), height)),
        _pairs(_roots(np.arange(width), width)),
        bin_places(height, factor),
        bin_places(width),
        _rows(across),
        _roots(np.arange(STEP), points),
        _roots(STEP * np.arange(points // STEP + 1), points),
    )


def _roots(exponents: Whole, order: int) -> Double:
    return np.asarray(np.exp(-2j * np.pi * exponents / order))


def _pairs(values: Double) -> Single:
    return np.stack([values.real, values.imag], axis=1).astype(np.float32)


def _rows(values: Double) -> Single:
    out = aligned(2 * len(values))
    out[::2], out[1::2] = values.real, values.imag
    return out


def sheet(points: int) -> Single:
    """Zeros ``[n, 2, 16]`` for two signals.

    Sample ``16 q + j`` of signal ``s`` is at ``[q, s, j]``.
    ``points`` is one of :func:`fast_points`.
    """
    return aligned(2 * points // LANES).reshape(-1, 2, LANES)


def correlate(signals: Single, reach: int) -> Single:
    """Circular correlation ``c(lag) = sum_t first(t + lag) second(t)``, lags -reach to reach.

    The two signals are those of a :func:`sheet`, which is overwritten; ``reach`` is less than half
    the points.
    """
    points = signals.size // 2
    p, rows = _plan(points), signals.reshape(-1, LANES)
    _transform_columns(p.factor, p.columns, p.column_order, p.between, p.multiples, p.width, rows)
    _cross_rows(
        p.rows, p.row_order, p.across, p.between, p.multiples, p.height, p.width,
        np.float32(0.25 / points), rows,
    )  # fmt: skip
    _return_columns(p.factor, p.columns, p.column_order, p.width, rows)
    stretch = p.width * LANES  # lags that lie side by side
    lags = signals.reshape(p.height, 2 * stretch)[:, :stretch]
    count = reach // stretch + 1
    below, above = lags[-count:].reshape(-1), lags[:count].reshape(-1)
    return np.concatenate([below[len(below) - reach :], above[: reach + 1]])


@inner_kernel
def _root(between: Double, multiples: Double, exponent: int) -> np.complex128:
    root: np.complex128 = multiples[exponent // STEP] * between[exponent % STEP]
    return root


@inner_kernel
def _transform(room: Single, twiddles: Single, points: int, factor: int) -> None:
    """Transform ``points`` complex rows in place; :func:`bin_places` gives the positions of the
    bins.
    """
    if factor > 1:
        odd_pass(room, twiddles, points, points, factor, 0, points)
    even_passes(room, twiddles, points, points // factor, 0, points)


@kernel
def _transform_columns(
    factor: int,
    twiddles: Single,
    order: Whole,
    between: Double,
    multiples: Double,
    width: int,
    sheet: Single,
) -> None:
    """Transform columns and multiply by the roots between the column and row transforms."""
    height = order.shape[0]
    rooms = np.empty((TOGETHER, 2 * height, LANES), np.float32)
    for start in range(0, width, TOGETHER):
        for y in range(height):
            for c in range(TOGETHER):
                row = 2 * (y * width + start + c)
                _copy_two(sheet, row, rooms[c], 2 * y)
        for c in range(TOGETHER):
            _transform(rooms[c], twiddles, height, factor)
        for y in range(height):
            for c in range(TOGETHER):
                x = start + c
                root = _root(between, multiples, LANES * x * y)
                re, im = np.float32(root.real), np.float32(root.imag)
                scale_row(rooms[c], 2 * order[y], re, im, sheet, 2 * (y * width + x))


@inner_kernel
def _copy_two(rows: Single, row: int, out: Single, to: int) -> None:
    for k in range(2):
        for lane in range(LANES):
            out[to + k, lane] = rows[row + k, lane]


@kernel
def _cross_rows(
    twiddles: Single,
    order: Whole,
    across: Single,
    between: Double,
    multiples: Double,
    height: int,
    width: int,
    scale: np.float32,
    sheet: Single,
) -> None:
    """Transform rows, multiply to cross-spectra, and transform back as eight complex numbers per
    row.
    """
    room = np.empty((2 * width, LANES), np.float32)
    common = np.empty((2, LANES), np.float32)
    roots, mirrored = np.empty((width, 2), np.float32), np.empty((width, 2), np.float32)
    for y in range(height // 2 + 1):
        other = (height - y) % height
        for lane in range(LANES):
            root = _root(between, multiples, lane * y)
            common[0, lane], common[1, lane] = root.real, root.imag
        for x in range(width):
            root = _root(between, multiples, LANES * x * y)
            roots[x, 0], roots[x, 1] = root.real, root.imag
            root = _root(between, multiples, LANES * x * other)
            mirrored[x, 0], mirrored[x, 1] = root.real, root.imag
        ours = sheet[2 * width * y : 2 * width * (y + 1)]
        theirs = sheet[2 * width * other : 2 * width * (other + 1)]
        _transform(ours, twiddles, width, 1)
        if other != y:
            _transform(theirs, twiddles, width, 1)
        _cross(ours, theirs, order, across, common, 0 if y == 0 else 1, scale, room)
        _transform(room, twiddles, width, 1)
        for x in range(width):
            eight = 4 * (x // 2) + x % 2
            low, high = 4 * width * y + eight, 4 * width * other + eight
            scale_halves(room, 2 * order[x], roots, mirrored, x, sheet, low, high)


@inner_kernel
def _cross(
    ours: Single,
    theirs: Single,
    order: Whole,
    across: Single,
    common: Single,
    shift: int,
    scale: np.float32,
    room: Single,
) -> None:
    """Cross-spectra of two rows, in the form that the inverse transform needs.

    Frequency ``x`` of ``ours`` is that of ``-shift - x`` of ``theirs``, negative.
    """
    width = order.shape[0]
    a, b = np.empty((2 * LANES, LANES), np.float32), np.empty((2 * LANES, LANES), np.float32)
    turns = np.empty((2 * LANES, LANES), np.float32)
    for start in range(0, width, LANES):
        for k in range(LANES):
            x = start + k
            turn_row(ours, 2 * order[x], across, 2 * x, common, turns, a, k)
            turn_row_back(theirs, 2 * order[(2 * width - shift - x) % width], turns, b, k)
        transpose(a)
        transpose(b)
        transform_rows(a)
        transform_rows(b)
        cross_spectra(a, b, scale)
        transform_rows(a)
        transpose(a)
        for k in range(LANES):
            low, high = start + k, (2 * width - shift - start - k) % width
            fold_row(a, turns, k, room, 4 * low, 4 * high + 1)


@kernel
def _return_columns(factor: int, twiddles: Single, order: Whole, width: int, sheet: Single) -> None:
    """Transform columns back to lags; two neighbouring columns are the halves of a vector.

    Row ``y`` of the sheet has its ``16 width`` lags in its first half.
    """
    height = order.shape[0]
    rooms = np.empty((TOGETHER, 2 * height, LANES), np.float32)
    for start in range(0, width, 2 * TOGETHER):
        for y in range(height):
            for c in range(TOGETHER):
                _copy_two(sheet, 2 * width * y + start + 2 * c, rooms[c], 2 * y)
        for c in range(TOGETHER):
            _transform(rooms[c], twiddles, height, factor)
        for y in range(height):
            for c in range(TOGETHER):
                part_halves(rooms[c], 2 * order[y], sheet, 2 * width * y + start + 2 * c)
