"""Do a job: separate one track with one system, score the estimates, and store the cells.

The result is a pure function of the job, so any worker may do it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep.runner.done import carried_over, cells_by_key, system_id
from benchsep.runner.job import Job, Outcome
from benchsep.runner.record import Cell, Draw, Record, SystemFacts
from benchsep.runner.scoring import cells_of_draw
from benchsep.runner.separation import DrawResult, separate_draw

if TYPE_CHECKING:
    from benchsep.runner.loaded_track import LoadedTrack
    from benchsep.runner.store import Store


def complete_job(
    job: Job,
    loaded: LoadedTrack,
    store: Store,
    separated: dict[int, DrawResult] | None = None,
) -> Outcome:
    """Do a job, store its record and return the outcome.

    Raises
    ------
    StoreError
        the record cannot be written.
    """
    store.set_aside(job.label, job.track.name)
    record = run_job(job, loaded, store, separated)
    store.write(record)
    return Outcome.of(record)


def run_job(
    job: Job,
    loaded: LoadedTrack,
    store: Store,
    separated: dict[int, DrawResult] | None = None,
) -> Record:
    """Separate and score; stored cells that are still valid are kept.

    ``separated`` is the result of :func:`separate_job`, here or on another machine: these draws are
    not separated again.
    """
    track = loaded.facts(job.track)
    old = store.read(job.label, job.track.name)
    stored = cells_by_key(job, old)
    made: dict[int, Draw] = {}
    cached: set[int] = set()
    cells: list[Cell] = []
    for number in job.draws_to_run:
        result = (separated or {}).get(number)
        result = result or separate_draw(job, loaded, store, track, stored, number)
        made[number] = result.draw
        if result.estimates is None:
            cached.add(number)
        cells += cells_of_draw(job, loaded, track, stored, number, result)
    old_cells, old_draws = carried_over(job, track, old, cells, made)
    # If a draw was not separated again, the old record has its cost.
    draws = {n: old_draws.get(n, draw) if n in cached else draw for n, draw in made.items()}
    return Record(
        SystemFacts(job.label, job.info.family, system_id(job.info), job.info.checkpoint_sha256),
        track,
        job.input_stamp,
        {**old_draws, **draws},
        tuple(sorted((*cells, *old_cells), key=lambda cell: cell.place)),
    )


def separate_job(job: Job, loaded: LoadedTrack, store: Store) -> dict[int, DrawResult]:
    """The first half of :func:`run_job`, for a worker that separates and does not score."""
    track = loaded.facts(job.track)
    stored = cells_by_key(job, store.read(job.label, job.track.name))
    made = {}
    for number in job.draws_to_run:
        draw = separate_draw(job, loaded, store, track, stored, number)
        # Draws are copied, because a system may reuse its buffers in the next draw.
        made[number] = draw.held() if job.draws > 1 else draw
    return made
