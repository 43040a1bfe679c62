"""The number of listeners that a metric is worth.

``A(n)`` is the share of pairs of systems that the mean of ``n`` listeners orders like the other
listeners; it increases with ``n``. ``M`` is the share of pairs that a metric orders like the same
other listeners. The metric is worth the ``n`` with ``A(n) = M``.

Conventions
-----------
split     the listeners of a song are split at random into ``n`` and the rest, many times; both
          shares are means over splits, then over songs. If not every listener rated every clip of a
          song, the ratings of each clip are split instead
ties      in the rest: no pair; in the metric or the ``n`` listeners: half a hit, like a guess.
          (:mod:`benchsep.listeners.agreement` counts a metric's tie as a miss.)
n         from 1 to half of the listeners of a song; ``A(0) = 1/2`` (chance); linear interpolation
          between integers
interval  percentile bootstrap over songs, of the crossing
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchsep.errors import UsageError
from benchsep.listeners.scopes import FAMILIES
from benchsep.stats.bootstrap import FEWEST

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
SPLITS = 200
RESAMPLES = 2000


@dataclass(frozen=True)
class Curves:
    """Shares per song: of listeners ``[songs, n]``, and of each metric ``[songs, n]``."""

    counts: tuple[int, ...]
    listeners: Array
    metrics: Mapping[str, Array]

    def agreement(self, n: int) -> float:
        """``A(n)``, the mean over songs."""
        return float(_mean(self.listeners)[self.counts.index(n)])


@dataclass(frozen=True)
class Worth:
    """A number of listeners with its interval; ``inf``: more than the study can show."""

    listeners: float
    low: float
    high: float
    most: int

    def __str__(self) -> str:
        return f"{self._text(self.listeners)} [{self._text(self.low)}, {self._text(self.high)}]"

    def _text(self, value: float) -> str:
        if math.isnan(value):
            return "-"
        return f">{self.most}" if math.isinf(value) else f"{value:.1f}"


def curves(
    ratings: pd.DataFrame,
    metrics: Mapping[str, int],
    *,
    scope: str | None = None,
    splits: int = SPLITS,
    seed: int = 0,
) -> Curves:
    """Agreement of ``n`` listeners, and of metrics, with the remaining listeners.

    Parameters
    ----------
    ratings
        A row per rating: ``song stem system family rater rating`` and the metrics' columns.
    metrics
        Column to its direction, +1 or -1.
    scope
        One of :data:`benchsep.listeners.scopes.SCOPES`; ``None``: all pairs.

    Raises
    ------
    UsageError
        all songs have fewer than two listeners, or there is no pair.
    """
    systems = ratings[ratings["family"].isin(FAMILIES)]
    songs = [
        _Song.of(rows, tuple(metrics), scope)
        for _, rows in systems.groupby(["song", "stem"], sort=True)
    ]
    songs = [song for song in songs if song.listeners >= 2 and len(song.pairs)]
    if not songs:
        raise UsageError("no song with two listeners and a pair of systems to order")
    counts = tuple(range(1, min(song.listeners for song in songs) // 2 + 1))
    rng = np.random.default_rng(seed)
    found = [song.shares(counts, metrics, splits, rng) for song in songs]
    return Curves(
        counts,
        np.stack([listeners for listeners, _ in found]),
        {name: np.stack([each[name] for _, each in found]) for name in metrics},
    )


def worth(found: Curves, metric: str, *, resamples: int = RESAMPLES, seed: int = 0) -> Worth:
    """The ``n`` at which the listeners' curve reaches the metric's agreement, over the songs with
    both.

    NaN below :data:`benchsep.stats.bootstrap.FEWEST` songs.
    """
    judged = ~np.isnan(found.metrics[metric][:, 0])
    listeners, other = found.listeners[judged], found.metrics[metric][judged]
    songs, most = len(listeners), found.counts[-1]
    if songs < FEWEST:
        return Worth(math.nan, math.nan, math.nan, most)
    value = crossing(_mean(listeners), _mean(other))
    rng = np.random.default_rng(seed)
    draws = [
        crossing(_mean(listeners[pick]), _mean(other[pick]))
        for pick in rng.integers(songs, size=(resamples, songs))
    ]
    # no interpolation, because some resamples are infinite
    low, high = (float(np.quantile(draws, q, method="nearest")) for q in (0.025, 0.975))
    return Worth(value, low, high, most)


def crossing(listeners: Sequence[float] | Array, metric: Sequence[float] | Array) -> float:
    """The ``n`` at which ``listeners [n]`` reaches ``metric [n]``, n from 1; ``inf``: nowhere.

    Below one listener, the line from chance (0, 1/2) is used; a metric at or below chance is worth
    0.
    """
    gap_before = 0.5 - float(metric[0])
    if gap_before >= 0:
        return 0.0
    for n, (a, m) in enumerate(zip(listeners, metric, strict=True)):
        gap = float(a) - float(m)
        if gap >= 0:
            return n + gap_before / (gap_before - gap) if gap != gap_before else float(n)
        gap_before = gap
    return math.inf


def _mean(shares: Array) -> Array:
    """Mean over songs ``[songs, n]`` to ``[n]``; songs without a share are left out."""
    known = ~np.isnan(shares)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, shares, 0).sum(0) / known.sum(0))


@dataclass(frozen=True)
class _Song:
    """Ratings ``[clips, n]``, metrics ``[clips]``, pairs ``[P, 2]``.

    ``together``: column k of the ratings is one listener, who rated all clips.
    """

    ratings: Array
    metrics: Mapping[str, Array]
    pairs: NDArray[np.intp]
    together: bool

    @property
    def listeners(self) -> int:
        return int(self.ratings.shape[1])

    @classmethod
    def of(cls, rows: pd.DataFrame, metrics: tuple[str, ...], scope: str | None) -> _Song:
        table = rows.pivot_table(index="system", columns="rater", values="rating", sort=True)
        first = rows.groupby("system").first().loc[table.index]
        family = list(first["family"])
        pairs = [
            (i, j)
            for i, j in combinations(range(len(table)), 2)
            if scope in (None, family[i] if family[i] == family[j] else "across")
        ]
        values = {name: first[name].to_numpy(dtype=np.float64) for name in metrics}
        ratings = table.to_numpy(dtype=np.float64)
        together = not np.isnan(ratings).any()
        if not together:
            each = [row[~np.isnan(row)] for row in ratings]
            ratings = np.stack([row[: min(map(len, each))] for row in each])
        return cls(ratings, values, np.array(pairs, int).reshape(-1, 2), together)

    def shares(
        self,
        counts: tuple[int, ...],
        metrics: Mapping[str, int],
        splits: int,
        rng: np.random.Generator,
    ) -> tuple[Array, dict[str, Array]]:
        """Shares ``[counts]`` of the listeners and of each metric, means over splits."""
        clips = len(self.ratings)
        order = np.argsort(rng.random((1 if self.together else clips, splits, self.listeners)))
        shuffled = np.take_along_axis(
            self.ratings[:, None], np.broadcast_to(order, (clips, splits, self.listeners)), 2
        )  # [clips, splits, listeners]
        listeners, other = [], {name: [] for name in metrics}  # type: ignore[var-annotated]
        signs = {
            name: direction * self._differences(self.metrics[name])
            for name, direction in metrics.items()
        }
        for n in counts:
            few = self._differences(shuffled[..., :n].mean(-1).T)  # [splits, pairs]
            rest = self._differences(shuffled[..., n:].mean(-1).T)
            listeners.append(_share(few, rest))
            for name, sign in signs.items():
                other[name].append(_share(sign, rest))
        return np.array(listeners), {name: np.array(each) for name, each in other.items()}

    def _differences(self, clips: Array) -> Array:
        """``[..., clips]`` to ``[..., pairs]``; equal means of the same ratings are equal."""
        return np.round(clips[..., self.pairs[:, 0]] - clips[..., self.pairs[:, 1]], 9)


def _share(found: Array, truth: Array) -> float:
    """Share of the pairs ordered as ``truth``; a tie of ``found`` is half, of ``truth`` no pair."""
    found, truth = np.broadcast_arrays(np.sign(found), np.sign(truth))
    counted = (truth != 0) & ~np.isnan(truth) & ~np.isnan(found)
    if not counted.any():
        return math.nan
    return float(np.where(found == truth, 1.0, np.where(found == 0, 0.5, 0.0))[counted].mean())
