"""From the cells of a run to statements about systems.

Conventions
-----------
frame        the long table of :func:`benchsep.load_run`: one row per cell; one edition
traits       ``{metric column: ValueTraits}``: direction and the field's aggregation
song value   mean over draws. A song on which any draw lacks a value counts as missing, so that
             a lucky draw never enters a table
usable       status ``ok``. ``ill_conditioned`` values are shown when there is nothing else, and
             never ranked; every other status is a gap in coverage
common songs of a (stem, metric): those on which every ranked system that has any value has
             one. Yardsticks (oracle, mixture) never shrink it and are never ranked
average      pseudo stem ``average``: the song's mean over all stems, where all have a value

Functions
---------
aggregate    one number per (system, stem, metric) with coverage, interval and rank
compare      every pair of systems, paired by song: difference, interval, p, Holm, tie, conflict
groups       letters of systems that cannot be told apart, from :func:`compare`
draws        mean, best and worst of k, and where a score's variance comes from
tails        the worst songs, named, and the failure rate
power        songs needed to see an effect, from the measured spread of paired differences
improvement  values as gains over a yardstick
from_frames  values recomputed from their frames by another statistic
reaggregated that, and the same statistic over songs

The mathematics is in :mod:`benchsep.stats.bootstrap`; the reasons for these choices are in
``docs/design/statistics.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from benchsep.errors import UsageError
from benchsep.stats import bootstrap as inference
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

Traits = Mapping[str, "ValueTraits"]
Series = dict[str, float]
"""Song to value."""

AVERAGE = "average"


# ----------------------------------------------------------------------- songs


def song_values(frame: pd.DataFrame, *, ill_conditioned: bool = False) -> dict[Any, Series]:
    """``{(system, stem, metric): {song: value}}``: draws averaged, incomplete songs left out.

    Raises
    ------
    UsageError
        a frame with several editions of the data: they never share a number.
    """
    editions = sorted(set(frame["edition"].astype(str)))
    if len(editions) > 1:
        raise UsageError(
            f"editions {', '.join(editions)} never share a table; filter the frame to one"
        )
    allowed = ("ok", "ill_conditioned") if ill_conditioned else ("ok",)
    found: dict[Any, dict[str, list[float]]] = {}
    for key, track, value, status in _cells(frame):
        good = status in allowed and math.isfinite(value)
        found.setdefault(key, {}).setdefault(track, []).append(value if good else math.nan)
    return {
        key: {
            track: math.fsum(values) / len(values)
            for track, values in sorted(tracks.items())
            if not any(map(math.isnan, values))
        }
        for key, tracks in found.items()
    }


def _cells(frame: pd.DataFrame) -> Iterator[tuple[Any, str, float, str]]:
    columns = ["system", "stem", "metric", "track", "draw", "value", "status"]
    rows = sorted(frame[columns].itertuples(index=False, name=None), key=lambda row: row[:5])
    for system, stem, metric, track, _, value, status in rows:
        yield (system, stem, metric), str(track), float(value), str(status)


def _totals(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    """Songs of the run for each (stem, metric), scored or not."""
    songs: dict[tuple[str, str], set[str]] = {}
    for stem, metric, track in zip(frame["stem"], frame["metric"], frame["track"], strict=True):
        songs.setdefault((str(stem), str(metric)), set()).add(str(track))
    return {key: len(tracks) for key, tracks in songs.items()}


def with_average(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with rows of the pseudo stem ``average`` added for metrics of several stems.

    A song without a value on any one stem has none in the average: a missing stem cannot
    raise a mean.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    keys = ["system", "family", "edition", "metric", "track", "draw"]
    stems: dict[Any, set[str]] = {}
    for metric, stem in zip(frame["metric"], frame["stem"], strict=True):
        stems.setdefault(metric, set()).add(stem)
    for key, part in frame.groupby(keys, sort=True, dropna=False):
        wanted = sorted(stems[key[3]])
        if len(wanted) < 2:
            continue
        statuses = dict(zip(part["stem"], part["status"], strict=True))
        mean = mean_or_reason(list(part["value"]), [statuses.get(s, "no_stem") for s in wanted])
        rows.append({**dict(zip(keys, key, strict=True)), "stem": AVERAGE, **mean})
    return pd.concat([frame, pd.DataFrame(rows)], ignore_index=True) if rows else frame


def mean_or_reason(values: Sequence[float], statuses: Sequence[str]) -> dict[str, Any]:
    """``value`` and ``status`` of a mean: NaN and the first reason where a part has none."""
    odd = [status for status in statuses if status != "ok"]
    value = math.nan if odd else math.fsum(values) / len(values)
    return {"value": value, "status": odd[0] if odd else "ok"}


def from_frames(frame: pd.DataFrame, statistic: Literal["mean", "median"]) -> pd.DataFrame:
    """Values recomputed from the stored frames; rows without frames keep their value."""
    function: Any = np.mean if statistic == "mean" else np.median
    values = []
    for value, frames in zip(frame["value"], frame["frames"], strict=True):
        stored = frames if isinstance(frames, list | tuple) else []
        kept = [x for x in stored if x is not None and math.isfinite(x)]
        values.append(float(function(kept)) if kept else value)
    return frame.assign(value=values)


def reaggregated(
    frame: pd.DataFrame, traits: Traits, statistic: Literal["mean", "median"] | None
) -> tuple[pd.DataFrame, dict[str, ValueTraits]]:
    """Frame and traits with one statistic over frames and over songs, whatever the field uses.

    ``None`` changes nothing.

    Raises
    ------
    UsageError
        another statistic.
    """
    if statistic is None:
        return frame, dict(traits)
    if statistic not in ("mean", "median"):
        raise UsageError(f"unknown aggregation {statistic!r}; expected mean or median")
    changed = {column: replace(found, aggregate=statistic) for column, found in traits.items()}
    return from_frames(frame, statistic), changed


def improvement(frame: pd.DataFrame, traits: Traits, *, over: str = "mixture") -> pd.DataFrame:
    """Values as gains over a yardstick on the same song; positive is better.

    A song on which either has no usable value gets the status ``no_yardstick`` or keeps its own.

    Raises
    ------
    UsageError
        if the yardstick is not in the frame.
    """
    base = frame[frame["system"] == over]
    if base.empty:
        raise UsageError(f"no rows of {over!r} in the run: gains need it; run it as a system")
    known = {
        (s, m, t): v for (_, s, m), songs in song_values(base).items() for t, v in songs.items()
    }
    changed = frame[frame["system"] != over].copy()
    values, statuses = [], []
    for stem, metric, track, value, status in changed[
        ["stem", "metric", "track", "value", "status"]
    ].itertuples(index=False, name=None):
        start = known.get((stem, metric, track))
        sign = -1 if traits[metric].direction < 0 else 1
        usable = status == "ok" and start is not None
        values.append(sign * (value - start) if usable and start is not None else math.nan)
        statuses.append("no_yardstick" if status == "ok" and start is None else status)
    return changed.assign(value=values, status=statuses)


# ------------------------------------------------------------------- aggregate


def aggregate(
    frame: pd.DataFrame,
    traits: Traits,
    *,
    coverage: Literal["common", "own"] = "common",
    statistic: Literal["mean", "median"] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """One number per (system, stem, metric), comparable down a column or not ranked.

    Parameters
    ----------
    coverage
        ``common``: over the songs that all ranked systems have. ``own``: each over its own
        songs, and then no rank unless the songs are the same.
    statistic
        Over songs; ``None`` takes the metric's own.

    Returns
    -------
    DataFrame
        ``system family stem metric value low high n own total aggregation rank why``: ``n``
        songs in the value, ``own`` songs with a value, ``total`` songs of the run; ``rank``
        from 1, or NaN with the reason in ``why``. Sorted by metric, stem, rank, system.
    """
    import pandas as pd

    usable = song_values(frame)
    kept = song_values(frame, ill_conditioned=True)
    family = dict(zip(frame["system"], frame["family"], strict=True))
    totals = _totals(frame)
    rows = []
    for stem, metric in sorted(totals):
        systems = sorted(s for s, t, m in usable if (t, m) == (stem, metric))
        series = {s: usable[s, stem, metric] for s in systems}
        common = _common(series, family)
        block = []
        for system in systems:
            row = {"system": system, "family": family[system], "stem": stem, "metric": metric}
            songs = {t: v for t, v in series[system].items() if coverage == "own" or t in common}
            shown, why = (songs, "") if songs else (kept[system, stem, metric], "ill_conditioned")
            why = "no value" if not shown else why
            how = statistic or traits[metric].aggregate
            row |= _summary(shown, how, seed)
            row |= {"own": len(series[system]), "total": totals[stem, metric], "why": why}
            row |= {"aggregation": aggregation(how, frame, metric), "songs": frozenset(shown)}
            block.append(row)
        rows += _ranked(block, traits[metric].direction)
    columns = [
        *("system", "family", "stem", "metric", "value", "low", "high", "n", "own", "total"),
        *("aggregation", "rank", "why"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _common(series: Mapping[str, Series], family: Mapping[str, str]) -> set[str]:
    """Songs that every ranked system with any value has."""
    ranked = [set(v) for s, v in series.items() if v and family[s] not in REFERENCE_FAMILIES]
    if not ranked:
        ranked = [set(v) for v in series.values() if v]
    return set.intersection(*ranked) if ranked else set()


def _summary(songs: Series, how: Literal["mean", "median"], seed: int) -> dict[str, Any]:
    if not songs:
        return {"value": math.nan, "low": math.nan, "high": math.nan, "n": 0}
    found = inference.bootstrap(list(songs.values()), statistic=how, seed=seed)
    low = math.nan if found.low is None else found.low
    high = math.nan if found.high is None else found.high
    return {"value": found.estimate, "low": low, "high": high, "n": found.n}


def aggregation(how: str, frame: pd.DataFrame, metric: str) -> str:
    """The aggregation in words, for a caption."""
    framed = frame.loc[frame["metric"] == metric, "frames"].map(lambda f: f is not None and f == f)
    return f"{how} over songs" + (" of the song's value over frames" if framed.any() else "")


def _ranked(block: list[dict[str, Any]], direction: int) -> list[dict[str, Any]]:
    """Ranks for systems measured on the same songs; everyone else is told why not."""
    rivals = [row for row in block if row["family"] not in REFERENCE_FAMILIES and not row["why"]]
    largest = max((row["n"] for row in rivals), default=0)
    full: frozenset[str] = next(
        (row["songs"] for row in rivals if row["n"] == largest), frozenset()
    )
    for row in block:
        row["rank"] = math.nan
        if row["family"] in REFERENCE_FAMILIES:
            row["why"] = row["why"] or "yardstick"
        elif not direction:
            row["why"] = row["why"] or "no direction"
        elif not row["why"] and row["songs"] != full:
            row["why"] = f"{row['n']} songs, others {largest}"
    ranked = [row for row in block if not row["why"]]
    for row in ranked:
        row["rank"] = 1.0 + sum(direction * (o["value"] - row["value"]) > 0 for o in ranked)
    return sorted(block, key=lambda row: (math.isnan(row["rank"]), row["rank"], row["system"]))


# --------------------------------------------------------------------- compare


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
    against
        Only the pairs with this system, as ``b``.
    yardsticks
        Compare oracles and the mixture as well.
    margins
        Equivalence margins by column or metric, over the traits' ``tie_margin``.
    alpha
        Level of ``verdict`` (after Holm) and of the equivalence test.

    Returns
    -------
    DataFrame
        ``a b stem metric n total gap difference low high median p p_holm p_tied margin verdict
        sign_conflict``. ``difference`` is the mean (or median, as the metric aggregates) of the
        paired differences a - b with its interval; ``gap`` is what a reader takes from the
        table, value of a minus value of b; ``verdict`` is ``a`` or ``b`` (the better one),
        ``tied`` (equivalent within the margin) or ``open``. Holm runs over the whole result.
        ``sign_conflict`` marks a gap that points the other way than the paired median.

    Raises
    ------
    UsageError
        a system that is not in the frame.
    """
    import pandas as pd

    series = song_values(frame)
    family = dict(zip(frame["system"], frame["family"], strict=True))
    if against is not None and against not in family:
        raise UsageError(f"no system {against!r} in the run; there are: {', '.join(family)}")
    totals = _totals(frame)
    rows = []
    for stem, metric in sorted(totals):
        rivals = sorted(
            s
            for (s, t, m), songs in series.items()
            if (t, m) == (stem, metric) and songs
            if yardsticks or s == against or family[s] not in REFERENCE_FAMILIES
        )
        for a, b in _pairs(rivals, against):
            row = {"a": a, "b": b, "stem": stem, "metric": metric, "total": totals[stem, metric]}
            one, other = series[a, stem, metric], series[b, stem, metric]
            margin = _lookup(margins, metric) or traits[metric].tie_margin
            found = _paired(one, other, traits[metric].aggregate, margin, seed)
            rows.append(row | (found or {"n": 0}))
    return _judged(pd.DataFrame(rows, columns=_COMPARED), traits, alpha)


_COMPARED = [
    *("a", "b", "stem", "metric", "n", "total", "gap", "difference", "low", "high", "median"),
    *("p", "p_holm", "p_tied", "margin", "verdict", "sign_conflict"),
]


def _pairs(rivals: Sequence[str], against: str | None) -> list[tuple[str, str]]:
    if against is None:
        return inference.pairs(rivals)
    return [(s, against) for s in rivals if s != against] if against in rivals else []


def _paired(
    one: Series, other: Series, how: Literal["mean", "median"], margin: float | None, seed: int
) -> dict[str, Any] | None:
    songs = sorted(one.keys() & other.keys())
    if not songs:
        return None
    x = np.array([one[t] for t in songs])
    y = np.array([other[t] for t in songs])
    found = inference.bootstrap(x - y, statistic=how, seed=seed)
    summary = np.median if how == "median" else np.mean
    testable = len(songs) >= inference.FEWEST
    return {
        "n": len(songs),
        "gap": float(summary(x) - summary(y)),
        "difference": found.estimate,
        "low": math.nan if found.low is None else found.low,
        "high": math.nan if found.high is None else found.high,
        "median": float(np.median(x - y)),
        "p": inference.sign_flip(x - y, statistic=how, seed=seed) if testable else math.nan,
        "p_tied": inference.tost(x - y, margin) if testable and margin else math.nan,
        "margin": margin or math.nan,
    }


def _lookup(table: Mapping[str, float] | None, metric: str) -> float | None:
    return (table or {}).get(metric, (table or {}).get(metric.split(".")[0]))


def _judged(frame: pd.DataFrame, traits: Traits, alpha: float) -> pd.DataFrame:
    tested = frame["p"].notna()
    frame["p_holm"] = math.nan
    frame.loc[tested, "p_holm"] = inference.holm(frame.loc[tested, "p"].astype(float).tolist())
    frame["sign_conflict"] = frame["gap"] * frame["median"] < 0
    frame["verdict"] = [
        _verdict(row, traits[str(row.metric)].direction, alpha) for row in frame.itertuples()
    ]
    return frame


def _verdict(row: Any, direction: int, alpha: float) -> str:
    # A difference that is real and still within the margin is a tie: it matters to nobody.
    if row.p_tied < alpha:
        return "tied"
    if row.p_holm < alpha and direction:
        return "a" if direction * row.difference > 0 else "b"
    return "open"


def groups(
    compared: pd.DataFrame, aggregated: pd.DataFrame, *, alpha: float = 0.05
) -> pd.DataFrame:
    """Letters per (stem, metric): systems that share one cannot be told apart.

    Parameters
    ----------
    compared
        From :func:`compare` (all pairs).
    aggregated
        From :func:`aggregate`: its ranked systems get letters, best first.

    Returns
    -------
    DataFrame
        ``system stem metric letters``.
    """
    import pandas as pd

    rows = []
    ranked = aggregated[aggregated["rank"].notna()].sort_values(["rank", "system"])
    for (stem, metric), part in ranked.groupby(["stem", "metric"], sort=True):
        names = list(part["system"])
        here = compared[(compared["stem"] == stem) & (compared["metric"] == metric)]
        differ = [
            (a, b)
            for a, b, p in zip(here["a"], here["b"], here["p_holm"], strict=True)
            if p < alpha and a in names and b in names
        ]
        for name, text in inference.letters(names, differ).items():
            rows.append({"system": name, "stem": stem, "metric": metric, "letters": text})
    return pd.DataFrame(rows, columns=["system", "stem", "metric", "letters"])


# ----------------------------------------------------------------------- draws


def draws(frame: pd.DataFrame, traits: Traits) -> pd.DataFrame:
    """What drawing again changes, for systems with at least two draws of two songs.

    Returns
    -------
    DataFrame
        ``system stem metric songs draws mean best_of_k worst_of_k var_song var_seed
        var_residual share_song share_seed share_residual``. ``mean`` is the headline;
        ``best_of_k`` takes each song's best draw, which needs the references to be known.
    """
    import pandas as pd

    rows = []
    good = frame[frame["status"] == "ok"]
    for key, part in good.groupby(["system", "stem", "metric"], sort=True):
        system, stem, metric = map(str, cast("tuple[str, ...]", key))
        table = part.pivot(index="track", columns="draw", values="value").dropna().to_numpy()
        if min(table.shape) < 2:
            continue
        found = inference.components(table)
        best, worst = table.max(axis=1).mean(), table.min(axis=1).mean()
        if traits[metric].direction < 0:
            best, worst = worst, best
        rows.append(
            {"system": system, "stem": stem, "metric": metric}
            | {"songs": found.songs, "draws": found.draws, "mean": float(table.mean())}
            | {"best_of_k": float(best), "worst_of_k": float(worst)}
            | {f"var_{k}": getattr(found, k) for k in ("song", "seed", "residual")}
            | {f"share_{k}": v for k, v in found.shares().items()}
        )
    columns = [
        *("system", "stem", "metric", "songs", "draws", "mean", "best_of_k", "worst_of_k"),
        *("var_song", "var_seed", "var_residual", "share_song", "share_seed", "share_residual"),
    ]
    return pd.DataFrame(rows, columns=columns)


# ----------------------------------------------------------------------- tails


def tails(
    frame: pd.DataFrame,
    traits: Traits,
    *,
    thresholds: Mapping[str, float] | None = None,
    fraction: float = 0.05,
) -> pd.DataFrame:
    """The worst songs of each system, which a median hides.

    Parameters
    ----------
    thresholds
        Failure limits by column or metric, over the traits' ``failure``.
    fraction
        Of the songs (at least one) that count as the tail.

    Returns
    -------
    DataFrame
        ``system stem metric n worst worst_songs threshold failures failure_rate rate_low
        rate_high failed_songs unscored``: ``worst`` is the mean over the tail; songs are lists,
        worst first; ``unscored`` counts the songs without a value.
    """
    import pandas as pd

    rows = []
    totals = _totals(frame)
    for (system, stem, metric), songs in sorted(song_values(frame).items()):
        direction = traits[metric].direction
        if not songs or not direction:
            continue
        order = sorted(songs, key=lambda t: (direction * songs[t], t))
        worst = order[: max(1, math.ceil(fraction * len(order)))]
        row = {"system": system, "stem": stem, "metric": metric, "n": len(songs)}
        row |= {"worst": math.fsum(songs[t] for t in worst) / len(worst), "worst_songs": worst}
        row |= {"unscored": totals[stem, metric] - len(songs)}
        limit = _lookup(thresholds, metric)
        limit = traits[metric].failure if limit is None else limit
        rows.append(row | _failures(songs, order, limit, direction))
    columns = [
        *("system", "stem", "metric", "n", "worst", "worst_songs", "threshold", "failures"),
        *("failure_rate", "rate_low", "rate_high", "failed_songs", "unscored"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _failures(
    songs: Series, order: Sequence[str], limit: float | None, direction: int
) -> dict[str, Any]:
    if limit is None:
        return {"failed_songs": []}
    failed = [t for t in order if direction * (songs[t] - limit) < 0]
    low, high = inference.wilson(len(failed), len(order))
    return {
        "threshold": limit,
        "failures": len(failed),
        "failure_rate": len(failed) / len(order),
        "rate_low": low,
        "rate_high": high,
        "failed_songs": failed,
    }


# ----------------------------------------------------------------------- power


def power(
    frame: pd.DataFrame,
    metric: str,
    effect: float,
    *,
    target: float = 0.8,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """How many songs a paired ``effect`` needs, for every pair of systems that was measured.

    Returns
    -------
    DataFrame
        ``a b stem songs sd needed detectable``: ``sd`` of the paired differences, songs
        ``needed`` for ``effect`` at power ``target``, and the effect that the measured number
        of songs shows at that power. The last row of a stem (``a`` = ``median pair``) is what to
        plan with.

    Raises
    ------
    UsageError
        an unknown metric, an effect of zero, or no two systems with two songs in common.
    """
    import pandas as pd

    here = frame[frame["metric"] == metric]
    if here.empty:
        known = ", ".join(sorted(set(frame["metric"])))
        raise UsageError(f"no metric {metric!r} in the run; there are: {known}")
    family = dict(zip(here["system"], here["family"], strict=True))
    series = song_values(here)
    rows = []
    for stem in sorted(set(here["stem"])):
        rivals = sorted(
            s for s, t, _ in series if t == stem and family[s] not in REFERENCE_FAMILIES
        )
        block = []
        for a, b in inference.pairs(rivals):
            one, other = series[a, stem, metric], series[b, stem, metric]
            songs = sorted(one.keys() & other.keys())
            if len(songs) >= 2:
                sd = float(np.std([one[t] - other[t] for t in songs], ddof=1))
                block.append({"a": a, "b": b, "stem": stem, "songs": len(songs), "sd": sd})
        if block:
            middle = {"a": "median pair", "b": "", "stem": stem}
            middle |= {k: float(np.median([r[k] for r in block])) for k in ("songs", "sd")}
            rows += [*block, middle]
    if not rows:
        raise UsageError(f"no two systems share two songs with a {metric}: nothing to plan from")
    for row in rows:
        row["songs"] = int(row["songs"])
        row["needed"] = inference.songs_needed(effect, row["sd"], target=target, alpha=alpha)
        row["detectable"] = inference.detectable(
            row["sd"], row["songs"], target=target, alpha=alpha
        )
    return pd.DataFrame(rows, columns=["a", "b", "stem", "songs", "sd", "needed", "detectable"])
