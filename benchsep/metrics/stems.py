"""The loop over stems that most metrics use, and its statuses.

A metric passes a function of one reference and one estimate; these have the ``rate`` and the
``channels`` that the metric declares. Faults in the content of the audio are handled here, so that
no metric raises for them:

==============================  ============================================================
estimate or reference absent    ``undefined: …`` naming the stem
rate or length differ           ``failed: …`` naming what was found and expected
NaN or infinite samples         ``failed: …``
silent reference                ``ref_silent``, if the metric wants it
                                (:func:`~benchsep.metrics.guard.is_silent`); also if it is silent
                                after conversion to the metric's channels (channels of opposite sign
                                in mono)
silent estimate                 ``est_silent``, if the metric wants it; likewise
the metric raises               :class:`~benchsep.errors.Undefined` or ``Unavailable``: ``undefined:
                                …`` or ``unavailable: …`` for that stem only
==============================  ============================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from benchsep.errors import Undefined
from benchsep.metrics.guard import absent, broken, is_silent, mismatch, pairing, remembered_power
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
    """The attributes of a metric that the loops use."""

    @property
    def name(self) -> str: ...
    @property
    def values(self) -> tuple[ValueTraits, ...]: ...
    @property
    def rate(self) -> int | None: ...
    @property
    def channels(self) -> Channels: ...


def every(values: tuple[ValueTraits, ...], status: str) -> Scores:
    """The scores of a stem if all values are missing for the same reason."""
    return {value.name: Score.missing(status) for value in values}


def score_stems(
    metric: Metric, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
) -> dict[str, Scores]:
    """Call ``metric.score_track``; an exception in :data:`NoValue` becomes the status of every
    value.
    """
    try:
        return metric.score_track(references, estimates, stems)
    except NoValue as error:
        status = str(Status.raised(error))
        return {stem: every(metric.values, status) for stem in stems}


def _answer(values: tuple[ValueTraits, ...], score: Callable[..., Scores], *given: Any) -> Scores:
    """Call ``score(*given)`` for one stem; an exception in :data:`NoValue` becomes the status of
    all values.
    """
    try:
        return score(*given)
    except NoValue as error:
        return every(values, str(Status.raised(error)))


def in_channels(metric: Declared, audio: Audio) -> Audio:
    """Audio in the metric's channels, at the audio's own rate.

    Silence is checked at this point, before resampling, which can turn a clip of one sample into
    zeros; such a clip is too short, not silent.
    """
    if metric.channels == "any":
        return audio
    return audio.mono() if metric.channels == "mono" else audio.to_channels(2)


def at_rate(metric: Declared, audio: Audio) -> Audio:
    """Audio at the metric's rate."""
    return audio if metric.rate is None else audio.resampled(metric.rate)


def score_each(
    metric: Declared,
    estimates: dict[str, Audio],
    stems: tuple[str, ...],
    score: Callable[[Audio], Scores],
) -> dict[str, Scores]:
    """Score a metric without a reference, stem by stem; a silent estimate has ``est_silent``."""
    table: dict[str, Scores] = {}
    for stem in stems:
        estimate, power = estimates.get(stem), remembered_power()
        if estimate is None:
            table[stem] = every(metric.values, f"undefined: the system gives no {stem}")
        elif status := broken("estimate", estimate, power):
            table[stem] = every(metric.values, status)
        # Also after conversion: channels of opposite sign leave only dither in mono.
        elif is_silent(estimate, power) or is_silent(heard := in_channels(metric, estimate), power):
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
    """Score a metric of reference and estimate: ``score(reference, estimate, stem)`` for usable
    pairs.

    ``silent_reference``, ``silent_estimate``: the status in these cases; empty: the metric is
    defined for silence and is called. The estimate gets the reference's number of channels; then
    both signals are converted to the metric's rate and channels.
    """

    def converted_pair(stem: str, estimate: Audio) -> Scores:
        given, heard = references.stems[stem], estimate  # were checked already
        reference, estimate = (in_channels(metric, x) for x in (given, heard))
        if silent_reference and reference is not given and is_silent(reference):
            return every(metric.values, silent_reference)
        if silent_estimate and estimate is not heard and is_silent(estimate):
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
    """As :func:`score_pairs`, with work on the reference that is done once for all systems.

    ``prepare(reference)`` is cached in ``references.cache``; if it returns a text, this is the
    status of every value. A silent reference has ``ref_silent``.
    """

    def prepared_pair(stem: str, estimate: Audio) -> Scores:
        key = (metric.name, "prepared", stem)
        given, heard = references.stems[stem], estimate  # were checked already
        if key not in references.cache:
            reference = in_channels(metric, given)
            references.cache[key] = (
                "ref_silent"
                if reference is not given and is_silent(reference)
                else _prepared(prepare, at_rate(metric, reference))
            )
        ready: Any = references.cache[key]
        if isinstance(ready, str):
            return every(metric.values, ready)
        estimate = in_channels(metric, heard)
        if silent_estimate and estimate is not heard and is_silent(estimate):
            return every(metric.values, silent_estimate)
        return score(ready, at_rate(metric, estimate))

    return _over_pairs(
        metric, references, estimates, stems, prepared_pair, "ref_silent", silent_estimate
    )


def _prepared(prepare: Callable[[Audio], Prepared | str], reference: Audio) -> Prepared | str:
    """The result of ``prepare``; an ``Undefined`` exception becomes a status, which is cached
    too.
    """
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
    """Call ``score(stem, estimate)`` for stems that can be scored; the other stems get a status."""
    table: dict[str, Scores] = {}
    for stem in stems:
        if status := absent(references, estimates, stem):
            table[stem] = every(metric.values, status)
            continue
        power = remembered_power()  # a pass over memory, so once for each signal
        status, estimate = pairing(references, estimates, stem, power)
        if not status and silent_reference and is_silent(references.stems[stem], power):
            status = silent_reference
        elif not status and silent_estimate and is_silent(estimate, power):
            status = silent_estimate
        table[stem] = (
            every(metric.values, status)
            if status
            else _answer(metric.values, score, stem, estimate)
        )
    return table
