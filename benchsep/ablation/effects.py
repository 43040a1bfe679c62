"""Effects of an ablation: paired differences to the base, main effects, interactions.

Conventions
-----------
cells       the run's cells with variants as systems and training seeds as draws, so that the
            statistics of :mod:`benchsep.stats` apply: a song's value is the mean over seeds.
            Several draws of one trained variant for a song are averaged first
unit        the song: intervals are bootstrapped over songs
seed range  largest minus smallest mean over songs among a variant's seeds (without a trainer: among
            its draws), column ``spread``: the effect of a second training of the same configuration
references  rows of the run that are not variants: mixture, true stems, oracles
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.ablation.execute import Executed
from benchsep.ablation.grid import Ablation, Variant, expand
from benchsep.metrics.metric import ValueTraits
from benchsep.report.tables.model import reference_rank
from benchsep.stats import AVERAGE, Summary, aggregate, compare, song_values, with_average
from benchsep.stats.average import mean_or_reason
from benchsep.stats.bootstrap import FEWEST, bootstrap
from benchsep.stats.signflip import sign_flip
from benchsep.stats.significance import holm
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Effects:
    """The effects of one ablation."""

    ablation: Ablation
    cells: pd.DataFrame
    """From :func:`variant_cells`, including averages over stems."""
    differences: pd.DataFrame
    """A row per variant, stem and metric: :func:`benchsep.stats.compare` with the base, and
    ``spread``, the seed range of the variant."""
    factors: pd.DataFrame
    """Main effects and interactions on the headline metric's average; empty unless the grid is a
    product of axes."""
    traits: Mapping[str, ValueTraits]
    edition: str
    references: Sequence[Summary] = ()
    """From :func:`reference_summaries`."""


def measure(done: Executed) -> Effects:
    """Compare the variants of a run."""
    from benchsep.runner.frame import load_run
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    whole = load_run(done.run)
    traits = traits_in(whole, Store(done.run).manifest())
    cells = with_average(variant_cells(whole, done))
    base = expand(done.ablation)[0].name
    wanted = {metric for metric, _ in table_columns(done.ablation)}
    cells = cells[cells["metric"].isin(sorted(wanted))]
    if base not in set(cells["system"]):
        differences = compare(cells.iloc[:0], traits)
    else:
        shown = _shown(cells, done.ablation)
        differences = compare(shown, traits, against=base, yardsticks=True)
    differences = differences.rename(columns={"a": "variant", "b": "base"})
    differences["spread"] = [
        seed_range(cells, str(row.variant), str(row.stem), str(row.metric))
        for row in differences.itertuples()
    ]
    return Effects(
        done.ablation,
        cells,
        differences,
        factor_effects(cells, done.ablation),
        traits,
        str(cells["edition"].iloc[0]) if len(cells) else "",
        reference_summaries(reference_cells(whole, done), cells, traits),
    )


def reference_cells(whole: pd.DataFrame, done: Executed) -> pd.DataFrame:
    """The cells of the ablation's rows that are not variants."""
    if done.references is not None:
        return whole[whole["system"].isin(done.references)]
    return whole[~whole["system"].isin(set(done.labels.values()))]


def reference_summaries(
    whole: pd.DataFrame, cells: pd.DataFrame, traits: Mapping[str, ValueTraits]
) -> list[Summary]:
    """Means of the reference systems over the variants' songs, in the order of the tables."""
    same = whole["track"].isin(set(cells["track"])) & whole["metric"].isin(set(cells["metric"]))
    part = whole[whole["family"].isin(REFERENCE_FAMILIES) & same]
    if part.empty:
        return []
    summaries = aggregate(with_average(part), traits, coverage="own", statistic="mean")
    return sorted(summaries, key=lambda s: (reference_rank(s.system, s.family), s.key))


def variant_cells(frame: pd.DataFrame, done: Executed) -> pd.DataFrame:
    """Cells of the variants on the ablation's songs: variant as system, seed as draw."""
    import pandas as pd

    if done.tracks is not None:
        frame = frame[frame["track"].isin(done.tracks)]
    parts = []
    for (variant, seed), label in done.labels.items():
        part = frame[frame["system"] == label].copy()
        part["system"] = variant
        if seed >= 0:
            part = _average_draws(part).assign(draw=seed)
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else frame.iloc[:0]


def _average_draws(part: pd.DataFrame) -> pd.DataFrame:
    """One cell per song, stem and metric: the mean over draws, or the first draw's status."""
    import pandas as pd

    keys = ["system", "family", "edition", "metric", "stem", "track"]
    rows = []
    for key, cells in part.sort_values("draw").groupby(keys, sort=True, dropna=False):
        mean = mean_or_reason(list(cells["value"]), list(cells["status"]))
        rows.append({**dict(zip(keys, key, strict=True)), **mean})
    return pd.DataFrame(rows, columns=[*keys, "value", "status"])


def table_columns(ablation: Ablation) -> list[tuple[str, str]]:
    """``(metric, stem)`` of the table: the headline metric for every stem, then the other
    columns.
    """
    from benchsep.audio import STEMS

    headline = [(ablation.headline, stem) for stem in (*STEMS, AVERAGE)]
    others = [tuple(column.rsplit("/", 1)) for column in ablation.columns]
    return [*headline, *((m, s) for m, s in others)]


def _shown(cells: pd.DataFrame, ablation: Ablation) -> pd.DataFrame:
    """The cells of the table's columns."""
    wanted = set(table_columns(ablation))
    keys = zip(cells["metric"], cells["stem"], strict=True)
    return cells[[key in wanted for key in keys]]


def seed_range(cells: pd.DataFrame, variant: str, stem: str, metric: str) -> float:
    """Largest minus smallest mean over songs among the seeds; NaN for a single one."""
    part = cells[
        (cells["system"] == variant) & (cells["stem"] == stem) & (cells["metric"] == metric)
    ]
    means = part.groupby("draw")["value"].mean()
    return float(means.max() - means.min()) if len(means) > 1 else math.nan


def factor_effects(cells: pd.DataFrame, ablation: Ablation) -> pd.DataFrame:
    """Main effects and two-way interactions of a product grid, on the headline's average.

    A main effect of a level is its mean difference to the first level of the axis, over all
    settings of the other axes. An interaction is the difference of two such differences.
    """
    import pandas as pd

    columns = ["effect", "kind", "n", "difference", "low", "high", "p", "p_holm"]
    variants = expand(ablation)
    if len(ablation.axes) < 2:
        return pd.DataFrame(columns=columns)
    values = song_values(cells) if len(cells) else {}
    table = {v.name: values.get((v.name, AVERAGE, ablation.headline), {}) for v in variants}
    songs = sorted(set.intersection(*(set(t) for t in table.values())))
    if not songs:
        return pd.DataFrame(columns=columns)
    by_song = {name: np.array([t[s] for s in songs]) for name, t in table.items()}
    rows = [
        {"effect": effect, "kind": kind, **_tested(contrast)}
        for effect, kind, contrast in _contrasts(ablation, variants, by_song)
    ]
    tested = [r["p"] for r in rows]
    for row, adjusted in zip(rows, holm(tested) if tested else [], strict=True):
        row["p_holm"] = adjusted
    return pd.DataFrame(rows, columns=columns)


def _contrasts(
    ablation: Ablation, variants: list[Variant], by_song: Mapping[str, Any]
) -> list[tuple[str, str, Any]]:
    """``(name, kind, contrast [songs])`` of every main effect and two-way interaction.

    With ``m(a)`` the mean over all variants of level ``a``, ``[songs]``, and ``a0`` the first level
    of its axis:

    main         ``m(a) - m(a0)``
    interaction  ``(m(a, b) - m(a0, b)) - (m(a, b0) - m(a0, b0))``
    """
    contrasts = [
        (f"{axis}: {level} − {levels[0]}", "main", _step(variants, by_song, axis, levels[0], level))
        for axis, levels in _levels(ablation).items()
        for level in levels[1:]
    ]
    for (one, one_levels), (other, other_levels) in itertools.combinations(
        _levels(ablation).items(), 2
    ):
        for a, b in itertools.product(one_levels[1:], other_levels[1:]):
            with_b = _step(variants, by_song, one, one_levels[0], a, **{other: b})
            without = _step(variants, by_song, one, one_levels[0], a, **{other: other_levels[0]})
            contrasts.append((f"{a} × {b}", "interaction", with_b - without))
    return contrasts


def _levels(ablation: Ablation) -> dict[str, list[str]]:
    return {axis: list(levels) for axis, levels in ablation.axes.items()}


def _step(
    variants: list[Variant],
    by_song: Mapping[str, Any],
    axis: str,
    start: str,
    end: str,
    **fixed: str,
) -> Any:
    """Mean of the variants at level ``end`` of ``axis`` minus that at ``start``, ``[songs]``."""
    return _level_mean(variants, by_song, {axis: end, **fixed}) - _level_mean(
        variants, by_song, {axis: start, **fixed}
    )


def _level_mean(
    variants: list[Variant], by_song: Mapping[str, Any], levels: Mapping[str, str]
) -> Any:
    """Mean over the variants that have all the ``levels``, ``[songs]``."""
    chosen = [by_song[v.name] for v in variants if levels.items() <= v.levels.items()]
    return np.mean(chosen, axis=0)


def _tested(contrast: Any) -> dict[str, Any]:
    """Interval and p value of a contrast ``[songs]``."""
    interval = bootstrap(contrast, statistic="mean", seed=0)
    low, high = interval.limits
    few = len(contrast) < FEWEST
    return {
        "n": len(contrast),
        "difference": interval.estimate,
        "low": low,
        "high": high,
        "p": 1.0 if few else sign_flip(contrast, statistic="mean"),
    }
