"""Reduces the cells of a run to one value per song.

Conventions
-----------
frame        the long table of :func:`benchsep.load_run`: one row per cell; one edition
traits       ``{metric column: ValueTraits}``
song value   mean over draws. A song counts as missing if any draw has no value, so that lucky draws
             are not selected
usable       status ``ok``. ``ill_conditioned`` values are shown if there are no others, and never
             ranked; any other status is a missing song
average      pseudo stem ``average``: mean over the stems of the set that the metric was scored on,
             if all have a value; never over other targets (``accompaniment``)
without bass pseudo stem: the same songs as the average, mean over the stems other than bass
total        songs of the run: all tracks of the frame, even without cells of a metric

Functions
---------
song_values    ``(system, stem, metric)`` to ``{song: value}``
songs_of_run   number of songs of the run
of_edition     the cells of one edition
improvement    values as gains over a reference system
from_frames    values recomputed from their windows by another statistic
reaggregated   that, and the same statistic over songs
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.errors import UsageError
from benchsep.stats.keys import Groups, coded
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
        the frame has several editions of the data, which must not be averaged.
    """
    editions = sorted(set(map(str, frame["edition"].unique())))
    if len(editions) > 1:
        raise UsageError(
            f"found the editions {', '.join(editions)}; one table has one edition, so filter the "
            "frame to one of them"
        )
    usable = ["ok", ILL_CONDITIONED] if ill_conditioned else ["ok"]
    groups = Groups.by(frame, ["system", "stem", "metric"])
    songs, names = coded(frame["track"].astype(str))
    values = frame["value"].to_numpy(dtype=float)
    values = np.where(frame["status"].isin(usable) & np.isfinite(values), values, math.nan)
    order = np.argsort(groups.of_row * max(1, len(names)) + songs, kind="stable")
    keys = list(zip(*groups.entries, strict=True))
    ends = np.cumsum(np.bincount(groups.of_row, minlength=len(keys)))
    sorted_songs, sorted_values = songs[order].tolist(), values[order].tolist()
    return {
        key: _mean_over_draws(sorted_songs[start:end], sorted_values[start:end], names)
        for key, start, end in zip(keys, [0, *ends.tolist()], ends.tolist(), strict=False)
    }


def _mean_over_draws(
    songs: Sequence[int], values: Sequence[float], names: Sequence[str]
) -> SongValues:
    """Name of each song to its value, without songs for which a draw has no value (NaN).

    ``songs``: numbers among ``names``, rising; one for each of ``values``.
    """
    # An exactly rounded sum does not depend on the order of the draws.
    if len(set(songs)) == len(songs):
        means: Iterable[tuple[int, float]] = zip(songs, values, strict=True)
    else:
        draws: dict[int, list[float]] = {}
        for song, value in zip(songs, values, strict=True):
            draws.setdefault(song, []).append(value)
        means = [(song, math.fsum(of_song) / len(of_song)) for song, of_song in draws.items()]
    return {names[song]: mean for song, mean in means if mean == mean}


def of_edition(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The cells of one edition."""
    if [str(edition) for edition in frame["edition"].unique()] == [name]:
        return frame
    return frame[frame["edition"].astype(str) == name]


def songs_of_run(frame: pd.DataFrame) -> int:
    """Songs of the run, even without cells of a metric, so that an interrupted run is visible."""
    return int(frame["track"].nunique())


def averaged_stems(stems: Iterable[str]) -> list[str]:
    """The stems of an average: disjoint parts of the song, in table order."""
    return list(disjoint(stems))


def stem_or_average(stems: Iterable[str]) -> str:
    """The stem that represents a metric scored on ``stems``: the average, if there is one."""
    names = sorted(set(stems) - {AVERAGE})
    four = averaged_stems(names)
    if len(four) > 1:
        return AVERAGE
    return (four or names or [AVERAGE])[0]


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
    """Frame and traits with one statistic over windows and songs, instead of the usual one.

    ``None`` changes nothing. In a column with windows, values without windows (from an imported
    table) are left out, unless the column already has this statistic.

    Raises
    ------
    UsageError
        the statistic is unknown.
    """
    if statistic is None:
        return frame, dict(traits)
    if statistic not in ("mean", "median"):
        raise UsageError(f"unknown aggregation {statistic!r}, expected mean or median")
    changed = {column: replace(value, aggregate=statistic) for column, value in traits.items()}
    same = {column for column, value in traits.items() if value.aggregate == statistic}
    return from_frames(_with_windows(frame, same), statistic), changed


NO_WINDOWS = "unavailable: no windows to aggregate"
"""Status of an imported value without windows in a column that is aggregated again."""


def _with_windows(frame: pd.DataFrame, same: set[str]) -> pd.DataFrame:
    """The frame without values that cannot be aggregated again like the others in their column.

    ``same``: columns whose values already have the statistic.
    """
    has = frame["frames"].map(lambda each: isinstance(each, list | tuple) and len(each) > 0)
    columns = set(frame.loc[has, "metric"]) - same
    lost = ~has & frame["metric"].isin(list(columns)) & (frame["status"] == "ok")
    if not lost.any():
        return frame
    return frame.assign(
        value=frame["value"].mask(lost), status=frame["status"].mask(lost, NO_WINDOWS)
    )


def improvement(frame: pd.DataFrame, traits: Traits, *, over: str = "mixture") -> pd.DataFrame:
    """Values as gains over a reference system on the same song; positive is better.

    ``gain = sign * (value - song value of the reference)`` with ``sign = -1`` where lower is
    better. A song on which the reference has no usable value gets the status ``no_yardstick``; a
    cell without a usable value keeps its status.

    Raises
    ------
    UsageError
        the reference system is not in the frame.
    """
    base = frame[frame["system"] == over]
    if base.empty:
        raise UsageError(
            f"the run has no rows of {over!r}, and gains need them; run {over!r} as a system"
        )
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
