"""How far a metric agrees with listeners, in a word beside the metric.

Conventions
-----------
agreement   share of pairs of systems *on the same song* that the metric orders as listeners do;
            .50 is a coin. Given within each family and across families, with a song-bootstrap
            95 % interval for the last.
source      the public vocals listening data of pablebe/gensvs_eval (WASPAA 2025): 50 songs,
            5 systems, 12 ratings a clip. Five systems of one lab: an example, not a law;
            ``benchsep validity RATINGS.csv`` makes the same from one's own ratings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchsep.metrics.metric import ValueTraits

SOURCE = "pablebe/gensvs_eval, 50 vocal clips, 5 systems, 12 ratings a clip"


@dataclass(frozen=True)
class Agreement:
    """Shares of same-song pairs ordered as by listeners."""

    discriminative: float
    generative: float
    across: float
    across_low: float
    across_high: float

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``unclear`` across families, by the interval against a coin."""
        if self.across_high < 0.5:
            return "fails"
        return "holds" if self.across_low > 0.5 else "unclear"


_SDR = Agreement(0.87, 0.45, 0.35, 0.29, 0.41)

AGREEMENTS = {
    "visqol": Agreement(0.84, 0.65, 0.71, 0.67, 0.76),
    "mrstft": Agreement(0.69, 0.65, 0.61, 0.55, 0.67),
    "bsseval.sdr": _SDR,
    "bsseval.sar": _SDR,
    "sisdr": _SDR,
}
"""Measured; SI-SDR and SAR lie within .03 of SDR (same source)."""

SPEECH_MODELS = ("dnsmos", "nisqa")
INTERFERENCE = ("bsseval.sir", "leakage", "bleed", "usdr", "bsseval.sdr", "sisdr")
"""What may stand beside ViSQOL to show the bleed that it does not hear, best first."""


def stem_of(column: str) -> str:
    """The metric a column belongs to: ``dnsmos`` of ``dnsmos.ovrl``."""
    return column.split(".", 1)[0]


def is_speech_model(column: str) -> bool:
    return stem_of(column) in SPEECH_MODELS


def fails_across(column: str, traits: ValueTraits) -> bool:
    """Whether comparing families by this metric is known, or built, to mislead."""
    known = AGREEMENTS.get(column)
    return known.verdict == "fails" if known else not traits.alignment_tolerant


def badge(column: str) -> str:
    """``.84 within discriminative / .65 within generative / .71 across`` or empty."""
    known = AGREEMENTS.get(column)
    if known is None:
        return ""
    share = [f"{v:.2f}".lstrip("0") for v in vars(known).values()]
    return (
        f"{share[0]} within discriminative, {share[1]} within generative, "
        f"{share[2]} [{share[3]}, {share[4]}] across"
    )
