"""Tests of paired differences over songs, and the correction for many of them.

Conventions
-----------
x  the difference of two systems on each song, shape ``[songs]``, finite

Functions
---------
sign_flip  p value of a difference
holm       family-wise adjusted p values
tost       p value of equivalence within a margin

Sources: Fisher 1935, The Design of Experiments, section 21 (sign flips); Holm 1979, Scand. J.
Stat. 6; Schuirmann 1987, J. Pharmacokinet. Biopharm. 15 (two one-sided tests).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats as sps

from benchsep.errors import UsageError
from benchsep.stats.arrays import STATISTICS, Array, Statistic, one_value_per_song
from benchsep.stats.bootstrap import RESAMPLES

ROUNDING = 1e-12
"""Relative: patterns that equal the observed one except for rounding count as equal."""


def sign_flip(
    x: Sequence[float] | Array,
    *,
    statistic: Statistic = "mean",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Two-sided p value of "the paired differences are symmetric about zero".

    Under this hypothesis each of the ``2^n`` patterns of signs ``s`` is equally likely, and
    ``p = share of patterns with |T(s x)| >= |T(x)|`` for the statistic ``T``.

    Every pattern is enumerated where there are at most ``resamples`` of them (13 songs by
    default), else ``resamples`` of them are drawn; the observed one counts in both cases, so that
    p is never zero.

    Raises
    ------
    UsageError
        no value, or one that is not finite.
    """
    values = one_value_per_song(x)
    n = len(values)
    exact = 2**n <= resamples + 1
    if exact:
        # Bit k of the pattern's number is the sign of song k: [2^n, songs].
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (resamples, n), dtype=np.int8)
    function = STATISTICS[statistic]
    flipped = np.abs(function((1 - 2 * bits) * values))  # [patterns]
    observed = abs(float(function(values[None])[0]))
    hits = int((flipped >= observed - ROUNDING * max(1.0, observed)).sum())
    return hits / len(bits) if exact else (hits + 1) / (resamples + 1)


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
        a margin that is not positive, or fewer than two songs.
    """
    values = one_value_per_song(x)
    n = len(values)
    if margin <= 0:
        raise UsageError(f"an equivalence margin must be positive, got {margin}")
    if n < 2:
        raise UsageError("equivalence needs at least two songs")
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return 0.0 if abs(mean) < margin else 1.0
    lower = sps.t.sf((mean + margin) / error, n - 1)
    upper = sps.t.cdf((mean - margin) / error, n - 1)
    return float(max(lower, upper))
