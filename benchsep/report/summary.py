"""The one door through which the report gets aggregated numbers.

Conventions
-----------
track value   mean over draws; a track on which any draw has no value counts as missing, so that
              a lucky draw never enters a table
coverage      ``n`` tracks with a value of ``total`` tracks of the edition
gain          paired by song: ``direction * (system - mixture)`` on the tracks that both have,
              so that more is always better

Functions
---------
summarise   one system, stem and metric to a :class:`Summary`
paired_gain the same for the gain over the mixture
combine     the mean over stems
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

USABLE = ("ok", "ill_conditioned")


@dataclass(frozen=True)
class Summary:
    """An aggregate over tracks and what it stands on."""

    value: float | None
    n: int
    total: int
    tracks: frozenset[object]
    ill_conditioned: bool = False
    note: str = ""


@dataclass(frozen=True)
class Series:
    """Track to value for one (system, stem, metric), with the statuses of the rest."""

    values: Mapping[str, float]
    ill_conditioned: bool
    statuses: Mapping[str, int]


def track_series(frame: pd.DataFrame) -> dict[tuple[str, str, str], Series]:
    """``(system, stem, metric)`` to its :class:`Series`; ``frame`` holds one edition."""
    found: dict[tuple[str, str, str], dict[str, list[tuple[float, str]]]] = {}
    columns = ("system", "stem", "metric", "track", "value", "status")
    for system, stem, metric, track, value, status in zip(
        *(frame[c] for c in columns), strict=True
    ):
        cells = found.setdefault((system, stem, metric), {}).setdefault(track, [])
        cells.append((float(value), str(status)))
    return {key: _series(tracks) for key, tracks in found.items()}


def _series(tracks: Mapping[str, list[tuple[float, str]]]) -> Series:
    values, statuses, ill = {}, Counter[str](), False
    for track in sorted(tracks):
        cells = tracks[track]
        bad = [status for value, status in cells if not _usable(value, status)]
        if bad:
            statuses.update([min(bad)])
            continue
        values[track] = fmean(value for value, _ in cells)
        ill = ill or any(status == "ill_conditioned" for _, status in cells)
    return Series(values, ill, statuses)


def _usable(value: float, status: str) -> bool:
    return status in USABLE and value == value


def summarise(series: Series | None, total: int, how: str) -> Summary:
    """Aggregate by ``how`` (``mean`` or ``median``) over tracks."""
    if series is None:
        return Summary(None, 0, total, frozenset())
    if not series.values:
        return Summary(None, 0, total, frozenset(), note=_reason(series.statuses))
    return Summary(
        _aggregate(series.values.values(), how),
        len(series.values),
        total,
        frozenset(series.values),
        series.ill_conditioned,
    )


def paired_gain(
    system: Series | None, mixture: Series | None, total: int, how: str, direction: int
) -> Summary:
    """The gain over the mixture on the songs that both have."""
    if system is None or mixture is None:
        return Summary(None, 0, total, frozenset())
    sign = -1 if direction < 0 else 1
    gains = {
        t: sign * (v - mixture.values[t]) for t, v in system.values.items() if t in mixture.values
    }
    ill = system.ill_conditioned or mixture.ill_conditioned
    return summarise(Series(gains, ill, {}), total, how)


def combine(parts: list[Summary]) -> Summary:
    """Mean over stems; no value unless every stem has one."""
    n, total = sum(p.n for p in parts), sum(p.total for p in parts)
    tracks: frozenset[object] = frozenset((i, t) for i, p in enumerate(parts) for t in p.tracks)
    values = [p.value for p in parts if p.value is not None]
    if not parts or len(values) < len(parts):
        notes = {p.note for p in parts if p.value is None}
        # One reason for all stems is worth naming; a stem that the system lacks is not a failure.
        return Summary(None, n, total, tracks, note=notes.pop() if len(notes) == 1 else "")
    ill = any(p.ill_conditioned for p in parts)
    return Summary(fmean(values), n, total, tracks, ill)


def _aggregate(values: Iterable[float], how: str) -> float:
    return median(values) if how == "median" else fmean(values)


def _reason(statuses: Mapping[str, int]) -> str:
    """The commonest status, its first words."""
    if not statuses:
        return ""
    status = min(statuses, key=lambda s: (-statuses[s], s))
    return status.split(":", 1)[0].replace("_", " ")
