"""Properties of score columns from their names and traits, and the order of columns.

The agreement of metrics with listeners is in :mod:`benchsep.listeners.badges`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchsep.listeners import badges
from benchsep.runner.traits import IMPORTED
from benchsep.stats.songs import AVERAGE
from benchsep.stems.sets import in_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchsep.metrics.metric import ValueTraits


def metric_of(column: str) -> str:
    """The metric a column belongs to: ``dnsmos`` of ``dnsmos.ovrl``."""
    return column.split(".", 1)[0]


def display(column: str, traits: Mapping[str, ValueTraits]) -> str:
    """The metric's name as printed."""
    return traits[column].display or column if column in traits else column


def is_headline(column: str, traits: Mapping[str, ValueTraits]) -> bool:
    """Whether a column represents its metric in overviews."""
    name = metric_of(column)
    values = [c for c in traits if metric_of(c) == name]
    named = [c for c in values if traits[c].overview]
    return column == next(iter([*named, *values]), column)


def is_detail(column: str, traits: Mapping[str, ValueTraits]) -> bool:
    """Whether a column shares a table with others of its metric, averaged over stems."""
    own = column in traits and (traits[column].own_table or traits[column].speech_model)
    return not own and not is_headline(column, traits)


def is_speech_model(column: str, traits: Mapping[str, ValueTraits]) -> bool:
    """Whether a column is known to come from a quality network trained on speech."""
    return column in traits and traits[column].speech_model


def companion(column: str, columns: Iterable[str], traits: Mapping[str, ValueTraits]) -> str | None:
    """The column that must be shown with ``column``, or ``None``.

    Among ``columns`` that answer the companion's question, the one with the lowest
    ``companion_rank``.
    """
    wanted = traits[column].companion if column in traits else None
    if wanted is None:
        return None
    ranks = {
        name: rank
        for name in columns
        if name in traits
        and (rank := traits[name].companion_rank) is not None
        and traits[name].question in (wanted.question, "both")
    }
    return min(ranks, key=ranks.__getitem__, default=None)


def metrics_in_order(columns: Iterable[str], traits: Mapping[str, ValueTraits]) -> list[str]:
    """Order: first metrics that can compare families, then by ``rank``; values of one metric as
    declared.

    Columns with an unknown definition come last.
    """
    declared = list(traits)

    def sort_key(column: str) -> tuple[bool, bool, bool, float, str, int]:
        known = column in traits
        rank = traits[column].rank if known else None
        return (
            column.startswith(IMPORTED),
            not known or badges.fails_across(column, traits[column]),
            known and traits[column].unit == "dB",
            math.inf if rank is None else rank,
            metric_of(column),
            declared.index(column) if known else len(declared),
        )

    return sorted(columns, key=sort_key)


def stem_order(stems: Iterable[str]) -> tuple[str, ...]:
    """Stems in table order: the order of their set, then others by name, then the average."""
    names = set(stems)
    return (*in_order(names - {AVERAGE}), *((AVERAGE,) if AVERAGE in names else ()))
