"""Common parts of the array statistics: type, check, mean and median over songs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchsep.errors import UsageError

Array = NDArray[np.float64]
Statistic = Literal["mean", "median"]


def _mean(x: Array) -> Array:
    return np.asarray(x.mean(axis=-1))


def _median(x: Array) -> Array:
    return np.asarray(np.median(x, axis=-1))


STATISTICS: Mapping[str, Callable[[Array], Array]] = {"mean": _mean, "median": _median}
"""``[..., songs] -> [...]``."""


def one_value_per_song(x: Sequence[float] | Array) -> Array:
    """``x`` as an array ``[songs]``.

    Raises
    ------
    UsageError
        the array is empty, has another shape, or has a value that is not finite.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise UsageError(f"expected a list of one value per song, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise UsageError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} values are not finite; first "
            "leave out the songs without a value, as stats.aggregate does"
        )
    return values
