"""Conclusions from an ablation: one sentence per variant.

Conventions
-----------
shown     a difference in the headline metric's average with a Holm-adjusted p below
          :data:`benchsep.ablation.tables.ALPHA`
seeds     a difference that is shown but not larger than the seed range of one variant supports no
          conclusion: a second training of the same configuration changes the value as much
control   a variant that must be worse. If this is not shown, the ablation cannot detect even a
          broken variant
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from benchsep.ablation.effects import Effects, seed_range
from benchsep.ablation.grid import expand
from benchsep.ablation.tables import ALPHA, difference, failure_reason, headline_stems
from benchsep.report.tables.columns import display
from benchsep.stats.songs import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchsep.ablation.execute import Executed


def sentences(done: Executed, effects: Effects) -> list[str]:
    """A sentence per variant except the base, in the order of the grid."""
    base, *variants = expand(effects.ablation)
    lines = []
    for variant in variants:
        record = difference(effects, variant.name, AVERAGE)
        if record:
            lines.append(_sentence(effects, variant.name, base.name, record))
        else:
            reason = failure_reason(done, variant.name) or "no values"
            lines.append(f"“{variant.name}” has no result: {reason}.")
    return lines


def _sentence(effects: Effects, variant: str, base: str, record: Mapping[str, Any]) -> str:
    control = variant == effects.ablation.control
    songs = int(record["n"])
    measured = f"{_measured(effects, record)}, {songs} songs"
    own_range = _larger_seed_range(effects, variant, base, AVERAGE)
    if not math.isfinite(record["p_holm"]):
        return f"“{variant}”: {songs} songs are too few for a test against “{base}”."
    if not record["p_holm"] < ALPHA:
        stems = _on_single_stems(effects, variant, base)
        where = " on average" if stems else ""
        text = f"“{variant}” is not shown to differ from “{base}”{where} ({measured}){stems}"
        if control:
            text += (
                ": this table does not detect the condition that was broken on purpose, so it "
                "supports no other conclusion"
            )
    elif own_range is not None and own_range >= abs(record["difference"]):
        text = (
            f"“{variant}” differs from “{base}” ({measured}), but not more than two trainings of "
            f"the same variant differ (seed spread {own_range:.2f}): no conclusion about the "
            "choice"
        )
    else:
        text = f"“{variant}” is {_better(effects, record)} than “{base}” ({measured})"
        if control:
            text += ": this table detects the condition that was broken on purpose"
    return text + "."


def _better(effects: Effects, record: Mapping[str, Any]) -> str:
    direction = effects.traits[effects.ablation.headline].direction
    return "better" if direction * record["difference"] > 0 else "worse"


def _measured(effects: Effects, record: Mapping[str, Any]) -> str:
    """``-0.20 ViSQOL [-0.25, -0.15], p = 0.001``."""
    name = display(effects.ablation.headline, effects.traits)
    interval = f"[{record['low']:+.2f}, {record['high']:+.2f}]"
    return f"{record['difference']:+.2f} {name} {interval}, p = {record['p_holm']:.3f}"


def _larger_seed_range(effects: Effects, variant: str, base: str, stem: str) -> float | None:
    """The larger of the two variants' seed ranges; ``None`` without several seeds."""
    metric = effects.ablation.headline
    ranges = [seed_range(effects.cells, v, stem, metric) for v in (variant, base)]
    return max(filter(math.isfinite, ranges), default=None)


def _on_single_stems(effects: Effects, variant: str, base: str) -> str:
    """The stems with a difference above the seed range, if the average shows no difference."""
    parts = []
    for stem in headline_stems(effects):
        record = difference(effects, variant, stem)
        if stem == AVERAGE or not record:
            continue
        own_range = _larger_seed_range(effects, variant, base, stem) or 0.0
        if record["p_holm"] < ALPHA and abs(record["difference"]) > own_range:
            parts.append(f"{_better(effects, record)} on {stem} ({_measured(effects, record)})")
    return f", but is {' and '.join(parts)}" if parts else ""
