"""Bootstrap confidence interval of a mean or a median over songs.

Conventions
-----------
x         one value per song (draws and stems averaged before), shape ``[songs]``; the song is the
          unit of resampling
seed      the same seed gives the same resamples for every comparison, so that an interval does not
          depend on the other computed intervals
few songs below :data:`FEWEST` songs there is no interval: the limits are ``None``, never NaN

Sources: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile) and 14
(BCa); Hesterberg 2015, Am. Stat. 69 (expanded percentiles).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy

from benchsep.errors import UsageError
from benchsep.stats.arrays import STATISTICS, Array, Statistic, one_value_per_song

Method = Literal["auto", "percentile", "bca"]

RESAMPLES = 9999
FEWEST = 5
"""Fewest songs with an interval: three songs have 10 distinct resamples, five have 126."""


@dataclass(frozen=True)
class Interval:
    """A statistic with its confidence limits (``None`` for too few songs)."""

    estimate: float
    low: float | None
    high: float | None
    n: int
    method: str

    def excludes(self, value: float) -> bool:
        """Whether ``value`` is outside the limits; false without limits."""
        if self.low is None or self.high is None:
            return False
        return value < self.low or value > self.high

    @property
    def limits(self) -> tuple[float, float]:
        """``(low, high)`` for columns of a DataFrame; NaN: no limit."""
        return (
            math.nan if self.low is None else self.low,
            math.nan if self.high is None else self.high,
        )


def bootstrap(
    x: Sequence[float] | Array,
    *,
    statistic: Statistic = "mean",
    method: Method = "auto",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    expand: bool = True,
) -> Interval:
    """Confidence interval of the mean or median over songs.

    With ``t*_1 .. t*_B`` the statistic of ``B`` resamples of the songs, the limits are quantiles of
    the ``t*`` at two probabilities. Percentile method: ``Phi(-z)`` and ``Phi(z)``; BCa: see
    :func:`_bca_probabilities`.

    Parameters
    ----------
    x
        One finite value per song ``[songs]``.
    statistic
        Statistic over songs.
    method
        ``auto``: BCa for a mean, percentile for a median (the jackknife of a median has at most two
        distinct values, so BCa's acceleration is meaningless).
    level
        Nominal coverage.
    resamples
        ``B``.
    seed
        Seed of the resamples.
    expand
        Widen the tails for few songs, so that the interval of a mean has Student's width
        instead of the normal width times ``sqrt((n-1)/n)``: without this, nominal 95 % limits cover
        about 93 % for 14 songs. ``False``: the textbook interval.

    Raises
    ------
    UsageError
        there is no value, a value is not finite, or the seed is negative.
    """
    values = one_value_per_song(x)
    if seed < 0:
        raise UsageError(f"found the seed {seed}, expected a whole number from 0")
    used = method if method != "auto" else "bca" if statistic == "mean" else "percentile"
    function = STATISTICS[statistic]
    estimate = float(function(values[None])[0])
    n = len(values)
    if n < FEWEST:
        return Interval(estimate, None, None, n, "too few songs")
    replicates = _replicates(values, function, resamples, seed)
    z = _tail_quantile(n, level, expand)
    if used == "bca":
        probabilities = _bca_probabilities(values, estimate, replicates, function, z)
    else:
        probabilities = (float(scipy.special.ndtr(-z)), float(scipy.special.ndtr(z)))
    low, high = np.quantile(replicates, probabilities)
    return Interval(estimate, float(low), float(high), n, used)


def _replicates(
    values: Array, function: Callable[[Array], Array], resamples: int, seed: int
) -> Array:
    """The statistic of songs drawn with replacement, ``[resamples]``, in blocks of 16 MB."""
    rng, n = np.random.default_rng(seed), len(values)
    block = max(1, 2_000_000 // n)
    parts = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        index = rng.integers(0, n, (rows, n), dtype=np.int32)  # [rows, songs]
        parts.append(function(values[index]))
    return np.concatenate(parts)


def _tail_quantile(n: int, level: float, expand: bool) -> float:
    """``z``: half width of the interval in standard errors of the bootstrap distribution.

    Resampling estimates the variance with ``1/n`` instead of ``1/(n-1)``, and a normal quantile
    ignores that the variance is estimated. Hesterberg's expansion corrects both:
    ``z = sqrt(n / (n-1)) * t_{n-1}``.
    """
    upper = (1 + level) / 2
    if not expand:
        return float(scipy.special.ndtri(upper))
    return float(math.sqrt(n / (n - 1)) * scipy.special.stdtrit(n - 1, upper))


def _bca_probabilities(
    values: Array,
    estimate: float,
    replicates: Array,
    function: Callable[[Array], Array],
    z: float,
) -> tuple[float, float]:
    """Bias-corrected and accelerated (BCa) tail probabilities.

    With the standard normal distribution function ``Phi``:

    bias          ``z0 = Phi^-1(share of replicates below the estimate)``, ties counted half
    acceleration  ``a = sum(u^3) / (6 sum(u^2)^1.5)`` with ``u = mean(J) - J`` and ``J [n]`` the
                  jackknife: the statistic without song i
    limits        ``Phi(z0 + (z0 + q) / (1 - a (z0 + q)))`` for ``q = -z`` and ``q = z``
    """
    below = float((replicates < estimate).mean() + (replicates == estimate).mean() / 2)
    below = min(max(below, 0.5 / len(replicates)), 1 - 0.5 / len(replicates))  # z0 stays finite
    bias = float(scipy.special.ndtri(below))
    n = len(values)
    others = ~np.eye(n, dtype=bool)
    # Row i holds all songs but song i: [n, n] -> [n, n - 1] -> [n].
    jackknife = function(np.broadcast_to(values, (n, n))[others].reshape(n, n - 1))
    influence = jackknife.mean() - jackknife
    scale = float((influence**2).sum() ** 1.5)
    acceleration = float((influence**3).sum()) / (6 * scale) if scale else 0.0

    def probability(quantile: float) -> float:
        shifted = bias + quantile
        return float(scipy.special.ndtr(bias + shifted / (1 - acceleration * shifted)))

    return probability(-z), probability(z)
