"""What a column of scores is, by its name: ``dnsmos.ovrl`` belongs to ``dnsmos``, a speech model.

How far a metric agrees with listeners is not here but in :mod:`benchsep.listeners.validity`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep.audio import STEMS
from benchsep.stats.core import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

SPEECH_MODELS = ("dnsmos", "nisqa")
INTERFERENCE = (
    "leakage.bleed",
    "bsseval.sir",
    "sisdr.sir",
    "bleedless",
    "usdr",
    "bsseval.sdr",
    "sisdr",
)
"""What may stand beside ViSQOL to show the bleed that it does not hear, best first."""


def metric_of(column: str) -> str:
    """The metric a column belongs to: ``dnsmos`` of ``dnsmos.ovrl``."""
    return column.split(".", 1)[0]


def is_speech_model(column: str) -> bool:
    return metric_of(column) in SPEECH_MODELS


def interference(columns: Iterable[str]) -> str | None:
    """The best interference measure among ``columns``, or ``None``."""
    names = list(columns)
    for known in INTERFERENCE:
        for name in names:
            if known in (name, metric_of(name)):
                return name
    return None


def stem_order(stems: Iterable[str]) -> tuple[str, ...]:
    """Stems as they stand in a table: ours first, others by name, the average last."""
    found = set(stems)
    others = sorted(found - set(STEMS) - {AVERAGE})
    last = (AVERAGE,) if AVERAGE in found else ()
    return (*(s for s in STEMS if s in found), *others, *last)
