"""Which jobs the store holds already, and whose they are.

A plan is made once and its jobs begin much later: what was to do then, another run on the same
folder may have done since. So whoever begins a job looks once more, *after* claiming it: from then
on nobody else can do it.
"""

from __future__ import annotations

from typing import Any

from benchsep.metrics.metric import Metric, column
from benchsep.runner.job import Job, metric_id, retried, system_id, wanted_scores
from benchsep.runner.store import Store


def is_done(job: Job, store: Store) -> bool:
    """Whether the store holds all cells of a job, made of the same files by the same versions."""
    record = store.read(job.label, job.track.name)
    if record is None or record.get("stamp") != job.stamp:
        return False
    if record["system_id"] != system_id(job.info):
        return False
    cells = {(c["metric"], c["stem"], c["draw"]): c for c in record["cells"]}
    return all(
        _cell_done(cells.get((column(metric, value), stem, draw)), metric, job.overwrite)
        for metric, stems in wanted_scores(job)
        for stem in stems
        for value in metric.values
        for draw in job.made
    )


def begin(job: Job, store: Store) -> bool:
    """Claim a job; False, and no claim, if somebody is at work on it or was just before.

    The claim is the caller's to release.
    """
    if not store.claim(job.label, job.track.name):
        return False
    if job.fresh or not is_done(job, store):
        return True
    store.release(job.label, job.track.name)
    return False


def _cell_done(cell: dict[str, Any] | None, metric: Metric, overwrite: str) -> bool:
    if cell is None:
        return False
    if overwrite == "never":
        return True
    return bool(cell["metric_id"] == metric_id(metric)) and not retried(cell["status"], metric)
