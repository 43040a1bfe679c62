"""How far a metric agrees with listeners, in words beside the metric.

The numbers are those of :mod:`benchsep.validity` (built in, or re-made from one's own ratings
by ``benchsep validity``); here they become sentences and a rule for ranking.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep import validity

if TYPE_CHECKING:
    from benchsep.metrics.metric import ValueTraits

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


def stem_of(column: str) -> str:
    """The metric a column belongs to: ``dnsmos`` of ``dnsmos.ovrl``."""
    return column.split(".", 1)[0]


def is_speech_model(column: str) -> bool:
    return stem_of(column) in SPEECH_MODELS


def fails_across(column: str, traits: ValueTraits) -> bool:
    """Whether comparing families by this metric is known, or built, to mislead."""
    known = validity.badge(column)
    return known.verdict == "fails" if known else not traits.alignment_tolerant


def across(column: str) -> float | None:
    """The share of pairs across families ordered as listeners do, where it was measured."""
    known = validity.badge(column)
    return known.across.share if known else None


def badge(column: str) -> str:
    """``.84 within discriminative, .65 within generative, .71 [.67, .75] across``, or empty."""
    known = validity.badge(column)
    return str(known) if known else ""


def source(column: str) -> str:
    """Where the badge was measured."""
    known = validity.badge(column)
    return known.source if known else ""
