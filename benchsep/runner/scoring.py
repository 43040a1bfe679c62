"""The cells of one draw: a value and a status for every stem and metric.

Errors of a metric are not raised here; they become the status of its cells.
"""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter  # by name: a system may replace that of the module
from typing import TYPE_CHECKING, Any

from benchsep import registry
from benchsep._util.numbers import float_or_none
from benchsep._util.reason import bounded
from benchsep.errors import Unavailable
from benchsep.metrics.device import CPU, described, device_tolerance, scoring_on
from benchsep.metrics.metric import References, Score, column
from benchsep.metrics.status import Status
from benchsep.metrics.stems import score_stems
from benchsep.runner.done import CellsByKey, cached_cells, cell_key, metric_id, metrics_to_score
from benchsep.runner.failure import failure
from benchsep.runner.record import Cell, TrackFacts
from benchsep.systems.estimate import all_copied, copied

if TYPE_CHECKING:
    from benchsep.metrics.metric import Metric
    from benchsep.runner.job import Job
    from benchsep.runner.loaded_track import LoadedTrack
    from benchsep.runner.separation import DrawResult


def cells_of_draw(
    job: Job,
    loaded: LoadedTrack,
    track: TrackFacts,
    stored: CellsByKey,
    number: int,
    result: DrawResult,
) -> list[Cell]:
    """The cells of a draw: for each metric the stored ones if valid, else scored now."""
    cells: list[Cell] = []
    identity = result.draw.estimate_id
    for metric, stems in metrics_to_score(job):
        cached = cached_cells(metric, stems, stored, identity, track, number)
        cells += cached or _score(metric, stems, job, loaded, track, number, result)
    return cells


def _score(
    metric: Metric,
    stems: tuple[str, ...],
    job: Job,
    loaded: LoadedTrack,
    track: TrackFacts,
    number: int,
    result: DrawResult,
) -> list[Cell]:
    started = perf_counter()
    references = loaded.references_of(job)
    device = job.metric_device if device_tolerance(metric) is not None else CPU
    scores = _scores(metric, stems, references, result, job.info.unavailable, device)
    seconds = (perf_counter() - started) / len(stems)
    scored_on = _described(device)
    return [
        Cell(
            metric=column(metric, value),
            metric_version=metric.version,
            metric_id=metric_id(metric),
            stem=stem,
            draw=number,
            **_answer(scores, stem, value.name),
            seconds=seconds,
            key=cell_key(result.draw.estimate_id, stem, value.name, metric, track),
            device=scored_on,
        )
        for stem in stems
        for value in metric.values
    ]


def _described(device: str) -> str:
    """The device of a cell; empty if it does not exist (the cell's status says so)."""
    try:
        return described(device)
    except Unavailable:
        return ""


def _scores(
    metric: Metric,
    stems: tuple[str, ...],
    references: References,
    result: DrawResult,
    unavailable: str = "",
    device: str = CPU,
) -> dict[str, dict[str, Score]]:
    """Stem to value name to score; complete even if the metric fails.

    ``unavailable``: why the system cannot run here; empty: it can.
    """

    def everywhere(status: str) -> dict[str, dict[str, Score]]:
        return {stem: missing(status) for stem in stems}

    def missing(status: str) -> dict[str, Score]:
        return {value.name: Score.missing(status) for value in metric.values}

    estimates = dict(result.estimates or {})  # a copy: a metric may change the dictionary
    if not registry.is_ours("metric", metric.name):  # … or write into the samples
        estimates, references = all_copied(estimates), _own(references)
    if unavailable:
        return everywhere(f"unavailable: {unavailable}")
    if result.draw.error:
        return everywhere(f"failed: {result.draw.error}")
    if reason := metric.available():
        return everywhere(f"unavailable: {reason}")
    returned = tuple(stem for stem in stems if stem in estimates)
    held = ", ".join(sorted(estimates)) or "none"
    scores = everywhere(f"failed: the system returned no such stem; it returned: {held}")
    faults = result.draw.faults
    scores |= {stem: missing(f"failed: {faults[stem]}") for stem in stems if stem in faults}
    try:
        if returned:
            with scoring_on(device):
                scores.update(score_stems(metric, references, estimates, returned))
        return scores
    except BaseException as error:
        return everywhere(f"failed: {failure(error)}")


def _own(references: References) -> References:
    """A copy of the signals; the cache is shared."""
    mixture = references.mixture and copied(references.mixture)
    return replace(references, stems=all_copied(references.stems), mixture=mixture)


def _answer(scores: dict[str, dict[str, Score]], stem: str, name: str) -> dict[str, Any]:
    """A metric's result for a value of a stem, in the form of a cell; an invalid result becomes a
    failure.
    """
    try:
        return _storable(scores[stem].get(name, Score.missing("failed: not returned")))
    except BaseException as error:
        why = f"failed: the metric's answer is no score: {failure(error)}"
        return _storable(Score.missing(why))


def _storable(score: Score) -> dict[str, Any]:
    """Value, status and frames for a cell: only finite numbers and known statuses."""
    value = float_or_none(score.value)
    try:
        status = Status.parse(score.status)
    except (ValueError, AttributeError):
        value, status = None, Status("failed", f"unknown status {bounded(repr(score.status))}")
    status = Status(status.kind, bounded(status.reason))
    if value is None and status.kind == "ok":
        given = score.value is not None
        status = Status("not_finite") if given else Status("failed", "the metric gave no value")
    frames = None if score.frames is None else tuple(map(float_or_none, score.frames))
    return {"value": value, "status": status, "frames": frames}
