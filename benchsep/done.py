"""Which jobs the store holds already, and whose they are.

A plan is made once and its jobs begin much later: what was to do then, another run on the same
folder may have done since. So whoever begins a job looks once more, *after* claiming it: from then
on nobody else can do it.
"""

from __future__ import annotations

from typing import Any

from benchsep.job import Job, metric_id, retried, system_id
from benchsep.metrics.catalog import get_metric, stems_scored
from benchsep.metrics.metric import column
from benchsep.store import Store


def is_done(job: Job, store: Store) -> bool:
    """Whether the store holds all cells of a job, made of the same files by the same versions."""
    record = store.read(job.label, job.track.name)
    if record is None or record.get("stamp") != job.stamp:
        return False
    if record["system_id"] != system_id(job.info):
        return False
    cells = {(c["metric"], c["stem"], c["draw"]): c for c in record["cells"]}
    return all(_cell_done(cells, *need, job.overwrite) for need in _needs(job))


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


def _needs(job: Job) -> list[tuple[str, str, str, int]]:
    draws = range(job.draws if not job.info.deterministic else 1)
    needs = []
    for name in job.metrics:
        metric = get_metric(name)
        stems = stems_scored(metric, job.stems, all_stems=job.all_stems)
        for stem in (s for s in stems if s in job.info.stems):
            for value in metric.values:
                needs += [(name, column(metric, value), stem, draw) for draw in draws]
    return needs


def _cell_done(
    cells: dict[tuple[str, str, int], dict[str, Any]],
    name: str,
    value: str,
    stem: str,
    draw: int,
    overwrite: str,
) -> bool:
    cell = cells.get((value, stem, draw))
    if cell is None:
        return False
    if overwrite == "never":
        return True
    metric = get_metric(name)
    return bool(cell["metric_id"] == metric_id(metric)) and not retried(cell["status"], metric)
