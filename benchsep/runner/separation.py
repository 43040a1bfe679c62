"""One draw of a job: the system separates, and its estimates are checked, aligned and kept.

Errors of a system are not raised here; they are stored in the draw.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from time import perf_counter  # by name: a system may replace that of the module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from benchsep._util.digest import file_name
from benchsep._util.memory import PeakMemory
from benchsep._util.reason import bounded
from benchsep.audio import Audio, read_audio, write_audio
from benchsep.runner.done import (
    CellsByKey,
    cached_cells,
    id_of_samples,
    inputs_of,
    metrics_to_score,
)
from benchsep.runner.failure import failure
from benchsep.runner.loaded_system import system_of
from benchsep.runner.notes.lag import aligned, lags_of, loudest_parts
from benchsep.runner.notes.mistakes import mistakes_of, named
from benchsep.runner.record import Draw, TrackFacts
from benchsep.runner.warmup import warm_up
from benchsep.stems.names import ACCOMPANIMENT
from benchsep.systems.estimate import all_copied, estimate_or_error
from benchsep.systems.fit import Change, changes_noted
from benchsep.systems.named import names_noted
from benchsep.systems.reference import REFERENCE_FAMILIES
from benchsep.systems.stems import estimates_in
from benchsep.systems.surroundings import own_surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchsep.datasets.track import TrackAudio
    from benchsep.errors import BenchsepError
    from benchsep.runner.job import Job
    from benchsep.runner.loaded_track import LoadedTrack
    from benchsep.runner.store import Store

Estimates = dict[str, Audio]
"""Stem to its estimate, float32 ``[channels, frames]``."""


@dataclass(frozen=True)
class DrawResult:
    """The result of one separation, for the scoring process.

    ``estimates`` is ``None`` if the store already has all cells of the draw, and empty if the
    separation failed.
    """

    draw: Draw
    estimates: Estimates | None

    def held(self) -> DrawResult:
        """A copy with its own samples."""
        estimates = self.estimates
        return self if estimates is None else replace(self, estimates=all_copied(estimates))


def separate_draw(
    job: Job,
    loaded: LoadedTrack,
    store: Store,
    track: TrackFacts,
    stored: CellsByKey,
    number: int,
) -> DrawResult:
    """The estimates of one draw, unless the store already has all of its cells."""
    inputs = inputs_of(job, track, number)
    identity = inputs.estimate_id
    if job.info.unavailable:
        return DrawResult(Draw(inputs.seed, identity, None, None), {})
    if identity and all(
        cached_cells(metric, stems, stored, identity, track, number) is not None
        for metric, stems in metrics_to_score(job)
    ):
        return DrawResult(Draw(inputs.seed, identity, None, None), None)
    estimates: Estimates = {}
    timed = Timed()
    error = loaded.error
    faults: dict[str, str] = {}
    lags: dict[str, int] = {}
    mistakes: dict[str, str] = {}
    try:
        if loaded.audio is not None:
            timed = _timed_call(job, loaded.audio, inputs.seed)
            outputs = timed.outputs
            estimates = {s: audio for s, audio in outputs.items() if isinstance(audio, Audio)}
            faults = {
                s: bounded(str(outputs[s])) for s in outputs if not isinstance(outputs[s], Audio)
            }
            if job.info.family not in REFERENCE_FAMILIES:
                parts = loudest_parts(loaded.audio.stems)
                lags = lags_of(loaded.audio.stems, estimates, parts)
                mistakes = mistakes_of(loaded.audio.stems, estimates, parts)
                mistakes = {**named(timed.names, estimates), **mistakes}
            if job.align:
                estimates = aligned(estimates, lags)
            if job.keep_estimates != "none":
                folder = store.estimate_folder(job.label, job.track.name, number)
                estimates = keep(folder, estimates)
    except BaseException as raised:
        estimates, error, faults, lags, mistakes = {}, failure(raised), {}, {}, {}
    # Estimates from files or from another program are identified by their samples.
    identity = identity or id_of_samples(estimates)
    session = job.session if timed.seconds is not None else ""
    changes = timed.changes if estimates else {}
    cost = timed.seconds, timed.added_mb
    facts = inputs.seed, identity, *cost, error, faults, lags, session, changes, mistakes
    draw = Draw(*facts, aligned=job.align if lags else None)
    return DrawResult(draw, estimates)


class Timed(NamedTuple):
    """The result of a separation, its cost, and the conversions that fit it to the mixture."""

    outputs: Mapping[str, Audio | BenchsepError] = MappingProxyType({})
    seconds: float | None = None
    added_mb: float | None = None
    changes: dict[str, Change] = {}  # noqa: RUF012  # never written
    names: dict[str, str] = {}  # noqa: RUF012  # never written
    """Stem to the name of a program's file that says more than the stem."""


def _timed_call(job: Job, audio: TrackAudio, seed: int) -> Timed:
    """One separation."""
    with own_surroundings(job.spec):
        system = system_of(job)
        warm_up(system, job.spec, audio.mixture)
        noted = changes_noted(), names_noted()
        with _memory(job, audio.mixture) as memory, noted[0] as changes, noted[1] as names:
            started = perf_counter()
            outputs = _call(system, job, audio, seed)
            seconds = perf_counter() - started
    return Timed(outputs, seconds, memory.added_mb, changes, names)


def _memory(job: Job, mixture: Audio) -> AbstractContextManager[PeakMemory]:
    """Measures the memory of a separation, unless this process already did so with a mixture of at
    least this length.

    The table shows the largest value. The measurement takes time, because freed memory is returned
    to the system before.
    """
    of = job.session, job.spec, job.device
    if mixture.frames <= _longest.get(of, 0):
        return nullcontext(PeakMemory())  # not entered: no measurement
    _longest[of] = mixture.frames
    return PeakMemory()


_longest: dict[tuple[str, str, str], int] = {}
"""Samples of the longest mixture whose separation was measured, by session, spec and device."""


def _call(system: Any, job: Job, audio: TrackAudio, seed: int) -> dict[str, Audio | BenchsepError]:
    """Stem of the job's set to its estimate, or to an error if the estimate cannot be used."""
    outputs = estimate_or_error(
        system,
        audio.mixture,
        seed=seed,
        references=audio.stems,
        track=job.track,
        other=job.other.load().stems if job.other else None,
        info=job.info,
    )
    rest = (ACCOMPANIMENT,) if ACCOMPANIMENT in audio.stems else ()
    return estimates_in(outputs, job.info, job.stem_set, audio.mixture, also=rest)


def keep(folder: Path, estimates: Estimates) -> Estimates:
    """Write the estimates and return them as read back, so that a later scoring has the same
    values.

    The format is 24-bit FLAC. An estimate beyond full scale (often a sum of stems) is a float WAV,
    because FLAC would clip it and change its scores.
    """
    written = {}
    for stem, audio in estimates.items():
        loud = float(abs(audio.samples).max(initial=0.0)) > 1.0
        path, other = (folder / f"{file_name(stem)}{suffix}" for suffix in (".flac", ".wav"))
        path, other = (other, path) if loud else (path, other)
        write_audio(path, audio)
        other.unlink(missing_ok=True)
        written[stem] = read_audio(path)
    return written
