"""Paired comparison of systems: every pair on the songs that both have.

Conventions
-----------
pair      ``d [songs] = value of a - value of b`` on each song that both have
verdict   ``a`` or ``b`` (the better one) if the sign-flip test rejects after Holm's correction;
          ``tied`` if TOST shows equivalence within the margin; else ``open``
family    Holm's correction is over the pairs of one stem and metric, which is one column of a
          table. So the result for a column does not depend on the number of metrics in the run
seed      the interval is bootstrapped and depends on ``seed``; p values and verdicts do not

The tests are in :mod:`benchsep.stats.significance`; songs and averages in
:mod:`benchsep.stats.songs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.words import amount
from benchsep.errors import UsageError
from benchsep.stats.arrays import Statistic
from benchsep.stats.bootstrap import FEWEST, bootstrap
from benchsep.stats.keys import last_of_each
from benchsep.stats.letters import compact_letters
from benchsep.stats.signflip import sign_flip
from benchsep.stats.significance import holm, tost
from benchsep.stats.songs import Key, SongValues, Traits, song_values, songs_of_run
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.stats.aggregate import Summary

COLUMNS = [
    *("a", "b", "stem", "metric", "n", "total", "gap", "difference", "low", "high", "median"),
    *("p", "p_holm", "p_tied", "margin", "verdict", "sign_conflict"),
]


def compare(
    frame: pd.DataFrame,
    traits: Traits,
    *,
    against: str | None = None,
    yardsticks: bool = False,
    margins: Mapping[str, float] | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Every pair of systems on the songs that both have.

    Parameters
    ----------
    frame, traits
        Cells of one edition, and the traits of its metric columns.
    against
        Only the pairs with this system, as ``b``.
    yardsticks
        Also compare the reference systems (oracles, mixture).
    margins
        Equivalence margins by column or metric; override the traits' ``tie_margin``.
    alpha
        Level of ``verdict`` (after Holm) and of the equivalence test.
    seed
        Seed of the bootstrap interval.

    Returns
    -------
    DataFrame
        ``a b stem metric n total gap difference low high median p p_holm p_tied margin verdict
        sign_conflict``. ``total``: songs of the run. ``difference``: mean (or median, as the
        metric aggregates) of ``d`` with its interval. ``gap``: value of a minus value of b in the
        table. ``median``: median of ``d``. ``sign_conflict``: gap and paired median have opposite
        signs.

    Raises
    ------
    UsageError
        a system is not in the frame, a margin is not a positive number, or the seed is negative.
    """
    import pandas as pd

    _check_margins(margins or {})
    values = song_values(frame)
    family = last_of_each(frame, "system", "family")
    if against is not None and against not in family:
        raise UsageError(f"the run has no system {against!r}; there are: {', '.join(family)}")
    total = songs_of_run(frame)
    rows = []
    for stem, metric in sorted({(stem, metric) for _, stem, metric in values}):
        systems = sorted(
            s
            for (s, t, m), songs in values.items()
            if (t, m) == (stem, metric) and songs
            if yardsticks or s == against or family[s] not in REFERENCE_FAMILIES
        )
        given = _by_column_or_metric(margins, metric)
        margin = traits[metric].tie_margin if given is None else given
        how = traits[metric].aggregate
        for a, b in _pairs(systems, against):
            row = {"a": a, "b": b, "stem": stem, "metric": metric, "total": total}
            one, other = values[a, stem, metric], values[b, stem, metric]
            rows.append(row | _difference(one, other, how, margin, seed))
    return _with_verdicts(pd.DataFrame(rows, columns=COLUMNS), traits, alpha)


def _pairs(systems: Sequence[str], against: str | None) -> list[tuple[str, str]]:
    if against is None:
        return list(combinations(systems, 2))
    return [(s, against) for s in systems if s != against] if against in systems else []


def _difference(
    one: SongValues, other: SongValues, how: Statistic, margin: float | None, seed: int
) -> dict[str, Any]:
    songs = sorted(one.keys() & other.keys())
    if not songs:
        return {"n": 0}
    x = np.array([one[t] for t in songs])
    y = np.array([other[t] for t in songs])
    interval = bootstrap(x - y, statistic=how, seed=seed)
    low, high = interval.limits
    statistic = np.median if how == "median" else np.mean
    testable = len(songs) >= FEWEST
    return {
        "n": len(songs),
        # For a median, the gap in the table differs from the median of the differences.
        "gap": float(statistic(x) - statistic(y)),
        "difference": interval.estimate,
        "low": low,
        "high": high,
        "median": float(np.median(x - y)),
        "p": sign_flip(x - y, statistic=how) if testable else math.nan,
        "p_tied": tost(x - y, margin) if testable and margin else math.nan,
        "margin": margin or math.nan,
    }


def _check_margins(margins: Mapping[str, float]) -> None:
    for name, margin in margins.items():
        if not 0 < margin < math.inf:
            raise UsageError(f"the equivalence margin of {name} is {margin}, expected more than 0")


def _by_column_or_metric(table: Mapping[str, float] | None, column: str) -> float | None:
    """The entry of ``dnsmos.ovrl``, else that of ``dnsmos``."""
    return (table or {}).get(column, (table or {}).get(column.split(".")[0]))


def _with_verdicts(frame: pd.DataFrame, traits: Traits, alpha: float) -> pd.DataFrame:
    frame["p_holm"] = math.nan
    for _, column in frame[frame["p"].notna()].groupby(["stem", "metric"]):
        frame.loc[column.index, "p_holm"] = holm(column["p"].astype(float).tolist())
    frame["sign_conflict"] = frame["gap"] * frame["median"] < 0
    frame["verdict"] = [
        _verdict(row, traits[str(row.metric)].direction, alpha) for row in frame.itertuples()
    ]
    return frame


def _verdict(row: Any, direction: int, alpha: float) -> str:
    # A significant difference within the margin is a tie, because it is negligible.
    if row.p_tied < alpha:
        return "tied"
    if row.p_holm < alpha and direction:
        return "a" if direction * row.difference > 0 else "b"
    return "open"


def too_few_songs(compared: pd.DataFrame, *, alpha: float = 0.05) -> str:
    """Why no pair of :func:`compare` can have a verdict; empty if a pair can.

    The smallest p of ``n`` songs is ``2 / 2**n``, and Holm multiplies it by the pairs of its stem
    and metric; equivalence is tested from :data:`FEWEST` songs on.
    """
    if compared.empty:
        return ""
    columns = compared.groupby(["stem", "metric"])["n"]
    needed = {pairs: _songs_for_a_difference(pairs, alpha) for pairs in set(columns.count())}
    if any(songs.max() >= min(FEWEST, needed[len(songs)]) for _, songs in columns):
        return ""
    songs, pairs = int(compared["n"].max()), int(columns.count().max())
    text = (
        f"{amount(songs, 'song')}: too few for any verdict. A tie needs at least {FEWEST} songs, "
        f"and a difference {needed[pairs]}"
    )
    one = _songs_for_a_difference(1, alpha)
    return f"{text} (with one pair {one}, see --against)." if pairs > 1 else f"{text}."


def _songs_for_a_difference(pairs: int, alpha: float) -> int:
    """The fewest songs whose smallest p is below ``alpha`` after Holm over ``pairs``."""
    return math.floor(math.log2(2 * pairs / alpha)) + 1


# -- letters ------------------------------------------------------------------------------------


def groups(
    compared: pd.DataFrame, summaries: Iterable[Summary], *, alpha: float = 0.05
) -> pd.DataFrame:
    """Compact letters per (stem, metric): systems with a common letter are not shown to differ.

    Parameters
    ----------
    compared
        From :func:`compare` (all pairs).
    summaries
        From :func:`benchsep.stats.aggregate.aggregate`: the ranked systems get letters, best
        first.
    alpha
        Level after Holm.

    Returns
    -------
    DataFrame
        ``system stem metric letters``.
    """
    import pandas as pd

    blocks: dict[tuple[str, str], list[Summary]] = {}
    for summary in summaries:
        if summary.rank is not None:
            blocks.setdefault((summary.stem, summary.metric), []).append(summary)
    rows = []
    for (stem, metric), ranked in sorted(blocks.items()):
        names = [s.system for s in sorted(ranked, key=lambda s: (s.rank, s.system))]
        here = compared[(compared["stem"] == stem) & (compared["metric"] == metric)]
        differ = [
            (a, b)
            for a, b, p in zip(here["a"], here["b"], here["p_holm"], strict=True)
            if p < alpha and a in names and b in names
        ]
        for name, letters in compact_letters(names, differ).items():
            rows.append({"system": name, "stem": stem, "metric": metric, "letters": letters})
    return pd.DataFrame(rows, columns=["system", "stem", "metric", "letters"])


def with_comparisons(
    summaries: Sequence[Summary], compared: pd.DataFrame, traits: Traits
) -> list[Summary]:
    """The summaries with letters and ``conflicts``.

    No letters for a (stem, metric) in which all systems have the same.
    """
    letters: dict[Key, str] = {
        (system, stem, metric): text
        for system, stem, metric, text in groups(compared, summaries).to_numpy().tolist()
    }
    different: dict[tuple[str, str], set[str]] = {}
    for (_, stem, metric), text in letters.items():
        different.setdefault((stem, metric), set()).add(text)
    conflicts = _conflicts(compared, traits)
    return [
        replace(
            s,
            letters=letters.get(s.key, "") if len(different.get(s.key[1:], ())) > 1 else "",
            conflicts=tuple(sorted(conflicts.get(s.key, ()))),
        )
        for s in summaries
    ]


def _conflicts(compared: pd.DataFrame, traits: Traits) -> dict[Key, list[str]]:
    """``(leader, stem, metric)`` to the systems that it leads only in the gap."""
    conflicts: dict[Key, list[str]] = {}
    for row in compared[compared["sign_conflict"]].to_dict("records"):
        leads = row["gap"] * traits[row["metric"]].direction > 0
        one, other = (row["a"], row["b"]) if leads else (row["b"], row["a"])
        conflicts.setdefault((one, row["stem"], row["metric"]), []).append(other)
    return conflicts
