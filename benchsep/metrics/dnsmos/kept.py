"""A cache for rows of activations that overlapping windows share: each is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]


class KeptRows:
    """The rows ``[channels, rows, bands]`` of the previous window; empty at first."""

    def __init__(self) -> None:
        self._first = 0
        self._rows: Array | None = None

    def clear(self) -> None:
        """Forget all rows."""
        self._rows = None

    def between(self, begin: int, end: int, compute: Callable[[int, int], Array]) -> Array:
        """Rows ``begin`` to ``end``; rows that are not cached come from ``compute(first, end)``.

        Windows must come in order: rows before ``begin`` are dropped.
        """
        rows = None if self._rows is None else self._rows[:, max(0, begin - self._first) :]
        known = begin + (0 if rows is None else rows.shape[1])
        if rows is None or rows.shape[1] == 0:
            rows = compute(begin, end)
        elif known < end:
            rows = np.concatenate([rows, compute(known, end)], axis=1)
        self._first, self._rows = begin, rows
        return rows
