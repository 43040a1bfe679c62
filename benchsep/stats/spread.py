"""Statistics on the spread of scores: the variance between draws, and the worst songs.

Functions
---------
draws                mean, best and worst of k, and the variance components of a score
tails                the worst songs of each system, and the rate of failures
variance_components  variance split into song, seed and residual
wilson_interval      interval of a rate

Sources: Searle, Casella & McCulloch 1992, Variance Components, ch. 4; Wilson 1927, JASA 22.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import scipy

from benchsep.errors import UsageError
from benchsep.stats.arrays import Array
from benchsep.stats.songs import SongValues, Traits, song_values, songs_of_run

if TYPE_CHECKING:
    import pandas as pd

# -- draws --------------------------------------------------------------------------------------


def draws(frame: pd.DataFrame, traits: Traits) -> pd.DataFrame:
    """The effect of other draws, for systems with at least two draws of two songs.

    Returns
    -------
    DataFrame
        ``system stem metric songs draws mean best_of_k worst_of_k var_song var_seed
        var_residual share_song share_seed share_residual``. ``mean`` is the main value;
        ``best_of_k`` uses the best draw of each song, which can only be selected with the
        references.
    """
    import pandas as pd

    rows = []
    good = frame[frame["status"] == "ok"]
    for key, part in good.groupby(["system", "stem", "metric"], sort=True):
        system, stem, metric = map(str, cast("tuple[str, ...]", key))
        # [songs, draws], without the songs on which a draw has no value
        table = part.pivot(index="track", columns="draw", values="value").dropna().to_numpy()
        if min(table.shape) < 2:
            continue
        row = {"system": system, "stem": stem, "metric": metric}
        rows.append(row | _draw_statistics(table, traits[metric].direction))
    columns = [
        *("system", "stem", "metric", "songs", "draws", "mean", "best_of_k", "worst_of_k"),
        *("var_song", "var_seed", "var_residual", "share_song", "share_seed", "share_residual"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _draw_statistics(table: Array, direction: int) -> dict[str, Any]:
    """Statistics of ``table [songs, draws]``."""
    parts = variance_components(table)
    best, worst = table.max(axis=1).mean(), table.min(axis=1).mean()
    if direction < 0:
        best, worst = worst, best
    return {
        "songs": parts.songs,
        "draws": parts.draws,
        "mean": float(table.mean()),
        "best_of_k": float(best),
        "worst_of_k": float(worst),
        **{f"var_{k}": getattr(parts, k) for k in ("song", "seed", "residual")},
        **{f"share_{k}": v for k, v in parts.shares().items()},
    }


@dataclass(frozen=True)
class Components:
    """Variances of one score: between songs, between seeds, and the residual.

    Each is an unbiased estimate, and may be negative if the true value is near zero; :meth:`shares`
    sets these to zero.
    """

    song: float
    seed: float
    residual: float
    songs: int
    draws: int

    def shares(self) -> dict[str, float]:
        """Each variance as a share of their sum."""
        parts = {k: max(getattr(self, k), 0.0) for k in ("song", "seed", "residual")}
        total = sum(parts.values())
        return {k: v / total if total else 0.0 for k, v in parts.items()}


def variance_components(x: Array) -> Components:
    """Split the variance of ``x [songs, draws]`` by a two-way random-effects model.

    ``x[i, k] = mean + song[i] + seed[k] + residual[i, k]`` with one value per cell. The mean
    squares of rows, columns and the rest estimate

    - ``E[MS_song] = var_residual + draws * var_song``
    - ``E[MS_seed] = var_residual + songs * var_seed``
    - ``E[MS_rest] = var_residual``

    and are solved for the variances. The residual contains the song-by-seed interaction, which for
    a generative system is most of the effect of a seed.

    Raises
    ------
    UsageError
        there are fewer than two songs or two draws.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise UsageError(f"found the shape {values.shape}, expected at least 2 songs and 2 draws")
    songs, draws = values.shape
    centre = values.mean()
    row = values.mean(axis=1) - centre  # [songs]
    column = values.mean(axis=0) - centre  # [draws]
    rest = values - centre - row[:, None] - column[None]  # [songs, draws]
    ms_song = draws * float((row**2).sum()) / (songs - 1)
    ms_seed = songs * float((column**2).sum()) / (draws - 1)
    ms_rest = float((rest**2).sum()) / ((songs - 1) * (draws - 1))
    return Components(
        (ms_song - ms_rest) / draws, (ms_seed - ms_rest) / songs, ms_rest, songs, draws
    )


# -- tails --------------------------------------------------------------------------------------


def tails(
    frame: pd.DataFrame,
    traits: Traits,
    *,
    thresholds: Mapping[str, float] | None = None,
    fraction: float = 0.05,
) -> pd.DataFrame:
    """The worst songs of each system, which are not visible in a median.

    Parameters
    ----------
    frame, traits
        Cells of one edition, and the traits of its metric columns.
    thresholds
        Failure limits by column or metric; override the traits' ``failure``.
    fraction
        Share of the songs (at least one song) that is the tail.

    Returns
    -------
    DataFrame
        ``system stem metric n worst worst_songs threshold failures failure_rate rate_low
        rate_high failed_songs unscored``: ``worst`` is the mean over the tail; songs are lists,
        worst first; ``unscored`` counts the songs of the run without a value.

    Raises
    ------
    UsageError
        the fraction is not from 0 to 1, or a threshold is not a number.
    """
    if not 0 <= fraction <= 1:
        raise UsageError(f"found the fraction {fraction:g}, expected 0 to 1")
    if odd := [name for name, limit in (thresholds or {}).items() if not math.isfinite(limit)]:
        raise UsageError(f"the threshold of {odd[0]} is {(thresholds or {})[odd[0]]}: no number")
    import pandas as pd

    rows = []
    total = songs_of_run(frame)
    for (system, stem, metric), songs in sorted(song_values(frame).items()):
        direction = traits[metric].direction
        if not songs or not direction:
            continue
        order = sorted(songs, key=lambda t: (direction * songs[t], t))
        worst = order[: max(1, math.ceil(fraction * len(order)))]
        limit = (thresholds or {}).get(metric, (thresholds or {}).get(metric.split(".")[0]))
        limit = traits[metric].failure if limit is None else limit
        rows.append(
            {
                "system": system,
                "stem": stem,
                "metric": metric,
                "n": len(songs),
                "worst": math.fsum(songs[t] for t in worst) / len(worst),
                "worst_songs": worst,
                "unscored": total - len(songs),
                **_failures(songs, order, limit, direction),
            }
        )
    columns = [
        *("system", "stem", "metric", "n", "worst", "worst_songs", "threshold", "failures"),
        *("failure_rate", "rate_low", "rate_high", "failed_songs", "unscored"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _failures(
    songs: SongValues, order: Sequence[str], limit: float | None, direction: int
) -> dict[str, Any]:
    if limit is None:
        return {"failed_songs": []}
    failed = [t for t in order if direction * (songs[t] - limit) < 0]
    low, high = wilson_interval(len(failed), len(order))
    return {
        "threshold": limit,
        "failures": len(failed),
        "failure_rate": len(failed) / len(order),
        "rate_low": low,
        "rate_high": high,
        "failed_songs": failed,
    }


def wilson_interval(hits: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate; also valid at 0 and 1, where the normal interval has no
    width.

    The rates ``p`` with ``|hits/n - p| <= z sqrt(p (1 - p) / n)``.
    """
    z = float(scipy.special.ndtri((1 + level) / 2))
    rate = hits / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
