"""Rows of activations that overlapping windows of a song share, each computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]


class KeptRows:
    """The rows ``[channels, rows, bands]`` that the window before had; none at first."""

    def __init__(self) -> None:
        self._first = 0
        self._rows: Array | None = None

    def clear(self) -> None:
        """Forget all rows."""
        self._rows = None

    def between(self, begin: int, end: int, compute: Callable[[int, int], Array]) -> Array:
        """Rows ``begin`` to ``end``; those that are not kept are ``compute(first, end)``.

        Windows come in order: what lies before ``begin`` is forgotten.
        """
        rows = None if self._rows is None else self._rows[:, max(0, begin - self._first) :]
        known = begin + (0 if rows is None else rows.shape[1])
        if rows is None or rows.shape[1] == 0:
            rows = compute(begin, end)
        elif known < end:
            rows = np.concatenate([rows, compute(known, end)], axis=1)
        self._first, self._rows = begin, rows
        return rows
