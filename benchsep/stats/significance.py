"""Tests of paired differences over songs, and the correction for multiple tests.

Conventions
-----------
x  the difference of two systems on each song, shape ``[songs]``, finite

Functions
---------
holm       family-wise adjusted p values
tost       p value of equivalence within a margin

The p value of a difference is in :mod:`benchsep.stats.signflip`.

Sources: Holm 1979, Scand. J. Stat. 6; Schuirmann 1987, J. Pharmacokinet. Biopharm. 15 (two
one-sided tests).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy

from benchsep.errors import UsageError
from benchsep.stats.arrays import Array, one_value_per_song


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given.

    With ``p_(1) <= .. <= p_(m)``: ``adjusted_(i) = min(1, max_{j <= i} (m - j + 1) p_(j))``. The
    probability of one or more false differences among all of them is at most the level.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(v) for v in adjusted]


def tost(x: Sequence[float] | Array, margin: float) -> float:
    """P value of equivalence: below the level, the mean difference is within ``±margin``.

    Two one-sided paired t tests (TOST): the hypotheses ``mean <= -margin`` and ``mean >= margin``
    must both be rejected, so the larger of the two p values counts.

    Raises
    ------
    UsageError
        the margin is not positive, or there are fewer than two songs.
    """
    values = one_value_per_song(x)
    n = len(values)
    if margin <= 0:
        raise UsageError(f"the equivalence margin is {margin}, expected more than 0")
    if n < 2:
        raise UsageError("equivalence needs at least two songs")
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    lower = scipy.special.stdtr(n - 1, -(mean + margin) / error)
    upper = scipy.special.stdtr(n - 1, (mean - margin) / error)
    return float(max(lower, upper))
