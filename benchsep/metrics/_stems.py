"""The loop over stems that most metrics share, with its statuses.

A metric hands over a function of one reference and one estimate; everything that the content
of the audio can make impossible is settled here, so that no metric raises for it:

==============================  ============================================================
estimate or reference absent    ``unavailable: …`` naming the stem
rate or length differ           ``failed: …`` naming what was found and expected
NaN or infinite samples         ``failed: …``
silent reference                ``ref_silent``, where the metric asks for it
silent estimate                 ``est_silent``, where the metric asks for it
==============================  ============================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from benchsep.metrics.guard import absent, broken, mismatch, pairing
from benchsep.metrics.metric import Score

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchsep.audio import Audio
    from benchsep.metrics.metric import References, ValueTraits

__all__ = ["Channels", "Scores", "every", "mismatch", "score_each", "score_pairs"]

Scores = dict[str, Score]
Channels = Literal["mono", "stereo", "any"]


def every(values: tuple[ValueTraits, ...], status: str) -> Scores:
    """Each value missing for the same reason."""
    return {value.name: Score.missing(status) for value in values}


def score_each(
    values: tuple[ValueTraits, ...],
    estimates: dict[str, Audio],
    stems: tuple[str, ...],
    score: Callable[[Audio], Scores],
    *,
    silent_is: str = "est_silent",
) -> dict[str, Scores]:
    """A metric without a reference, stem by stem; a silent estimate gets ``silent_is``."""
    table: dict[str, Scores] = {}
    for stem in stems:
        estimate = estimates.get(stem)
        if estimate is None:
            table[stem] = every(values, f"unavailable: the system gives no {stem}")
        elif status := broken("estimate", estimate):
            table[stem] = every(values, status)
        elif silent_is and estimate.silent:
            table[stem] = every(values, silent_is)
        else:
            table[stem] = score(estimate)
    return table


def score_pairs(
    values: tuple[ValueTraits, ...],
    references: References,
    estimates: dict[str, Audio],
    stems: tuple[str, ...],
    score: Callable[[Audio, Audio, str], Scores],
    *,
    silent_reference: str = "ref_silent",
    silent_estimate: str = "",
) -> dict[str, Scores]:
    """A metric of reference and estimate; ``score(reference, estimate, stem)`` for usable pairs.

    An empty ``silent_reference`` or ``silent_estimate`` means that the metric is defined there
    and wants to be called. The channel counts are made equal to the reference's.
    """
    table: dict[str, Scores] = {}
    for stem in stems:
        if status := absent(references, estimates, stem):
            table[stem] = every(values, status)
            continue
        status, estimate = pairing(references, estimates, stem)
        if status:
            table[stem] = every(values, status)
            continue
        reference = references.stems[stem]
        if silent_reference and reference.silent:
            table[stem] = every(values, silent_reference)
        elif silent_estimate and estimate.silent:
            table[stem] = every(values, silent_estimate)
        else:
            table[stem] = score(reference, estimate, stem)
    return table
