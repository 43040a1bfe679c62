"""What a column of scores is, by its name: ``dnsmos.ovrl`` belongs to ``dnsmos``, a speech model.

How far a metric agrees with listeners is not here but in :mod:`benchsep.listeners.validity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep.audio import STEMS
from benchsep.stats.core import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from benchsep.metrics.metric import ValueTraits


def metric_of(column: str) -> str:
    """The metric a column belongs to: ``dnsmos`` of ``dnsmos.ovrl``."""
    return column.split(".", 1)[0]


def is_speech_model(column: str, traits: Mapping[str, ValueTraits]) -> bool:
    """Whether a column is known to come from a quality network trained on speech."""
    return column in traits and traits[column].speech_model


def companion(column: str, columns: Iterable[str], traits: Mapping[str, ValueTraits]) -> str | None:
    """The column that must be shown with ``column``, or ``None``.

    Of those in ``columns`` that answer the question its companion must answer, the one with the
    lowest ``companion_rank``.
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


def stem_order(stems: Iterable[str]) -> tuple[str, ...]:
    """Stems as they stand in a table: ours first, others by name, the average last."""
    found = set(stems)
    others = sorted(found - set(STEMS) - {AVERAGE})
    last = (AVERAGE,) if AVERAGE in found else ()
    return (*(s for s in STEMS if s in found), *others, *last)
