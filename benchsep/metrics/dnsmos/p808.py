"""The P.808 network of DNSMOS on overlapping windows, which share the first four convolutions.

The network reads decibels below the peak of each window of 9.01 s: five convolutions with three
pools between, a global maximum and three dense layers. Most windows have the same peak as the
previous one, because two neighbouring windows overlap by eight seconds. If the features are then
equal, the part before the third pool (lower: nine tenths of the work) is computed for the new
frames only, and again for the 24 outermost frames at either edge: 12 of them depend on the zeros
that pad a window. The rest (upper) is computed for each window, because the position of its pool
relative to the window alternates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.dnsmos.kept import KeptRows
from benchsep.metrics.dnsmos.onnx import subgraph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

_FEATURES = "adjusted_input4"
_ROWS = "mos_estimator_small_1/conv2d_8/Relu:0"
_OPINION = "Identity:0"
_CHANNELS, _BANDS = 32, 120
STEP = 4
"""Frames per row after two pools."""
EDGE = 3
"""Outermost rows of a window that depend on its zero padding."""
EDGE_FRAMES = 2 * EDGE * STEP
"""Outermost frames that these rows are computed from."""


def split_graph(model: bytes) -> tuple[bytes, bytes]:
    """The network before its third pool, and the rest from this pool on."""
    lower = subgraph(model, {_FEATURES: ("N", 1, "T", _BANDS)}, [_ROWS])
    rows = {_ROWS: ("N", _CHANNELS, "T", _BANDS // STEP)}
    return lower, subgraph(model, rows, [_OPINION])


def shared_opinions(
    windows: Iterable[tuple[int, Array]], lower: Any, upper: Any
) -> NDArray[np.float64]:
    """Outputs of the network, MOS ``[windows]``.

    Parameters
    ----------
    windows
        The first frame of each, a multiple of four, rising; and its features ``[frames, 120]``.
    lower, upper
        onnxruntime sessions on the two parts of :func:`split_graph`.
    """
    kept, found = KeptRows(), []
    before: tuple[int, Array] | None = None
    for first, features in windows:
        if first % STEP:
            raise ValueError(f"a window at frame {first}: expected multiples of {STEP}")
        if before is None or not _alike(features, before[1], first - before[0]):
            kept.clear()
        rows = _window(first // STEP, features, kept, lower)
        found.append(upper.run([_OPINION], {_ROWS: rows[None]})[0][0, 0])
        before = first, features
    return np.asarray(found, dtype=np.float64)


def _alike(features: Array, before: Array, hop: int) -> bool:
    """Whether two windows have the same features except in their outermost frames."""
    return hop < len(before) - 2 and np.array_equal(before[1 + hop : -1], features[1 : -1 - hop])


def _window(begin: int, features: Array, kept: KeptRows, lower: Any) -> Array:
    """Rows of the window that starts at row ``begin`` of the song."""

    def rows_of(frames: Array) -> Array:
        return np.asarray(lower.run([_ROWS], {_FEATURES: frames[:, None]})[0])

    def inner(first: int, end: int) -> Array:
        # Three more rows on either side as context; they are discarded.
        frames = features[STEP * (first - EDGE - begin) : STEP * (end + EDGE - begin)]
        rows: Array = rows_of(frames[None])[0]
        return rows[:, EDGE:-EDGE]

    rows = kept.between(begin + EDGE, begin + len(features) // STEP - EDGE, inner)
    head, tail = rows_of(np.stack([features[:EDGE_FRAMES], features[-EDGE_FRAMES:]]))
    return np.concatenate([head[:, :EDGE], rows, tail[:, -EDGE:]], axis=1)
