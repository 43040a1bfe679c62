"""What an ablation found: paired differences to the base, main effects, interactions.

Conventions
-----------
frame      the run's cells with variants as systems and training seeds as draws, so that the
           statistics of :mod:`benchsep.stats` apply: a song's value is the mean over seeds. What a
           trained variant drew several times for a song is averaged first
unit       the song: intervals are bootstrapped over songs
spread     how far the seeds' means over songs lie apart (largest minus smallest): what a
           second training changes, to hold against every difference. Without a trainer: over draws
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.ablation.execute import Executed
from benchsep.ablation.grid import Ablation, Variant, expand
from benchsep.metrics.metric import ValueTraits
from benchsep.report.tables.captions import yardstick_rank
from benchsep.stats import bootstrap as inference
from benchsep.stats.core import compare, mean_or_reason, song_values, with_average
from benchsep.systems.reference import REFERENCE_FAMILIES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Effects:
    """All tables of an ablation as frames.

    ``cells``: the renamed cells, averages included. ``differences``: a row for each variant, stem
    and metric (:func:`benchsep.stats.compare` against the base, and ``spread``). ``factors``: main
    effects and interactions on the headline metric's average, where the grid is a product.
    ``yardsticks``: ``(system, stem, metric)`` to the values by song of the mixture, the true stems
    and the oracles on the same songs, as far as the run holds them.
    """

    ablation: Ablation
    cells: pd.DataFrame
    differences: pd.DataFrame
    factors: pd.DataFrame
    traits: Mapping[str, ValueTraits]
    edition: str
    yardsticks: Mapping[tuple[str, str, str], Mapping[str, float]] = field(default_factory=dict)


def measure(done: Executed) -> Effects:
    """Compare the variants of a run."""
    from benchsep.runner.frame import load_run
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    whole = load_run(done.run)
    traits = traits_in(whole, Store(done.run).manifest())
    cells = with_average(renamed(whole, done))
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
        spread(cells, str(row.variant), str(row.stem), str(row.metric))
        for row in differences.itertuples()
    ]
    return Effects(
        done.ablation,
        cells,
        differences,
        factor_effects(cells, done.ablation),
        traits,
        str(cells["edition"].iloc[0]) if len(cells) else "",
        _yardsticks(beside(whole, done), cells),
    )


def beside(whole: pd.DataFrame, done: Executed) -> pd.DataFrame:
    """The cells of rows that belong to the ablation and are no variants of it."""
    if done.yardsticks is not None:
        return whole[whole["system"].isin(done.yardsticks)]
    return whole[~whole["system"].isin(set(done.labels.values()))]


def _yardsticks(whole: pd.DataFrame, cells: pd.DataFrame) -> dict[Any, dict[str, float]]:
    """Song values of the yardsticks on the variants' songs, in the order of the tables."""
    same = whole["track"].isin(set(cells["track"])) & whole["metric"].isin(set(cells["metric"]))
    part = whole[whole["family"].isin(REFERENCE_FAMILIES) & same]
    if part.empty:
        return {}
    values = song_values(with_average(part))
    pairs = zip(part["system"], part["family"], strict=True)
    rank = {system: yardstick_rank(system, family) for system, family in pairs}
    return {key: values[key] for key in sorted(values, key=lambda k: (rank[k[0]], k))}


def renamed(frame: pd.DataFrame, done: Executed) -> pd.DataFrame:
    """Cells of the ablation's rows and songs alone, called by variant, the seed as the draw."""
    import pandas as pd

    if done.tracks is not None:
        frame = frame[frame["track"].isin(done.tracks)]
    parts = []
    for (variant, seed), label in done.labels.items():
        part = frame[frame["system"] == label].copy()
        part["system"] = variant
        if seed >= 0:
            part = _over_draws(part).assign(draw=seed)
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else frame.iloc[:0]


def _over_draws(part: pd.DataFrame) -> pd.DataFrame:
    """One cell for each song, stem and metric: the mean over draws, or the first draw's reason."""
    import pandas as pd

    keys = ["system", "family", "edition", "metric", "stem", "track"]
    rows = []
    for key, cells in part.sort_values("draw").groupby(keys, sort=True, dropna=False):
        mean = mean_or_reason(list(cells["value"]), list(cells["status"]))
        rows.append({**dict(zip(keys, key, strict=True)), **mean})
    return pd.DataFrame(rows, columns=[*keys, "value", "status"])


def table_columns(ablation: Ablation) -> list[tuple[str, str]]:
    """``(metric, stem)`` of the table: the headline on every stem, then the others."""
    from benchsep.audio import STEMS
    from benchsep.stats.core import AVERAGE

    headline = [(ablation.headline, stem) for stem in (*STEMS, AVERAGE)]
    others = [tuple(column.rsplit("/", 1)) for column in ablation.columns]
    return [*headline, *((m, s) for m, s in others)]


def _shown(cells: pd.DataFrame, ablation: Ablation) -> pd.DataFrame:
    """The cells of the table's columns: Holm's family is what a reader sees."""
    wanted = set(table_columns(ablation))
    keys = zip(cells["metric"], cells["stem"], strict=True)
    return cells[[key in wanted for key in keys]]


def spread(cells: pd.DataFrame, variant: str, stem: str, metric: str) -> float:
    """Largest minus smallest mean over songs among the seeds; NaN for a single one."""
    part = cells[
        (cells["system"] == variant) & (cells["stem"] == stem) & (cells["metric"] == metric)
    ]
    means = part.groupby("draw")["value"].mean()
    return float(means.max() - means.min()) if len(means) > 1 else math.nan


def factor_effects(cells: pd.DataFrame, ablation: Ablation) -> pd.DataFrame:
    """Main effects and two-way interactions of a product grid, on the headline's average.

    A main effect of a level is its mean difference to the axis' first level over all settings of
    the other axes; an interaction is the difference of two such differences.
    """
    import pandas as pd

    from benchsep.stats.core import AVERAGE

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
    for row, adjusted in zip(rows, inference.holm(tested) if tested else [], strict=True):
        row["p_holm"] = adjusted
    return pd.DataFrame(rows, columns=columns)


def _contrasts(
    ablation: Ablation, variants: list[Variant], by_song: Mapping[str, Any]
) -> list[tuple[str, str, Any]]:
    def mean(**levels: str) -> Any:
        chosen = [
            by_song[v.name]
            for v in variants
            if all(v.levels[axis] == level for axis, level in levels.items())
        ]
        return np.mean(chosen, axis=0)

    found, axes = [], list(ablation.axes)
    for axis in axes:
        first, *rest = ablation.axes[axis]
        for level in rest:
            contrast = mean(**{axis: level}) - mean(**{axis: first})
            found.append((f"{axis}: {level} − {first}", "main", contrast))
    for i, one in enumerate(axes):
        for other in axes[i + 1 :]:
            base_one, *rest_one = ablation.axes[one]
            base_other, *rest_other = ablation.axes[other]
            for a in rest_one:
                for b in rest_other:
                    with_b = mean(**{one: a, other: b}) - mean(**{one: base_one, other: b})
                    without = mean(**{one: a, other: base_other}) - mean(
                        **{one: base_one, other: base_other}
                    )
                    found.append((f"{a} × {b}", "interaction", with_b - without))
    return found


def _tested(contrast: Any) -> dict[str, Any]:
    found = inference.bootstrap(contrast, statistic="mean", seed=0)
    few = len(contrast) < inference.FEWEST
    return {
        "n": len(contrast),
        "difference": found.estimate,
        "low": math.nan if found.low is None else found.low,
        "high": math.nan if found.high is None else found.high,
        "p": 1.0 if few else inference.sign_flip(contrast, statistic="mean", seed=0),
    }
