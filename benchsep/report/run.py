"""Reads a run for its report, and chooses the songs to show.

Conventions
-----------
edition       figures and songs belong to the edition of the first table; editions of the data are
              never mixed in a table or a figure
disagreement  of two metrics on a song: each cell (system, stem, song) has, for each metric, a rank
              from 0 to 1 among all cells; the song's disagreement is the mean absolute difference
              of the two ranks
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from benchsep.errors import StoreError, UsageError
from benchsep.listeners import badges
from benchsep.report.excerpts import systems_with_audio
from benchsep.report.tables.apart import apart_table
from benchsep.report.tables.build import tables
from benchsep.report.tables.columns import metrics_in_order
from benchsep.report.tables.model import numbered
from benchsep.report.tables.published import published_table
from benchsep.report.tables.spread import with_spread_tables
from benchsep.stats import reaggregated, song_values, with_average, with_combined
from benchsep.stats.songs import of_edition
from benchsep.stems.sets import FOUR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from benchsep.imported.join import Imports
    from benchsep.metrics.metric import ValueTraits
    from benchsep.report.tables.model import Table
    from benchsep.runner.store import Store


@dataclass(frozen=True)
class RunData:
    """Cells, costs, manifest and tables of a run."""

    frame: pd.DataFrame
    costs: pd.DataFrame
    manifest: dict[str, Any]
    traits: dict[str, ValueTraits]
    tables: list[Table]
    messages: tuple[str, ...] = ()
    """Notes on imports, one line each."""

    @property
    def families(self) -> dict[str, str]:
        """System label to family, in table order."""
        return {row.system: row.family for table in self.tables[:1] for row in table.rows}

    @property
    def computed(self) -> dict[str, str]:
        """The families of the run's own systems; imported ones have no audio."""
        imported = self.manifest.get("imported", {})
        return {s: family for s, family in self.families.items() if s not in imported}

    @property
    def metrics(self) -> list[str]:
        """Metric columns in table order."""
        return metrics_in_order(set(self.frame["metric"]) & set(self.traits), self.traits)

    @property
    def edition(self) -> str:
        """Edition of the first table; empty for a run without cells."""
        return self.tables[0].edition if self.tables else ""

    @property
    def tracks(self) -> list[str]:
        return sorted(set(map(str, self.frame["track"].unique())))

    @cached_property
    def song_values(self) -> Mapping[tuple[str, str, str], Mapping[str, float]]:
        """``(system, stem, metric)`` to ``{song: value}`` of the first edition, averages included.

        For the figures.
        """
        cells = of_edition(self.frame, self.edition)
        return song_values(with_average(cells[cells["metric"].isin(self.metrics)]))


def load(
    folder: Path,
    *,
    improvement: bool = False,
    intervals: bool = True,
    aggregation: Literal["mean", "median"] | None = None,
    exclude_seen: bool = False,
    imports: Imports | None = None,
    combine: Sequence[str] = (),
) -> RunData:
    """Read a run folder and make its tables.

    Parameters
    ----------
    improvement
        Add the gains over the mixture to the tables.
    intervals
        Add intervals and compact letters to the tables (half a minute for a large run).
    aggregation
        One statistic over songs (and over frames, if they are stored) instead of each metric's own.
    exclude_seen
        Leave out the cells of songs that a system was trained on.
    imports
        Results of others to show together with those of the run.
    combine
        Combined metrics to add, such as ``visqol+mrstft``.

    Raises
    ------
    StoreError
        ``folder`` is not a run folder, or has no results.
    UsageError
        see :func:`benchsep.imported.join.with_imports` and
        :func:`benchsep.stats.with_combined`.
    """
    from benchsep.imported.join import with_imports
    from benchsep.runner.frame import load_cells_and_costs
    from benchsep.runner.manifest import stem_set_of
    from benchsep.runner.notes.seen import without_seen
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    cells, costs = load_cells_and_costs(folder)
    joined = with_imports(cells, Store(folder).manifest(), imports)
    frame, manifest = joined.cells, joined.manifest
    if frame.empty:
        raise StoreError(
            f"{folder}: found no readable result, expected a folder that `benchsep run` or "
            "`benchsep merge` wrote"
        )
    frame = without_seen(frame, manifest) if exclude_seen else frame
    frame, traits = reaggregated(frame, traits_in(frame, manifest), aggregation)
    frame, traits = with_combined(frame, traits, combine)
    report = tables(frame, costs, manifest, traits, improvement=improvement, intervals=intervals)
    report = with_spread_tables(report, frame, manifest, traits)
    for edition in dict.fromkeys(table.edition for table in report):
        is_four = set(stem_set_of(manifest)) == set(FOUR)
        published = published_table(report, edition) if is_four else None
        if published:
            report.append(published)
    return RunData(frame, costs, manifest, traits, report, joined.messages)


def with_likeness(run: RunData, store: Store) -> RunData:
    """The run with an additional table, for songs without stems: the similarity of the systems'
    kept estimates.

    ``run`` itself for songs with stems, or if no two systems have kept estimates.
    """
    if run.edition != "mixtures":
        return run
    systems = systems_with_audio(run.computed)
    table = apart_table(store, systems, run.tracks)
    if table is None:
        return run
    return replace(run, tables=[*run.tables, numbered(table, len(run.tables) + 1)])


# -- songs to show ------------------------------------------------------------------------------


def most_disputed_songs(run: RunData, limit: int) -> list[str]:
    """At most ``limit`` songs, those with the largest disagreement of metrics first.

    Raises
    ------
    UsageError
        a negative limit.
    """
    if limit < 0:
        raise UsageError(f"the number of songs is {limit}, expected a whole number from 0")
    return rank_by_disagreement(run.tracks, song_disagreement(run), limit)


def song_disagreement(run: RunData) -> dict[str, float]:
    """Song to the disagreement of the :func:`contrasting_metrics`; empty without such a pair."""
    pair = contrasting_metrics(run)
    return disagreement(run.frame, *pair) if pair else {}


def contrasting_metrics(run: RunData) -> tuple[str, str, int] | None:
    """The two metrics for the disagreement, and the product of their directions.

    The first metric that tolerates misalignment and the first that does not. Without both kinds:
    the first two that tolerate it, or ``None``.
    """
    tolerant = [m for m in run.metrics if not badges.fails_across(m, run.traits[m])]
    strict = [m for m in run.metrics if m not in tolerant]
    pair = (tolerant[:1] + strict[:1]) if tolerant and strict else tolerant[:2]
    if len(pair) < 2:
        return None
    return pair[0], pair[1], run.traits[pair[0]].direction * run.traits[pair[1]].direction


def disagreement(frame: pd.DataFrame, one: str, other: str, direction: int = 1) -> dict[str, float]:
    """Song to the disagreement (0 to 1) of two metrics over the ranked systems.

    Parameters
    ----------
    frame
        Cells of the run.
    one, other
        Metric columns.
    direction
        Product of the metrics' directions: -1 where one of them is better when low.
    """
    keys = ["system", "stem", "track"]
    ranked = frame[(frame["status"] == "ok") & ~frame["family"].isin(["mixture", "oracle"])]
    wide = ranked[ranked["metric"].isin([one, other])].pivot_table(
        index=keys, columns="metric", values="value", aggfunc="mean"
    )
    if one not in wide or other not in wide:
        return {}
    wide = wide[[one, other]].dropna()
    if wide.empty:
        return {}
    first = wide[one].rank(pct=True)
    second = (direction * wide[other]).rank(pct=True)
    by_song = (first - second).abs().groupby(level="track").mean()
    return {str(track): float(value) for track, value in sorted(by_song.items())}


def rank_by_disagreement(
    tracks: Sequence[str], by_song: Mapping[str, float], limit: int
) -> list[str]:
    """At most ``limit`` of ``tracks``, largest disagreement first, then by name."""
    return sorted(tracks, key=lambda t: (-by_song.get(t, 0.0), t))[: max(limit, 0)]
