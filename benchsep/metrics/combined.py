"""Combined metrics: the mean of the z scores of two metrics, computed from their cells in a table.

A combined metric is never run and never stored: :func:`benchsep.stats.with_combined` makes its
cells from those of its parts. ``quality2`` is in each table of a run that has both parts; other
pairs are requested by name (``visqol+mrstft``). Weights are equal; none are fitted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from benchsep.metrics.metric import Question, ValueTraits

SIGN = "+"


@dataclass(frozen=True)
class Combined:
    """The columns that a combined metric is made of, and the traits of its value."""

    parts: tuple[str, ...]
    traits: ValueTraits


def combined_traits(
    display: str,
    question: Question,
    rank: int | None,
    *,
    waveform_matching: bool = False,
    speech_model: bool = False,
) -> ValueTraits:
    """Traits of a mean of z scores: no unit, no bounds, higher is better."""
    return ValueTraits(
        name="",
        direction=+1,
        unit="",
        low=None,
        high=None,
        digits=2,
        aggregate="mean",
        window_s=None,
        waveform_matching=waveform_matching,
        speech_model=speech_model,
        display=display,
        question=question,
        companion=None,
        companion_rank=None,
        # The unit is the standard deviation over the systems in the table, so a margin depends on
        # them.
        tie_margin=None,
        failure=None,
        drift=None,
        rank=rank,
        overview=True,
        own_table=False,
        aliases=(),
    )


COMBINED: Mapping[str, Combined] = {
    "quality2": Combined(
        ("visqol", "emb-clap.mse"), combined_traits("ViSQOL + CLAP", "quality", 5)
    ),
}
"""Name to combined metric; the column of the value has the same name."""


def parts_of(name: str) -> tuple[str, ...]:
    """The metrics of ``visqol+mrstft`` or of a combined metric; a single metric returns itself."""
    if name in COMBINED:
        return COMBINED[name].parts
    return tuple(part for part in name.split(SIGN) if part)


def singles(names: Iterable[str]) -> tuple[str, ...]:
    """The metrics that the names need, each once, in order."""
    return tuple(dict.fromkeys(part for name in names for part in parts_of(name)))


def present(columns: Collection[str]) -> dict[str, Combined]:
    """The combined metrics whose parts are all among the columns."""
    return {name: each for name, each in COMBINED.items() if set(each.parts) <= set(columns)}
