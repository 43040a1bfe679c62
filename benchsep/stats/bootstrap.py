"""Statistics over arrays of songs: intervals, tests, equivalence, letters, variance, power.

Conventions
-----------
- the song is the unit of resampling: ``x`` has one value per song (draws and stems averaged
  before), shape ``[songs]``; two systems meet as the difference of their values on a song
- everything random takes a ``seed``; the same seed resamples the same songs for every
  comparison, so a result does not depend on which other comparisons are made
- ``None`` stands for what the data cannot give (an interval of three songs), never NaN

Functions
---------
bootstrap        percentile or BCa interval of a mean or a median
sign_flip        permutation p value of a paired difference
holm             family-wise adjusted p values
tost             equivalence within a margin
letters          compact letter display: systems that share a letter cannot be told apart
components       variance split into song, seed and residual
songs_needed     sample size of a paired comparison; ``detectable`` is its inverse
wilson           interval of a rate

Sources: Efron & Tibshirani 1993 (ch. 14: BCa); Hesterberg 2015, Am. Stat. 69 (expanded
percentiles); Holm 1979; Schuirmann 1987 (TOST); Piepho 2004, JCGS 13 (letters); Wilson 1927.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats as sps

from benchsep.errors import UsageError

Array = NDArray[np.float64]
Statistic = Literal["mean", "median"]
Method = Literal["auto", "percentile", "bca"]

RESAMPLES = 9999
FEWEST = 5
"""Fewer songs than this have no interval: resampling three songs only looks like one."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence limits (``None`` where there are too few songs)."""

    estimate: float
    low: float | None
    high: float | None
    n: int
    method: str

    def excludes(self, value: float) -> bool:
        if self.low is None or self.high is None:
            return False
        return value < self.low or value > self.high


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

    Parameters
    ----------
    x
        One finite value per song.
    method
        ``auto``: BCa for a mean, percentile for a median (its jackknife is degenerate, so BCa's
        acceleration means nothing there).
    expand
        Widen the tails for few songs, so that the interval of a mean has Student's width
        and not the normal's times sqrt((n-1)/n): plain limits cover about 93 % at 14 songs
        where 95 % was asked. ``False`` gives the textbook interval.

    Raises
    ------
    UsageError
        no value, or one that is not finite.
    """
    values = _checked(x)
    chosen = method if method != "auto" else "bca" if statistic == "mean" else "percentile"
    function = _FUNCTIONS[statistic]
    estimate = float(function(values[None])[0])
    n = len(values)
    if n < FEWEST:
        return Interval(estimate, None, None, n, "too few songs")
    replicates = _replicates(values, function, resamples, seed)
    z = _tail(n, level, expand)
    if chosen == "bca":
        probabilities = _bca(values, estimate, replicates, function, z)
    else:
        probabilities = (float(sps.norm.cdf(-z)), float(sps.norm.cdf(z)))
    low, high = np.quantile(replicates, probabilities)
    return Interval(estimate, float(low), float(high), n, chosen)


def _mean(x: Array) -> Array:
    return np.asarray(x.mean(axis=-1))


def _median(x: Array) -> Array:
    return np.asarray(np.median(x, axis=-1))


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {"mean": _mean, "median": _median}


def _checked(x: Sequence[float] | Array) -> Array:
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise UsageError(f"expected a list of one value per song, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise UsageError(
            f"{int((~np.isfinite(values)).sum())} of {len(values)} values are not finite; "
            "drop the songs without a value first (stats.aggregate does)"
        )
    return values


def _replicates(
    values: Array, function: Callable[[Array], Array], resamples: int, seed: int
) -> Array:
    """The statistic of songs drawn with replacement, ``[resamples]``, in blocks of 16 MB."""
    rng, n = np.random.default_rng(seed), len(values)
    block = max(1, 2_000_000 // n)
    parts = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        parts.append(function(values[rng.integers(0, n, (rows, n), dtype=np.int32)]))
    return np.concatenate(parts)


def _tail(n: int, level: float, expand: bool) -> float:
    """Half width of the interval in standard errors of the bootstrap distribution."""
    upper = (1 + level) / 2
    if not expand:
        return float(sps.norm.ppf(upper))
    return float(math.sqrt(n / (n - 1)) * sps.t.ppf(upper, n - 1))


def _bca(
    values: Array,
    estimate: float,
    replicates: Array,
    function: Callable[[Array], Array],
    z: float,
) -> tuple[float, float]:
    """Bias-corrected and accelerated tail probabilities."""
    below = float((replicates < estimate).mean() + (replicates == estimate).mean() / 2)
    below = min(max(below, 0.5 / len(replicates)), 1 - 0.5 / len(replicates))
    bias = float(sps.norm.ppf(below))
    n = len(values)
    kept = ~np.eye(n, dtype=bool)
    jackknife = function(np.broadcast_to(values, (n, n))[kept].reshape(n, n - 1))
    pull = jackknife.mean() - jackknife
    spread = float((pull**2).sum() ** 1.5)
    acceleration = float((pull**3).sum()) / (6 * spread) if spread else 0.0

    def probability(quantile: float) -> float:
        shifted = bias + quantile
        return float(sps.norm.cdf(bias + shifted / (1 - acceleration * shifted)))

    return probability(-z), probability(z)


def sign_flip(
    x: Sequence[float] | Array,
    *,
    statistic: Statistic = "mean",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> float:
    """Two-sided p value of "the paired differences are symmetric about zero".

    Every sign pattern is enumerated where there are at most ``resamples`` of them (13 songs by
    default), else drawn; the observed one counts, so that p is never zero.
    """
    values = _checked(x)
    n = len(values)
    exact = 2**n <= resamples + 1
    if exact:
        bits = np.arange(2**n)[:, None] >> np.arange(n) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (resamples, n), dtype=np.int8)
    function = _FUNCTIONS[statistic]
    flipped = np.abs(function((1 - 2 * bits) * values))
    observed = abs(float(function(values[None])[0]))
    # Patterns equal to the observed one but for rounding must count as equal.
    hits = int((flipped >= observed - 1e-12 * max(1.0, observed)).sum())
    return hits / len(bits) if exact else (hits + 1) / (resamples + 1)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(v) for v in adjusted]


def tost(x: Sequence[float] | Array, margin: float) -> float:
    """P value of equivalence: small says that the mean difference lies within ``±margin``.

    Two one-sided paired t tests; the larger p counts.

    Raises
    ------
    UsageError
        a margin that is not positive, or fewer than two songs.
    """
    values = _checked(x)
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


def letters(names: Sequence[str], differ: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Compact letter display: two names share a letter exactly when they do not ``differ``.

    Parameters
    ----------
    names
        Best first; the best gets ``a``.
    differ
        Pairs that were told apart (order within a pair does not matter).
    """
    columns: list[set[str]] = [set(names)]
    for one, other in sorted({tuple(sorted(pair, key=names.index)) for pair in differ}):
        for column in [c for c in columns if one in c and other in c]:
            columns.remove(column)
            columns += [column - {one}, column - {other}]
        # Absorb: a column inside another says nothing that the larger does not.
        unique = [c for i, c in enumerate(columns) if c not in columns[:i]]
        columns = [c for c in unique if not any(c < d for d in unique)]
    columns.sort(key=lambda column: sorted(names.index(name) for name in column))
    return {
        name: "".join(_letter(i) for i, column in enumerate(columns) if name in column)
        for name in names
    }


def _letter(index: int) -> str:
    """The letter of a group: a to z, then a1 to z1, however many there are."""
    return chr(ord("a") + index % 26) + (str(index // 26) if index >= 26 else "")


@dataclass(frozen=True)
class Components:
    """Variances of one score: between songs, between seeds, and what is left.

    Each is an unbiased estimate and may come out below zero when the true one is near zero;
    :meth:`shares` sets those to zero.
    """

    song: float
    seed: float
    residual: float
    songs: int
    draws: int

    def shares(self) -> dict[str, float]:
        parts = {k: max(getattr(self, k), 0.0) for k in ("song", "seed", "residual")}
        total = sum(parts.values())
        return {k: v / total if total else 0.0 for k, v in parts.items()}


def components(x: Array) -> Components:
    """Split the variance of ``x`` ``[songs, draws]`` (two-way random effects, one per cell).

    Solves the expected mean squares: ``E[MS_song] = residual + draws * song`` and
    ``E[MS_seed] = residual + songs * seed``. With one value per cell the residual holds the
    song-by-seed interaction, which for a generative system is most of its luck.

    Raises
    ------
    UsageError
        fewer than two songs or two draws.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise UsageError(f"variance needs at least 2 songs and 2 draws, got {values.shape}")
    songs, draws = values.shape
    centre = values.mean()
    row, column = values.mean(axis=1) - centre, values.mean(axis=0) - centre
    rest = values - centre - row[:, None] - column[None]
    ms_song = draws * float((row**2).sum()) / (songs - 1)
    ms_seed = songs * float((column**2).sum()) / (draws - 1)
    ms_rest = float((rest**2).sum()) / ((songs - 1) * (draws - 1))
    return Components(
        (ms_song - ms_rest) / draws, (ms_seed - ms_rest) / songs, ms_rest, songs, draws
    )


def power(effect: float, sd: float, songs: int, *, alpha: float = 0.05) -> float:
    """Power of a two-sided paired t test."""
    if songs < 2:
        return 0.0
    if sd == 0:
        return 1.0 if effect else alpha
    edge = float(sps.t.ppf(1 - alpha / 2, songs - 1))
    shift = abs(effect) / sd * math.sqrt(songs)
    if shift > edge + 20:
        return 1.0  # SciPy's noncentral t gives NaN far out, where the answer is plain
    found = sps.nct.sf(edge, songs - 1, shift) + np.nan_to_num(sps.nct.cdf(-edge, songs - 1, shift))
    return float(found)


def songs_needed(
    effect: float, sd: float, *, target: float = 0.8, alpha: float = 0.05, most: int = 1_000_000
) -> int:
    """Fewest songs that show a paired ``effect`` with power ``target``.

    Raises
    ------
    UsageError
        an effect of zero, or one that needs more than ``most`` songs.
    """
    if effect == 0 or not math.isfinite(effect):
        raise UsageError(f"the effect must be a number other than zero, got {effect}")
    low, high = 1, 2
    while power(effect, sd, high, alpha=alpha) < target:
        low, high = high, high * 2
        if low > most:
            raise UsageError(f"an effect of {effect:g} at sd {sd:g} needs over {most} songs")
    while high - low > 1:
        middle = (low + high) // 2
        if power(effect, sd, middle, alpha=alpha) < target:
            low = middle
        else:
            high = middle
    return high


def detectable(sd: float, songs: int, *, target: float = 0.8, alpha: float = 0.05) -> float | None:
    """Smallest paired effect that ``songs`` songs show with power ``target``."""
    if songs < 2:
        return None
    if sd == 0:
        return 0.0
    from scipy.optimize import brentq

    def lack(effect: float) -> float:
        return power(effect, sd, songs, alpha=alpha) - target

    return float(brentq(lack, 0.0, 100 * sd, xtol=1e-6 * sd))


def wilson(hits: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Interval of a rate; sensible at 0 and 1, where the normal one has no width."""
    z = float(sps.norm.ppf((1 + level) / 2))
    rate = hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    """All unordered pairs in the order of ``names``."""
    return list(itertools.combinations(names, 2))


def plain(value: Any) -> float | None:
    """A float for JSON: ``None`` for NaN and infinities."""
    return float(value) if value is not None and math.isfinite(value) else None
