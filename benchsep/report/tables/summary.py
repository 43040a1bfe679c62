"""The one door through which the report gets aggregated numbers; the rules are those of
:mod:`benchsep.stats.core`, and a test holds the two together.

Conventions
-----------
song value  mean over draws; a song on which any draw has no value is missing
average     pseudo stem: the song's mean over all stems, where all have a value
common      a column is aggregated over the songs that every ranked system with any value has
gain        paired by song: ``direction * (system - mixture)``: more is always better
intervals   optional, since resampling a large run takes half a minute: ``benchsep show`` prints
            values at once, ``benchsep report`` adds the intervals and letters

Functions
---------
summaries  ``(system, stem, metric)`` to :class:`Summary`
gains      the same for gains over the mixture
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from benchsep.stats import core as stats
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

Key = tuple[str, str, str]
Songs = dict[str, float]


@dataclass(frozen=True)
class Summary:
    """An aggregate over songs and what it stands on."""

    value: float | None
    songs: frozenset[str]
    total: int
    ranked: bool = False
    ill_conditioned: bool = False
    note: str = ""
    low: float | None = None
    high: float | None = None
    letters: str = ""
    conflicts: tuple[str, ...] = ()
    """Systems over which this one leads in the table, though not in the paired median."""

    @property
    def n(self) -> int:
        return len(self.songs)


def summaries(
    frame: pd.DataFrame, traits: Mapping[str, ValueTraits], *, intervals: bool = False
) -> dict[Key, Summary]:
    """Every (system, stem, metric) of one edition, with the pseudo stem ``average``."""
    sound = with_averages(stats.song_values(frame), frame)
    shown = with_averages(stats.song_values(frame, ill_conditioned=True), frame)
    made = _aggregated(sound, shown, _families(frame), _songs(frame), traits)
    notes = _reasons(frame)
    made = {
        key: s if s.value is not None else replace(s, note=notes.get(key, ""))
        for key, s in made.items()
    }
    return _with_intervals(made, frame, traits) if intervals else made


def gains(
    frame: pd.DataFrame, traits: Mapping[str, ValueTraits], mixture: str
) -> dict[Key, Summary]:
    """Gains over the system called ``mixture``, which itself has none."""
    values = with_averages(stats.song_values(frame), frame)
    gained = {}
    for (system, stem, metric), songs in values.items():
        start = values.get((mixture, stem, metric), {})
        sign = -1 if traits[metric].direction < 0 else 1
        if system != mixture:
            paired = {t: sign * (v - start[t]) for t, v in songs.items() if t in start}
            gained[system, stem, metric] = paired
    return _aggregated(gained, gained, _families(frame), _songs(frame), traits)


def with_averages(values: Mapping[Key, Songs], frame: pd.DataFrame) -> dict[Key, Songs]:
    """Song values with the pseudo stem ``average`` for metrics of several stems."""
    stems: dict[str, set[str]] = {}
    for metric, stem in zip(frame["metric"], frame["stem"], strict=True):
        stems.setdefault(metric, set()).add(stem)
    made = dict(values)
    for system, metric in sorted({(s, m) for s, _, m in values}):
        wanted = sorted(stems[metric])
        parts = [values.get((system, stem, metric), {}) for stem in wanted]
        if len(parts) > 1:
            common = sorted(set(parts[0]).intersection(*parts[1:]))
            made[system, stats.AVERAGE, metric] = {t: fmean(p[t] for p in parts) for t in common}
    return made


def _aggregated(
    sound: Mapping[Key, Songs],
    shown: Mapping[Key, Songs],
    families: Mapping[str, str],
    songs: int,
    traits: Mapping[str, ValueTraits],
) -> dict[Key, Summary]:
    made = {}
    for stem, metric in sorted({(stem, metric) for _, stem, metric in sound}):
        column = {s: sound[s, t, m] for s, t, m in sound if (t, m) == (stem, metric)}
        common = _common(column, families)
        for system, own in column.items():
            kept = {t: v for t, v in own.items() if t in common}
            ill = not kept and bool(shown.get((system, stem, metric)))
            kept = kept or shown.get((system, stem, metric), {})
            made[system, stem, metric] = Summary(
                _aggregate(kept.values(), traits[metric].aggregate) if kept else None,
                frozenset(kept),
                songs,
                ranked=bool(kept) and not ill and families[system] not in REFERENCE_FAMILIES,
                ill_conditioned=ill,
            )
    return made


def _common(column: Mapping[str, Songs], families: Mapping[str, str]) -> set[str]:
    """Songs of every ranked system with any value; of every system if none is ranked."""
    ranked = [set(v) for s, v in column.items() if v and families[s] not in REFERENCE_FAMILIES]
    ranked = ranked or [set(v) for v in column.values() if v]
    return set.intersection(*ranked) if ranked else set()


def _aggregate(values: Iterable[float], how: str) -> float:
    return median(values) if how == "median" else fmean(values)


def _families(frame: pd.DataFrame) -> dict[str, str]:
    return dict(zip(frame["system"], frame["family"], strict=True))


def _songs(frame: pd.DataFrame) -> int:
    """Songs of the run, whether this metric has cells on them or not: a run that stopped half way
    shows it.
    """
    return int(frame["track"].nunique())


def _reasons(frame: pd.DataFrame) -> dict[Key, str]:
    """The commonest status other than ``ok``, its first words."""
    bad = frame[frame["status"] != "ok"]
    counts: dict[Any, Counter[str]] = {}
    for system, stem, metric, status in zip(
        bad["system"], bad["stem"], bad["metric"], bad["status"], strict=True
    ):
        word = str(status).split(":", 1)[0].replace("_", " ")
        for key in ((system, stem, metric), (system, stats.AVERAGE, metric)):
            counts.setdefault(key, Counter())[word] += 1
    return {key: min(c, key=lambda w: (-c[w], w)) for key, c in counts.items()}


def _with_intervals(
    made: Mapping[Key, Summary], frame: pd.DataFrame, traits: Mapping[str, ValueTraits]
) -> dict[Key, Summary]:
    whole = stats.with_average(frame)
    aggregated = stats.aggregate(whole, traits)
    compared = stats.compare(whole, traits)
    letters = stats.groups(compared, aggregated)
    against: dict[Any, list[str]] = {}
    for r in compared[compared["sign_conflict"]].to_dict("records"):
        leads = r["gap"] * traits[r["metric"]].direction > 0
        one, other = (r["a"], r["b"]) if leads else (r["b"], r["a"])
        against.setdefault((one, r["stem"], r["metric"]), []).append(other)
    shared = {(r.system, r.stem, r.metric): str(r.letters) for r in letters.itertuples()}
    bounds = {(r.system, r.stem, r.metric): (r.low, r.high) for r in aggregated.itertuples()}
    # One letter for all says nothing that the intervals do not say already.
    telling = {
        (stem, metric)
        for stem, metric in {(s, m) for _, s, m in shared}
        if len({v for (_, s, m), v in shared.items() if (s, m) == (stem, metric)}) > 1
    }
    return {
        key: replace(
            s,
            low=_finite(bounds.get(key, (None, None))[0]),
            high=_finite(bounds.get(key, (None, None))[1]),
            letters=shared.get(key, "") if key[1:] in telling else "",
            conflicts=tuple(sorted(against.get(key, ()))),
        )
        for key, s in made.items()
    }


def _finite(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
