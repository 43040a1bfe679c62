"""Chooses the figures of a run, with data, labels and titles.

Functions return ``None`` if the run has too little data for their figure.

Functions
---------
summary_figures       all figures over songs, with their file names
distribution          songs of each system under one metric
paired_differences    differences of all pairs under the first metric
quality_against_cost  first metric against real-time factor and memory
metric_disagreement   the two contrasting metrics, song by song
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Any

from benchsep.report.figures.cost import cost_figure
from benchsep.report.figures.disagreement import disagreement_figure
from benchsep.report.figures.forest import forest_figure
from benchsep.report.figures.songs import distribution_figure
from benchsep.report.run import contrasting_metrics
from benchsep.report.tables.columns import display, is_headline
from benchsep.report.tables.model import group_of, is_reference
from benchsep.stats.songs import AVERAGE, stem_or_average

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.figure import Figure

    from benchsep.report.run import RunData


def summary_figures(run: RunData) -> Iterator[tuple[str, Figure]]:
    """File name (without its ending) and figure, one at a time."""
    for metric in run.metrics:
        if is_headline(metric, run.traits):
            figure = distribution(run, metric)
            if figure is not None:
                yield f"songs-{metric}", figure
    for name, make in _SUMMARY:
        figure = make(run)
        if figure is not None:
            yield name, figure


def distribution(run: RunData, metric: str) -> Figure | None:
    """The songs of each system; ``None`` if no system has two songs."""
    stem = _headline_stem(run, metric)
    songs = {s: list(run.song_values.get((s, stem, metric), {}).values()) for s in run.families}
    largest = max(map(len, songs.values()), default=0)
    if largest < 2:
        return None
    notes = {s: _reason_without_value(run, s, stem, metric) for s in run.families}
    for system in filter(is_reference, songs):
        if is_off_scale(songs, system):
            notes[system] = f"off the scale: median {median(songs[system]):.1f}"
            songs[system] = []
    title = f"{display(metric, run.traits)}, {_stem_words(stem)}: {largest} songs"
    return distribution_figure(
        songs, run.families, label=_axis_label(run, metric), title=title, notes=notes
    )


def is_off_scale(songs: Mapping[str, Sequence[float]], system: str) -> bool:
    """Whether a system is an outlier that would compress the axis of the others.

    True if its distance from the others exceeds their range.
    """
    others = [v for s, values in songs.items() if s != system for v in values]
    if not others or not songs[system]:
        return False
    span = max(others) - min(others)
    return min(songs[system]) > max(others) + span or max(songs[system]) < min(others) - span


def _reason_without_value(run: RunData, system: str, stem: str, metric: str) -> str:
    """The note of the first table's cell, or that stems are missing."""
    cell = run.tables[0].cell(system, metric, stem)
    return cell.note if cell and cell.note else "not all stems" if stem == AVERAGE else ""


def paired_differences(run: RunData) -> Figure | None:
    """Every pair of systems, the better one first, sorted by decreasing difference."""
    from benchsep.stats import compare, with_average

    if not run.metrics or not run.traits[run.metrics[0]].direction:
        return None
    metric = run.metrics[0]
    direction, stem = run.traits[metric].direction, _headline_stem(run, metric)
    cells = run.frame[
        (run.frame["edition"].astype(str) == run.edition) & (run.frame["metric"] == metric)
    ]
    compared = compare(with_average(cells), run.traits)
    compared = compared[compared["stem"] == stem].dropna(subset=["difference", "low", "high"])
    records: list[Any] = compared.to_dict("records")
    if not records:
        return None
    rows = sorted((better_first(r, direction) for r in records), key=lambda row: -row[1])
    name = display(metric, run.traits)
    sign = "" if direction > 0 else ", sign turned"
    label = f"lead of the first over the second in {name}{sign} (95 % bootstrap interval)"
    songs = max(r["n"] for r in records)
    title = f"Paired differences in {name}, {_stem_words(stem)}: {songs} songs"
    return forest_figure(rows, label=label, title=title)


def better_first(record: Mapping[str, Any], direction: int) -> tuple[str, float, float, float]:
    """Name, difference and interval of a pair, in the order with a positive difference."""
    middle, low, high = (direction * record[k] for k in ("difference", "low", "high"))
    low, high = sorted((low, high))
    if middle < 0:
        return f"{record['b']} − {record['a']}", -middle, -high, -low
    return f"{record['a']} − {record['b']}", middle, low, high


def quality_against_cost(run: RunData) -> Figure | None:
    """The first metric against cost; ``None`` without measured real-time factors."""
    if not run.metrics or not run.tables:
        return None
    metric = run.metrics[0]
    stem = _headline_stem(run, metric)
    points, reference_lines = {}, {}
    for row in run.tables[0].rows:
        quality = _table_value(run, row.system, metric, stem, "score")
        rtf = _table_value(run, row.system, "rtf", "", "cost")
        memory = _table_value(run, row.system, "peak_memory_mb", "", "cost")
        if math.isnan(quality):
            continue
        if group_of(row.family) == "yardstick":
            reference_lines[row.system] = quality
        else:
            points[row.system] = (quality, rtf, memory)
    if all(math.isnan(rtf) for _, rtf, _ in points.values()):
        return None
    title = f"Quality against cost: {display(metric, run.traits)}, {_stem_words(stem)}"
    label = _axis_label(run, metric)
    return cost_figure(
        points, run.families, label=label, title=title, reference_lines=reference_lines
    )


def _table_value(run: RunData, system: str, metric: str, stem: str, kind: str) -> float:
    """A value of the first table; NaN where there is none."""
    cell = run.tables[0].cell(system, metric, stem, kind=kind)
    return math.nan if cell is None or cell.value is None else cell.value


def metric_disagreement(run: RunData) -> Figure | None:
    """The contrasting metrics over the ranked systems; ``None`` with fewer than three points."""
    pair = contrasting_metrics(run)
    if pair is None:
        return None
    one, other, _ = pair
    available = {(stem, metric) for _, stem, metric in run.song_values}
    stem = next(
        (s for s in (AVERAGE, "vocals") if {(s, one), (s, other)} <= available),
        None,
    )
    if stem is None:
        return None
    ranked = [s for s, family in run.families.items() if group_of(family) != "yardstick"]
    joint = {system: _joint_values(run, system, stem, one, other) for system in ranked}
    points = {system: songs for system, songs in joint.items() if songs}
    if sum(map(len, points.values())) < 3:
        return None
    return disagreement_figure(
        points,
        run.families,
        labels=(_axis_label(run, one), _axis_label(run, other)),
        title=f"Where two metrics disagree, {_stem_words(stem)}",
    )


def _joint_values(
    run: RunData, system: str, stem: str, one: str, other: str
) -> dict[str, tuple[float, float]]:
    """Song to its values under both metrics, for the songs that have both."""
    x, y = (run.song_values.get((system, stem, metric), {}) for metric in (one, other))
    return {song: (x[song], y[song]) for song in sorted(x.keys() & y.keys())}


_SUMMARY: tuple[tuple[str, Callable[[RunData], Figure | None]], ...] = (
    ("differences", paired_differences),
    ("cost", quality_against_cost),
    ("disagreement", metric_disagreement),
)


# -- words --------------------------------------------------------------------------------------


def _headline_stem(run: RunData, metric: str) -> str:
    """The only stem of a metric, or the average over its stems."""
    return stem_or_average(run.frame.loc[run.frame["metric"] == metric, "stem"])


def _axis_label(run: RunData, metric: str) -> str:
    traits = run.traits[metric]
    unit = f" ({traits.unit})" if traits.unit else ""
    better = {1: ", higher is better", -1: ", lower is better"}.get(traits.direction, "")
    return f"{display(metric, run.traits)}{unit}{better}"


def _stem_words(stem: str) -> str:
    return "mean over stems" if stem == AVERAGE else stem
