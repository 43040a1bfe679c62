"""One number per (system, stem, metric): the only aggregation over songs.

Tables, figures, ``explain``, ``compare`` and ablations read :class:`Summary`.

Conventions
-----------
common songs  of a (stem, metric): the songs on which all ranked systems (with any value) have a
              value. Reference systems (mixture, oracles) never reduce this set and are never ranked
ranked        a system with values for exactly the common songs, from usable cells only
no shared song  a system without any common song has no value, because values on different songs
              must not be compared
The rest is in :mod:`benchsep.stats.songs`; the reasons are in ``docs/design/statistics.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Literal

from benchsep.stats.bootstrap import bootstrap
from benchsep.stats.keys import last_of_each
from benchsep.stats.songs import (
    AVERAGE,
    ILL_CONDITIONED,
    Key,
    SongValues,
    Traits,
    song_values,
    songs_of_run,
)
from benchsep.stems.sets import parts_of
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.stats.arrays import Statistic

Coverage = Literal["common", "own"]
NO_SHARED_SONG = "no shared song"
"""Note of a system with values on none of the common songs."""


@dataclass(frozen=True)
class Summary:
    """A system's aggregate over songs for one metric and stem, with its songs."""

    system: str
    family: str
    stem: str
    metric: str
    value: float | None
    """``None`` if the system has no value."""
    songs: frozenset[str]
    """Songs of the value; with the note :data:`NO_SHARED_SONG`, the system's own songs."""
    own: int
    """Songs of the system with a usable value, common or not."""
    total: int
    """Songs of the run, scored in this metric or not."""
    statistic: Statistic = "mean"
    """Over songs."""
    rank: int | None = None
    """From 1; equal values share a rank; ``None`` if the system is not ranked."""
    unranked: str = ""
    """Why the system is not ranked."""
    note: str = ""
    """Why there is no value: the most frequent status of the cells."""
    low: float | None = None
    high: float | None = None
    """95 % bootstrap interval over the songs; ``None`` if not requested or for few songs."""
    letters: str = ""
    """Compact letters, see :func:`benchsep.stats.compare.with_comparisons`."""
    conflicts: tuple[str, ...] = ()
    """Systems that are worse in the value, but not in the paired median."""

    @property
    def n(self) -> int:
        return len(self.songs)

    @property
    def key(self) -> Key:
        return self.system, self.stem, self.metric

    @property
    def ranked(self) -> bool:
        return self.rank is not None

    @property
    def ill_conditioned(self) -> bool:
        """Whether the value comes from ill-conditioned cells, because there are no usable ones."""
        return self.unranked == ILL_CONDITIONED


def aggregate(
    frame: pd.DataFrame,
    traits: Traits,
    *,
    coverage: Coverage = "common",
    statistic: Statistic | None = None,
    intervals: bool = False,
    seed: int = 0,
) -> list[Summary]:
    """Aggregate cells over songs; systems that are not comparable are not ranked.

    Parameters
    ----------
    frame
        Cells of one edition, with :func:`benchsep.stats.average.with_average` applied if averages
        over stems are wanted.
    traits
        Traits of every metric column of the frame.
    coverage
        ``common``: over the songs that all ranked systems have. ``own``: each system over its own
        songs; a system with other songs than the others is not ranked.
    statistic
        Statistic over songs; ``None``: the metric's own.
    intervals
        Add bootstrap intervals (the only slow part: half a minute for a large run).
    seed
        Seed of the bootstrap.

    Returns
    -------
    list of Summary
        Sorted by stem, metric, rank (the systems without one last), system.

    Raises
    ------
    UsageError
        the frame has several editions.
    """
    usable = song_values(frame)
    has_ill = (frame["status"] == ILL_CONDITIONED).any()
    shown = song_values(frame, ill_conditioned=True) if has_ill else usable
    families = last_of_each(frame, "system", "family")
    notes, total = _reasons(frame), songs_of_run(frame)
    summaries: list[Summary] = []
    for stem, metric in sorted({(stem, metric) for _, stem, metric in usable}):
        column = {s: songs for (s, t, m), songs in usable.items() if (t, m) == (stem, metric)}
        common = common_songs(column, families)
        how = statistic or traits[metric].aggregate
        block = []
        for system in sorted(column):
            key = (system, stem, metric)
            own = column[system]
            songs = {t: v for t, v in own.items() if coverage == "own" or t in common}
            unranked, note = "", ""
            if own and not songs:
                unranked = note = NO_SHARED_SONG
            elif not songs:
                songs = shown[key]
                unranked = ILL_CONDITIONED if songs else "no value"
                note = "" if songs else notes.get(key, "")
            value = _aggregate(songs.values(), how) if songs else None
            low, high = _limits(songs, how, seed) if intervals else (None, None)
            block.append(
                Summary(
                    *(system, families[system], stem, metric, value, frozenset(songs or own)),
                    *(len(own), total, how, None, unranked),
                    note=note,
                    low=low,
                    high=high,
                )
            )
        summaries += _ranked(block, traits[metric].direction)
    return summaries


def common_songs(column: Mapping[str, SongValues], families: Mapping[str, str]) -> set[str]:
    """Songs that all ranked systems with any value have; all systems, if none is ranked."""
    ranked = [set(v) for s, v in column.items() if v and families[s] not in REFERENCE_FAMILIES]
    ranked = ranked or [set(v) for v in column.values() if v]
    return set.intersection(*ranked) if ranked else set()


def _aggregate(values: Iterable[float], how: str) -> float:
    return median(values) if how == "median" else fmean(values)


def _limits(songs: SongValues, how: Statistic, seed: int) -> tuple[float | None, float | None]:
    if not songs:
        return None, None
    interval = bootstrap(list(songs.values()), statistic=how, seed=seed)
    return interval.low, interval.high


def _ranked(block: list[Summary], direction: int) -> list[Summary]:
    """The block with ranks for systems with the same songs, and reasons for the others."""
    rivals = [s for s in block if s.family not in REFERENCE_FAMILIES and not s.unranked]
    largest = max((s.n for s in rivals), default=0)
    full = next((s.songs for s in rivals if s.n == largest), frozenset[str]())
    block = [replace(s, unranked=_reason_unranked(s, direction, full)) for s in block]
    ranked = [s for s in block if not s.unranked]
    block = [
        s if s.unranked else replace(s, rank=1 + sum(_beats(o, s, direction) for o in ranked))
        for s in block
    ]
    return sorted(block, key=lambda s: (s.rank is None, s.rank or 0, s.system))


def _reason_unranked(summary: Summary, direction: int, full: frozenset[str]) -> str:
    if summary.unranked:
        return summary.unranked
    if summary.family in REFERENCE_FAMILIES:
        return "reference system"
    if not direction:
        return "no direction"
    return "" if summary.songs == full else f"{summary.n} songs, others {len(full)}"


def _beats(one: Summary, other: Summary, direction: int) -> bool:
    assert one.value is not None and other.value is not None
    return direction * (one.value - other.value) > 0


def _reasons(frame: pd.DataFrame) -> dict[Key, str]:
    """The most frequent status except ``ok``, without details; for the average, over the cells of
    all stems.
    """
    bad = frame[(frame["status"] != "ok") & (frame["stem"] != AVERAGE)]
    counts: dict[Key, Counter[str]] = {}
    columns = [bad[name].tolist() for name in ("system", "stem", "metric", "status")]
    for system, stem, metric, status in zip(*columns, strict=True):
        kind = str(status).split(":", 1)[0].replace("_", " ")
        keys = [(system, stem, metric)]
        keys += [(system, AVERAGE, metric)] if parts_of(stem) else []
        for key in keys:
            counts.setdefault(key, Counter())[kind] += 1
    return {key: min(c, key=lambda kind: (-c[kind], kind)) for key, c in counts.items()}
