"""From the cells of a run to one value per song.

Conventions
-----------
frame        the long table of :func:`benchsep.load_run`: one row per cell; one edition
traits       ``{metric column: ValueTraits}``
song value   mean over draws. A song on which any draw lacks a value counts as missing, so that a
             lucky draw never enters a table
usable       status ``ok``. ``ill_conditioned`` values are shown where there is nothing else, and
             never ranked; every other status is a missing song
average      pseudo stem ``average``: mean over those stems of the set that the metric was scored
             on, where all have a value; never over another target (``accompaniment``)
without bass pseudo stem: the same songs as the average, mean over the stems other than bass
total        songs of the run: all tracks of the frame, whether a metric has cells on them or not

Functions
---------
song_values    ``(system, stem, metric)`` to ``{song: value}``
songs_of_run   number of songs of the run
with_average   the frame with the rows of the pseudo stem
without_bass   the rows of the other pseudo stem alone
improvement    values as gains over a reference system
from_frames    values recomputed from their windows by another statistic
reaggregated   that, and the same statistic over songs
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.errors import UsageError
from benchsep.stems.sets import disjoint

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits
    from benchsep.stats.arrays import Statistic

Traits = Mapping[str, "ValueTraits"]
Key = tuple[str, str, str]
"""System, stem, metric."""
SongValues = dict[str, float]
"""Song to value, in the order of the songs' names."""

AVERAGE = "average"
WITHOUT_BASS = "average without bass"
BASS = "bass"
_KEYS = ["system", "family", "edition", "metric", "track", "draw"]
ILL_CONDITIONED = "ill_conditioned"


def song_values(frame: pd.DataFrame, *, ill_conditioned: bool = False) -> dict[Key, SongValues]:
    """``{(system, stem, metric): {song: value}}``: draws averaged, incomplete songs left out.

    Parameters
    ----------
    frame
        Cells of one edition.
    ill_conditioned
        Count ill-conditioned values as usable.

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
    usable = ("ok", ILL_CONDITIONED) if ill_conditioned else ("ok",)
    draws: dict[Key, dict[str, list[float]]] = {}
    columns = ("system", "stem", "metric", "track", "value", "status")
    # An exactly rounded sum does not depend on the order of the draws: nothing is sorted here.
    for *key, track, value, status in _rows(frame, columns):
        known = status in usable and math.isfinite(value)
        songs = draws.setdefault((*key,), {})
        songs.setdefault(str(track), []).append(float(value) if known else math.nan)
    return {
        key: {
            track: values[0] if len(values) == 1 else math.fsum(values) / len(values)
            for track, values in sorted(draws[key].items())
            if not any(map(math.isnan, values))
        }
        for key in sorted(draws)
    }


def _rows(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as tuples; much quicker on a large run than ``itertuples``."""
    return zip(*(frame[column].to_numpy().tolist() for column in columns), strict=True)


def songs_of_run(frame: pd.DataFrame) -> int:
    """Songs of the run, whether a metric has cells on them or not: a run that stopped half way
    shows it.
    """
    return int(frame["track"].nunique())


def averaged_stems(stems: Iterable[str]) -> list[str]:
    """Those of ``stems`` that an average is over: different parts of the song, in table order."""
    return list(disjoint(stems))


def stem_or_average(stems: Iterable[str]) -> str:
    """The stem that stands for a metric scored on ``stems``: the average where there is one."""
    names = sorted(set(stems) - {AVERAGE})
    four = averaged_stems(names)
    if len(four) > 1:
        return AVERAGE
    return (four or names or [AVERAGE])[0]


def _stems_of_metrics(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Metric to the stems that its average is over."""
    stems: dict[str, set[str]] = {}
    for metric, stem in _rows(frame[["metric", "stem"]].drop_duplicates(), ("metric", "stem")):
        stems.setdefault(metric, set()).add(stem)
    return {metric: averaged_stems(names) for metric, names in stems.items()}


def with_average(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with rows of the pseudo stem ``average`` for metrics of several stems.

    A song without a value on any one stem has none in the average: a missing stem cannot
    raise a mean.
    """
    import pandas as pd

    rows = [row for row, _ in _averages(frame)]
    return pd.concat([frame, pd.DataFrame(rows)], ignore_index=True) if rows else frame


def without_bass(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the pseudo stem :data:`WITHOUT_BASS`, of metrics scored on bass and more.

    A song without an average has none here either, so that the two means are over the same songs.
    """
    import pandas as pd

    rows = []
    for row, values in _averages(frame):
        rest = [value for stem, value in values.items() if stem != BASS]
        if 1 < len(rest) < len(values):
            rows.append({**row, "stem": WITHOUT_BASS, "value": math.fsum(rest) / len(rest)})
    return pd.DataFrame(rows, columns=[*_KEYS, "stem", "value", "status"])


def _averages(frame: pd.DataFrame) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """Each row of the pseudo stem ``average``, with the values by stem that it is the mean of."""
    stems = _stems_of_metrics(frame)
    groups: dict[tuple[Any, ...], dict[str, tuple[float, str]]] = {}
    for *key, stem, value, status in _rows(frame, (*_KEYS, "stem", "value", "status")):
        groups.setdefault((*key,), {})[stem] = (value, status)
    several = {metric: sorted(names) for metric, names in stems.items() if len(names) > 1}
    for group in sorted(groups):
        wanted = several.get(group[3], [])
        if len(wanted) > 1 and groups[group].keys() & set(wanted):
            cells = [groups[group].get(stem, (math.nan, "no_stem")) for stem in wanted]
            mean = mean_or_reason([value for value, _ in cells], [status for _, status in cells])
            row = {**dict(zip(_KEYS, group, strict=True)), "stem": AVERAGE, **mean}
            yield row, {stem: value for stem, (value, _) in zip(wanted, cells, strict=True)}


def mean_or_reason(values: Sequence[float], statuses: Sequence[str]) -> dict[str, Any]:
    """``value`` and ``status`` of a mean over cells.

    The mean of ill-conditioned cells is ill-conditioned; where a cell has no value at all, the
    mean is NaN with the first such reason.
    """
    missing = [status for status in statuses if status not in ("ok", ILL_CONDITIONED)]
    if missing:
        return {"value": math.nan, "status": missing[0]}
    status = "ok" if all(s == "ok" for s in statuses) else ILL_CONDITIONED
    return {"value": math.fsum(values) / len(values), "status": status}


def from_frames(frame: pd.DataFrame, statistic: Statistic) -> pd.DataFrame:
    """Values recomputed from the stored windows (column ``frames``); others keep their value."""
    function: Any = np.mean if statistic == "mean" else np.median
    values = []
    for value, frames in zip(frame["value"], frame["frames"], strict=True):
        stored = frames if isinstance(frames, list | tuple) else []
        finite = [x for x in stored if x is not None and math.isfinite(x)]
        values.append(float(function(finite)) if finite else value)
    return frame.assign(value=values)


def reaggregated(
    frame: pd.DataFrame, traits: Traits, statistic: Statistic | None
) -> tuple[pd.DataFrame, dict[str, ValueTraits]]:
    """Frame and traits with one statistic over windows and over songs, whatever the field uses.

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
    changed = {column: replace(value, aggregate=statistic) for column, value in traits.items()}
    return from_frames(frame, statistic), changed


def improvement(frame: pd.DataFrame, traits: Traits, *, over: str = "mixture") -> pd.DataFrame:
    """Values as gains over a reference system on the same song; positive is better.

    ``gain = sign * (value - song value of the reference)`` with ``sign = -1`` where lower is
    better. A song on which the reference has no usable value gets the status ``no_yardstick``; a
    cell without a usable value keeps its status.

    Raises
    ------
    UsageError
        if the reference system is not in the frame.
    """
    base = frame[frame["system"] == over]
    if base.empty:
        raise UsageError(f"no rows of {over!r} in the run: gains need it; run it as a system")
    reference = {
        (s, m, t): v for (_, s, m), songs in song_values(base).items() for t, v in songs.items()
    }
    changed = frame[frame["system"] != over].copy()
    values, statuses = [], []
    for stem, metric, track, value, status in changed[
        ["stem", "metric", "track", "value", "status"]
    ].itertuples(index=False, name=None):
        start = reference.get((stem, metric, track))
        sign = -1 if traits[metric].direction < 0 else 1
        usable = status == "ok" and start is not None
        values.append(sign * (value - start) if usable and start is not None else math.nan)
        statuses.append("no_yardstick" if status == "ok" and start is None else status)
    return changed.assign(value=values, status=statuses)
