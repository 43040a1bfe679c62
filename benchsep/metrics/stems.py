"""The loop over stems that most metrics share, with its statuses.

A metric hands over a function of one reference and one estimate, which get what the metric
declares: its ``rate`` and its ``channels``. Everything that the content of the audio can make
impossible is settled here, so that no metric raises for it:

==============================  ============================================================
estimate or reference absent    ``undefined: …`` naming the stem
rate or length differ           ``failed: …`` naming what was found and expected
NaN or infinite samples         ``failed: …``
silent reference                ``ref_silent``, where the metric asks for it
                                (:func:`~benchsep.metrics.guard.is_silent`); also one that is
                                silent as the metric hears it: channels of opposite sign in mono
silent estimate                 ``est_silent``, where the metric asks for it; likewise
the metric raises               ``undefined: …`` or ``unavailable: …`` for that stem alone, where
                                it is :class:`~benchsep.errors.Undefined` or ``Unavailable``
==============================  ============================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from benchsep.errors import Undefined
from benchsep.metrics.guard import absent, broken, is_silent, mismatch, pairing
from benchsep.metrics.metric import Score
from benchsep.metrics.status import NoValue, Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchsep.audio import Audio
    from benchsep.metrics.metric import Channels, Metric, References, ValueTraits

__all__ = ["Scores", "every", "mismatch", "score_each", "score_pairs", "score_stems"]

Scores = dict[str, Score]
Prepared = TypeVar("Prepared")


class Declared(Protocol):
    """What the loops read of a metric."""

    @property
    def name(self) -> str: ...
    @property
    def values(self) -> tuple[ValueTraits, ...]: ...
    @property
    def rate(self) -> int | None: ...
    @property
    def channels(self) -> Channels: ...


def every(values: tuple[ValueTraits, ...], status: str) -> Scores:
    """Each value missing for the same reason."""
    return {value.name: Score.missing(status) for value in values}


def score_stems(
    metric: Metric, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
) -> dict[str, Scores]:
    """``metric.score_track``; what it raises as :data:`NoValue` is the status of every value."""
    try:
        return metric.score_track(references, estimates, stems)
    except NoValue as error:
        status = str(Status.raised(error))
        return {stem: every(metric.values, status) for stem in stems}


def _answer(values: tuple[ValueTraits, ...], score: Callable[..., Scores], *given: Any) -> Scores:
    """``score(*given)`` of one stem; what it raises as :data:`NoValue` is the status of all."""
    try:
        return score(*given)
    except NoValue as error:
        return every(values, str(Status.raised(error)))


def in_channels(metric: Declared, audio: Audio) -> Audio:
    """Audio in the channels that the metric works on, at its own rate.

    Silence is looked for here: resampling can make nothing of a clip of one sample, which is too
    short, not silent.
    """
    if metric.channels == "any":
        return audio
    return audio.mono() if metric.channels == "mono" else audio.to_channels(2)


def at_rate(metric: Declared, audio: Audio) -> Audio:
    """Audio at the rate that the metric works on."""
    return audio if metric.rate is None else audio.resampled(metric.rate)


def score_each(
    metric: Declared,
    estimates: dict[str, Audio],
    stems: tuple[str, ...],
    score: Callable[[Audio], Scores],
) -> dict[str, Scores]:
    """A metric without a reference, stem by stem; a silent estimate is ``est_silent``."""
    table: dict[str, Scores] = {}
    for stem in stems:
        estimate = estimates.get(stem)
        if estimate is None:
            table[stem] = every(metric.values, f"undefined: the system gives no {stem}")
        elif status := broken("estimate", estimate):
            table[stem] = every(metric.values, status)
        # Also as the metric hears it: channels of opposite sign leave dither in mono.
        elif is_silent(estimate) or is_silent(heard := in_channels(metric, estimate)):
            table[stem] = every(metric.values, "est_silent")
        else:
            table[stem] = _answer(metric.values, score, at_rate(metric, heard))
    return table


def score_pairs(
    metric: Declared,
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
    and is to be called. The channel counts are made equal to the reference's, then both signals
    are converted as the metric declares.
    """

    def converted_pair(stem: str, estimate: Audio) -> Scores:
        given = references.stems[stem]  # was looked at already, and may be what the metric hears
        reference, estimate = (in_channels(metric, x) for x in (given, estimate))
        if silent_reference and reference is not given and is_silent(reference):
            return every(metric.values, silent_reference)
        if silent_estimate and is_silent(estimate):
            return every(metric.values, silent_estimate)
        return score(at_rate(metric, reference), at_rate(metric, estimate), stem)

    return _over_pairs(
        metric, references, estimates, stems, converted_pair, silent_reference, silent_estimate
    )


def score_prepared(
    metric: Declared,
    references: References,
    estimates: dict[str, Audio],
    stems: tuple[str, ...],
    prepare: Callable[[Audio], Prepared | str],
    score: Callable[[Prepared, Audio], Scores],
    *,
    silent_estimate: str = "",
) -> dict[str, Scores]:
    """As :func:`score_pairs` where the work on a reference is worth doing once for all systems.

    ``prepare(reference)`` is kept in ``references.cache``; a text that it returns is the status of
    every value. A silent reference is ``ref_silent``.
    """

    def prepared_pair(stem: str, estimate: Audio) -> Scores:
        key = (metric.name, "prepared", stem)
        if key not in references.cache:
            reference = in_channels(metric, references.stems[stem])
            references.cache[key] = (
                "ref_silent"
                if is_silent(reference)
                else _prepared(prepare, at_rate(metric, reference))
            )
        ready: Any = references.cache[key]
        if isinstance(ready, str):
            return every(metric.values, ready)
        estimate = in_channels(metric, estimate)
        if silent_estimate and is_silent(estimate):
            return every(metric.values, silent_estimate)
        return score(ready, at_rate(metric, estimate))

    return _over_pairs(
        metric, references, estimates, stems, prepared_pair, "ref_silent", silent_estimate
    )


def _prepared(prepare: Callable[[Audio], Prepared | str], reference: Audio) -> Prepared | str:
    """What ``prepare`` gives; what these signals do not have is as final as it is."""
    try:
        return prepare(reference)
    except Undefined as error:
        return str(Status.raised(error))


def _over_pairs(
    metric: Declared,
    references: References,
    estimates: dict[str, Audio],
    stems: tuple[str, ...],
    score: Callable[[str, Audio], Scores],
    silent_reference: str,
    silent_estimate: str,
) -> dict[str, Scores]:
    """``score(stem, estimate)`` for the stems that can be scored, and the status of the others."""
    table: dict[str, Scores] = {}
    for stem in stems:
        if status := absent(references, estimates, stem):
            table[stem] = every(metric.values, status)
            continue
        status, estimate = pairing(references, estimates, stem)
        if not status and silent_reference and is_silent(references.stems[stem]):
            status = silent_reference
        elif not status and silent_estimate and is_silent(estimate):
            status = silent_estimate
        table[stem] = (
            every(metric.values, status)
            if status
            else _answer(metric.values, score, stem, estimate)
        )
    return table
