"""One edition of a run, aggregated and indexed, as input for the tables of scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchsep import stats
from benchsep._util.memory import collector_paused
from benchsep.report.tables.columns import metrics_in_order, stem_order
from benchsep.report.tables.model import GROUPS, group_of, reference_rank
from benchsep.runner.notes.fewer import fewer_draws
from benchsep.runner.notes.lag import late_systems
from benchsep.runner.notes.mistakes import mistaken_systems
from benchsep.runner.notes.mixed import mixed_systems, mixed_versions
from benchsep.runner.notes.seen import Seen, seen_songs
from benchsep.runner.notes.sessions import sessions_of
from benchsep.stats.average import Averages
from benchsep.stats.keys import last_of_each
from benchsep.stats.songs import AVERAGE, WITHOUT_BASS, Key, of_edition, stem_or_average

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

Costs = tuple[float | None, float | None]
"""Median real-time factor, largest memory of a separation in MB."""


@dataclass(frozen=True)
class Edition:
    """The cells of one edition of the data, aggregated."""

    name: str
    scores: Mapping[Key, stats.Summary]
    gains: Mapping[Key, stats.Summary]
    """Gains over the mixture; empty unless requested."""
    without_bass: Mapping[Key, stats.Summary]
    """Summaries of the pseudo stem :data:`benchsep.stats.songs.WITHOUT_BASS`, without intervals."""
    families: Mapping[str, str]
    """System label to family."""
    tracks: tuple[str, ...]
    draws: int
    traits: Mapping[str, ValueTraits]
    costs: Mapping[str, Costs]
    """System label to costs; empty if nothing was measured."""
    sessions: Mapping[str, frozenset[str]]
    """System label to the calls of ``run`` that timed it; ``""`` for older runs."""
    late: Mapping[str, str]
    """System label to a sentence, for systems whose estimates have a delay."""
    mistakes: Mapping[str, list[str]]
    """System to sentences on suspected mistakes in the files of its estimates."""
    manifest: Mapping[str, Any]
    seen: Seen
    """Songs that the systems were trained on."""
    versions: Mapping[str, str]
    """Metric to a sentence, if its values come from several versions."""
    fewer: tuple[str, ...]
    """A sentence for each system with missing draws, or with values of several versions of it."""

    @property
    def imported(self) -> Mapping[str, Mapping[str, str]]:
        """The imported systems, see :mod:`benchsep.imported.join`."""
        return self.manifest.get("imported") or {}

    @property
    def systems(self) -> list[str]:
        """Labels in the order of rows: by group, reference systems by rank, then by label."""
        return sorted(self.families, key=self._sort_key)

    def _sort_key(self, label: str) -> tuple[int, int, str]:
        family = self.families[label]
        return list(GROUPS).index(group_of(family)), reference_rank(label, family), label

    @property
    def metrics(self) -> list[str]:
        """Metric columns in table order."""
        return metrics_in_order({metric for _, _, metric in self.scores}, self.traits)

    def stems(self, metric: str) -> tuple[str, ...]:
        """Stems that a metric was scored on, in table order."""
        return stem_order({s for _, s, name in self.scores if name == metric} - {AVERAGE})

    def stem_or_average(self, metric: str) -> str:
        """The only stem of a metric, or the average over its stems."""
        return stem_or_average(self.stems(metric))


def editions(
    frame: pd.DataFrame,
    costs: pd.DataFrame,
    manifest: Mapping[str, Any],
    traits: Mapping[str, ValueTraits],
    *,
    improvement: bool,
    intervals: bool,
) -> list[Edition]:
    """The editions of a run by name; parameters as in ``benchsep.report.tables.build.tables``."""
    names = sorted(map(str, frame["edition"].unique()))
    with collector_paused():  # rows by the hundred thousand
        return [
            _edition(of_edition(frame, name), costs, manifest, traits, improvement, intervals)
            for name in names
        ]


def _edition(
    cells: pd.DataFrame,
    costs: pd.DataFrame,
    manifest: Mapping[str, Any],
    traits: Mapping[str, ValueTraits],
    improvement: bool,
    intervals: bool,
) -> Edition:
    """One edition from its cells."""
    name = str(cells["edition"].iloc[0])
    families = last_of_each(cells, "system", "family")
    cells = cells[cells["metric"].isin(list(traits))]
    averages = Averages(cells)
    averaged = averages.with_average()
    scores = _scores(averaged, traits, intervals)
    return Edition(
        name=name,
        scores=scores,
        gains=_gains(averaged, traits, families) if improvement else {},
        without_bass=_without_bass(averages, traits, scores),
        families=families,
        tracks=tuple(sorted(map(str, cells["track"].unique()))),
        draws=int(cells["draw"].nunique()) if "draw" in cells else 1,
        traits=traits,
        costs=_costs(costs, set(families)),
        sessions=sessions_of(costs, set(families)),
        late={s: text for s, text in late_systems(costs).items() if s in families},
        mistakes={s: said for s, said in mistaken_systems(costs).items() if s in families},
        manifest=manifest,
        seen=seen_songs(cells, manifest),
        fewer=(*mixed_systems(cells, costs), *fewer_draws(cells, manifest)),
        versions=mixed_versions(cells, manifest.get("imported") or {}),
    )


def _scores(
    averaged: pd.DataFrame, traits: Mapping[str, ValueTraits], intervals: bool
) -> dict[Key, stats.Summary]:
    """Summaries by key; with intervals, also letters and conflicts of the paired comparison."""
    summaries = stats.aggregate(averaged, traits, intervals=intervals)
    if intervals:
        compared = stats.compare(averaged, traits)
        summaries = stats.with_comparisons(summaries, compared, traits)
    return {s.key: s for s in summaries}


def _without_bass(
    averages: Averages, traits: Mapping[str, ValueTraits], scores: Mapping[Key, stats.Summary]
) -> dict[Key, stats.Summary]:
    """Summaries of the mean without bass; a missing value has the reason of the average."""
    return {
        s.key: replace(s, total=average.total, note=average.note)
        for s in stats.aggregate(averages.rows(WITHOUT_BASS), traits)
        if (average := scores.get((s.system, AVERAGE, s.metric))) is not None
    }


def _gains(
    averaged: pd.DataFrame, traits: Mapping[str, ValueTraits], families: Mapping[str, str]
) -> dict[Key, stats.Summary]:
    """Summaries of the gains over the mixture; the mixture has none."""
    mixture = min((s for s, f in families.items() if f == "mixture"), default=None)
    if mixture is None:
        return {}
    gained = stats.improvement(averaged, traits, over=mixture)
    # A higher gain is better for every metric. The reason of a missing value is shown only in the
    # column of the value.
    rising = {c: replace(t, direction=abs(t.direction)) for c, t in traits.items()}
    return {s.key: replace(s, note="") for s in stats.aggregate(gained, rising)}


def _costs(costs: pd.DataFrame, systems: set[str]) -> dict[str, Costs]:
    """Costs of the systems that were measured."""
    measured = {}
    for label, rows in costs.groupby("system"):
        if label in systems:
            rtf = rows["rtf"].astype(float).dropna()
            memory = rows["peak_memory_mb"].astype(float).dropna()
            measured[str(label)] = (
                float(rtf.median()) if len(rtf) else None,
                float(memory.max()) if len(memory) else None,
            )
    return measured
