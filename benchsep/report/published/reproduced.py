"""Sentences on whether a run reproduces the published values of the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchsep import stats
from benchsep.report.published.entries import Agreeing, agreeing

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

CHECKPOINT = "official"
"""The checkpoint in the label of a system (after ``@``) that has the published weights."""


def reproduced(
    cells: pd.DataFrame, manifest: Mapping[str, Any], traits: Mapping[str, ValueTraits]
) -> list[str]:
    """A sentence per published value of each system with official weights.

    No sentence if edition, split, songs, definition or aggregation differ, or a song is missing.

    Parameters
    ----------
    cells
        The long table of :func:`benchsep.load_run`.
    """
    split = str((manifest.get("suite") or {}).get("split", ""))
    sentences = []
    for edition in sorted(set(map(str, cells["edition"].unique()))):
        part = cells[cells["edition"] == edition]
        found = agreeing(part, traits, split)
        metrics = {f.values.metric for f in found}
        if not metrics:
            continue
        summaries = stats.aggregate(part[part["metric"].isin(list(metrics))], traits)
        ours = {s.key: s.value for s in summaries if s.n == s.total}
        sentences += [text for f in found for text in _of_entry(f, ours, traits)]
    return sentences


def _of_entry(
    found: Agreeing, ours: Mapping[Any, float | None], traits: Mapping[str, ValueTraits]
) -> list[str]:
    sentences = []
    for system, published in found.values.systems.items():
        label = f"{system}@{CHECKPOINT}"
        pairs = {
            stem: (value, there)
            for stem, there in published.items()
            if isinstance(there, float)
            and (value := ours.get((label, stem, found.values.metric))) is not None
        }
        if pairs:
            sentences.append(_sentence(label, found, pairs, traits[found.values.metric]))
    return sentences


def _sentence(
    label: str, found: Agreeing, pairs: Mapping[str, tuple[float, float]], traits: ValueTraits
) -> str:
    tolerance, unit = found.values.tolerance or 0.0, traits.unit
    # Both numbers are rounded before the comparison, because published values are rounded.
    digits = traits.digits
    gaps = {stem: abs(round(ours - there, digits)) for stem, (ours, there) in pairs.items()}
    off = [stem for stem, gap in gaps.items() if gap > tolerance]
    what = f"the published {found.values.metric} ({found.source.source})"
    if not off:
        return (
            f"{label} reproduces {what} on {', '.join(pairs)}: within {max(gaps.values()):g} {unit}"
        )
    values = ", ".join(
        f"{stem} {pairs[stem][0]:.{digits}f} here and {pairs[stem][1]:.{digits}f} there"
        for stem in off
    )
    return f"{label} does not reproduce {what}: {values} ({unit}; tolerance {tolerance:g})"
