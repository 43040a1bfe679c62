"""The number of songs that a paired comparison needs.

Functions
---------
power              songs needed for every pair of systems of a run
paired_t_power     power of a paired t test
songs_needed       fewest songs for an effect; its inverse is ``detectable_effect``
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.errors import UsageError
from benchsep.stats.keys import last_of_each
from benchsep.stats.songs import SongValues, song_values
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd


def power(
    frame: pd.DataFrame,
    metric: str,
    effect: float,
    *,
    target: float = 0.8,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """The number of songs that a paired ``effect`` needs, for every pair of systems.

    Parameters
    ----------
    frame
        Cells of one edition.
    metric
        Metric column.
    effect
        Paired difference to detect, in the metric's unit.
    target, alpha
        Power and level of the test.

    Returns
    -------
    DataFrame
        ``a b stem songs sd needed detectable``: ``sd`` of the paired differences, songs
        ``needed`` for ``effect`` at power ``target``, and the ``detectable`` effect with the
        available songs at this power. Use the last row of a stem (``a`` = ``median pair``) for
        planning.

    Raises
    ------
    UsageError
        the metric is unknown, the effect is zero, no two systems have two common songs, or the
        target is not between ``alpha`` and 1.
    """
    import pandas as pd

    if not alpha < target < 1:
        raise UsageError(f"found the power {target:g}, expected between {alpha:g} and 1")

    cells = frame[frame["metric"] == metric]
    if cells.empty:
        known = ", ".join(sorted(set(frame["metric"])))
        raise UsageError(f"the run has no metric {metric!r}; there are: {known}")
    family = last_of_each(cells, "system", "family")
    values = {k: v for k, v in song_values(cells).items() if family[k[0]] not in REFERENCE_FAMILIES}
    rows: list[dict[str, Any]] = []
    for stem in sorted(set(cells["stem"])):
        block = _paired_spreads({s: v for (s, t, _), v in values.items() if t == stem})
        if block:
            medians = {k: float(np.median([r[k] for r in block])) for k in ("songs", "sd")}
            block.append({"a": "median pair", "b": "", **medians})
        rows += [{**row, "stem": stem} for row in block]
    if not rows:
        raise UsageError(
            f"no two systems have a value of {metric} on the same two songs, so nothing can be "
            "estimated; run two systems on two songs"
        )
    for row in rows:
        row["songs"] = int(row["songs"])
        row["needed"] = songs_needed(effect, row["sd"], target=target, alpha=alpha)
        row["detectable"] = detectable_effect(row["sd"], row["songs"], target=target, alpha=alpha)
    return pd.DataFrame(rows, columns=["a", "b", "stem", "songs", "sd", "needed", "detectable"])


def _paired_spreads(values: dict[str, SongValues]) -> list[dict[str, Any]]:
    """Songs in common and standard deviation of the differences of every pair."""
    rows = []
    for a, b in combinations(sorted(values), 2):
        songs = sorted(values[a].keys() & values[b].keys())
        if len(songs) >= 2:
            sd = float(np.std([values[a][t] - values[b][t] for t in songs], ddof=1))
            rows.append({"a": a, "b": b, "songs": len(songs), "sd": sd})
    return rows


def paired_t_power(effect: float, sd: float, songs: int, *, alpha: float = 0.05) -> float:
    """Power of a two-sided paired t test.

    ``P(|T| > t_crit)`` where ``T`` has a noncentral t distribution with ``songs - 1`` degrees of
    freedom and noncentrality ``effect / sd * sqrt(songs)``.
    """
    if songs < 2:
        return 0.0
    if sd == 0:
        return 1.0 if effect else alpha
    from scipy import stats as sps  # slow to import

    critical = float(sps.t.ppf(1 - alpha / 2, songs - 1))
    noncentrality = abs(effect) / sd * math.sqrt(songs)
    if noncentrality > critical + 20:
        return 1.0  # SciPy's noncentral t gives NaN far out in the tail
    upper = sps.nct.sf(critical, songs - 1, noncentrality)
    lower = np.nan_to_num(sps.nct.cdf(-critical, songs - 1, noncentrality))
    return float(upper + lower)


def songs_needed(
    effect: float, sd: float, *, target: float = 0.8, alpha: float = 0.05, most: int = 1_000_000
) -> int:
    """Fewest songs that show a paired ``effect`` with power ``target``.

    Power increases with the number of songs: it is doubled until it is enough, then bisected.

    Raises
    ------
    UsageError
        the effect is zero, or needs more than ``most`` songs.
    """
    if effect == 0 or not math.isfinite(effect):
        raise UsageError(f"found the effect {effect}, expected a number other than 0")
    low, high = 1, 2
    while paired_t_power(effect, sd, high, alpha=alpha) < target:
        low, high = high, high * 2
        if low > most:
            raise UsageError(f"an effect of {effect:g} at sd {sd:g} needs over {most} songs")
    while high - low > 1:
        middle = (low + high) // 2
        if paired_t_power(effect, sd, middle, alpha=alpha) < target:
            low = middle
        else:
            high = middle
    return high


def detectable_effect(
    sd: float, songs: int, *, target: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Smallest paired effect that ``songs`` songs show with power ``target``; ``None`` for one."""
    if songs < 2:
        return None
    if sd == 0:
        return 0.0
    from scipy.optimize import brentq

    def lack(effect: float) -> float:
        return paired_t_power(effect, sd, songs, alpha=alpha) - target

    return float(brentq(lack, 0.0, 100 * sd, xtol=1e-6 * sd))
