"""Do a job: separate one track with one system, score the estimates, and store the cells.

Nothing that a system or a track does raises here: what went wrong becomes the status of the cells.
What is computed is a pure function of the job, so that any worker may do it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from time import perf_counter  # by name: a system may replace that of the module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from benchsep import registry
from benchsep._util.digest import digest, file_name
from benchsep._util.memory import PeakMemory
from benchsep._util.numbers import float_or_none
from benchsep._util.reason import bounded, reason_of
from benchsep.audio import Audio, read_audio, scale_fault, write_audio
from benchsep.datasets.sums import LIMIT_DB, residue_db
from benchsep.errors import BenchsepError, DatasetError, SeparatorError, Unavailable
from benchsep.metrics.device import CPU, described, device_tolerance, scoring_on
from benchsep.metrics.metric import References, Score, column
from benchsep.metrics.status import Status
from benchsep.metrics.stems import score_stems
from benchsep.runner.done import (
    CellsByKey,
    cached_cells,
    carried_over,
    cell_key,
    cells_by_key,
    inputs_of,
    metric_id,
    metrics_to_score,
    system_id,
)
from benchsep.runner.job import Job, Outcome
from benchsep.runner.notes.lag import aligned, lags_of, loudest_parts
from benchsep.runner.notes.mistakes import mistakes_of
from benchsep.runner.record import Cell, Draw, Record, SystemFacts, TrackFacts
from benchsep.runner.warmup import forget, warm_up
from benchsep.stems.names import ACCOMPANIMENT
from benchsep.systems.contract import SystemInfo
from benchsep.systems.estimate import all_copied, copied, estimate_or_error
from benchsep.systems.fit import Change, changes_noted
from benchsep.systems.reference import REFERENCE_FAMILIES
from benchsep.systems.spec import load_system
from benchsep.systems.stems import estimates_in
from benchsep.systems.surroundings import own_surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchsep.datasets.track import Track, TrackAudio
    from benchsep.metrics.metric import Metric
    from benchsep.runner.store import Store

Estimates = dict[str, Audio]
"""Stem to its estimate, float32 ``[channels, frames]``."""


@dataclass
class LoadedTrack:
    """A track's audio, decoded once for all systems of a unit of work; or why there is none."""

    audio: TrackAudio | None
    error: str = ""
    references: References = field(init=False)

    def __post_init__(self) -> None:
        stems = self.audio.stems if self.audio else {}
        self.references = References(stems, self.audio.mixture if self.audio else None)

    def references_of(self, job: Job) -> References:
        """What a metric compares with; of a song without stems: the names of the job's set."""
        if self.references.stems:
            return self.references
        return replace(self.references, expected=job.stem_set)

    def facts(self, track: Track) -> TrackFacts:
        """What the record of a job on this track says of it."""
        audio = self.audio
        return TrackFacts(
            name=track.name,
            split=track.split,
            edition=track.edition,
            mixture_source=audio.mixture_source if audio else "",
            mixture_sha256=audio.mixture.sha256() if audio else "",
            reference_sha256={s: a.sha256() for s, a in audio.stems.items()} if audio else {},
            audio_seconds=audio.mixture.seconds if audio else None,
            residue_db=self.residue_db,
        )

    @cached_property
    def residue_db(self) -> float | None:
        """How far the mixture is from the sum of its stems, where it is too far to be that."""
        found = residue_db(self.audio) if self.audio else None
        return None if found is None or found <= LIMIT_DB else round(found, 1)


@dataclass(frozen=True)
class DrawResult:
    """One separation, on its way from who separates to who scores.

    ``estimates`` is ``None`` where the store holds every cell of the draw already, and empty where
    the separation failed.
    """

    draw: Draw
    estimates: Estimates | None

    def held(self) -> DrawResult:
        """The same with samples that belong to nobody else."""
        estimates = self.estimates
        return self if estimates is None else replace(self, estimates=all_copied(estimates))


def load_track(track: Track) -> LoadedTrack:
    """Decode a track; an unusable one is remembered with the reason, not raised."""
    try:
        return LoadedTrack(_in_full_scale(track.load()))
    except BaseException as error:
        return LoadedTrack(None, failure(error))


def _in_full_scale(audio: TrackAudio) -> TrackAudio:
    """The audio of a track of any data set, unless a signal is in another scale."""
    for name, signal in {**audio.stems, "mixture": audio.mixture}.items():
        if fault := scale_fault(signal):
            raise DatasetError(f"{name}: {fault}")
    return audio


interrupts_are_failures = False
"""Whether a KeyboardInterrupt is one of a system's: true in worker processes, which no terminal
interrupts."""


def failure(error: BaseException) -> str:
    """The reason of a failed job; foreign code may raise anything, ``SystemExit`` included.

    Raises
    ------
    KeyboardInterrupt
        it is one of the user.
    """
    if isinstance(error, KeyboardInterrupt) and not interrupts_are_failures:
        raise error
    return reason_of(error)


@contextmanager
def _asked(spec: str, fails: str) -> Iterator[None]:
    """Inside, a system is asked something; whatever it raises is an error that names it."""
    try:
        with own_surroundings(spec):
            yield
    except BenchsepError:
        raise
    except BaseException as error:
        raise SeparatorError(f"{spec}{fails}: {failure(error)}") from error


def describe(spec: str, device: str, *, keep: bool = False) -> SystemInfo:
    """What a system says of itself; with ``keep`` it stays loaded for the jobs of this process.

    Raises
    ------
    BenchsepError
        it cannot be loaded, whatever it raises.
    """
    with _asked(spec, " cannot be loaded"):
        info: SystemInfo = _loaded(spec, device, keep).info
        if not isinstance(info, SystemInfo):
            raise SeparatorError(f"{spec}: info is {type(info).__name__}, expected SystemInfo")
    return info


def estimate_stamps(
    spec: str, device: str, tracks: Sequence[Track], *, keep: bool = False
) -> list[str]:
    """What a system whose estimates are files says of those of each track (``FromTrack.stamp``).

    Raises
    ------
    BenchsepError
        it cannot say so, whatever it raises.
    """
    with _asked(spec, ": stamp(track) failed"):
        system = _loaded(spec, device, keep)
        stamps = [system.stamp(track) for track in tracks]
        if wrong := [type(stamp).__name__ for stamp in stamps if not isinstance(stamp, str)]:
            raise SeparatorError(f"{spec}: stamp(track) is {wrong[0]}, expected a text")
        return [str(stamp) for stamp in stamps]


def _loaded(spec: str, device: str, keep: bool) -> Any:
    return _system(spec, device) if keep else load_system(spec, device=device)


@cache
def _system(spec: str, device: str) -> Any:
    # A worker loads each system once, however many tracks it separates.
    return load_system(spec, device=device)


def _system_of(job: Job) -> Any:
    """The system of a job, as the plan described it.

    Raises
    ------
    SeparatorError
        what loads here has another version, other weights or options: its results would be stored
        under the name of the planned system.
    """
    if system_id(_system(job.spec, job.device).info) != system_id(job.info):
        forget()
        _system.cache_clear()  # weights may have changed since this process loaded them
    system = _system(job.spec, job.device)
    if system_id(system.info) != system_id(job.info):
        here, planned = _identity(system.info), _identity(job.info)
        raise SeparatorError(
            f"{job.spec} loads as {here} here, and was {planned} when the run was planned: its "
            "weights, code or options changed, or this worker has others; start the run again"
        )
    return system


def _identity(info: SystemInfo) -> str:
    weights = f" ({info.checkpoint_sha256[:8]})" if info.checkpoint_sha256 else ""
    return f"{info.label}{weights} version {info.version}"


# -- a whole job --------------------------------------------------------------------------------


def complete_job(
    job: Job,
    loaded: LoadedTrack,
    store: Store,
    separated: dict[int, DrawResult] | None = None,
) -> Outcome:
    """Do a job, store its record and report what came out.

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
    """Separate and score; stored cells that are still valid are taken over.

    ``separated`` is what :func:`separate_job` returned, here or on another machine: those draws
    are not separated again.
    """
    track = loaded.facts(job.track)
    old = store.read(job.label, job.track.name)
    stored = cells_by_key(job, old)
    made: dict[int, Draw] = {}
    cached: set[int] = set()
    cells: list[Cell] = []
    for number in job.draws_to_run:
        result = (separated or {}).get(number)
        result = result or _separate_draw(job, loaded, store, track, stored, number)
        made[number] = result.draw
        if result.estimates is None:
            cached.add(number)
        cells += _cells_of_draw(job, loaded, track, stored, number, result)
    old_cells, old_draws = carried_over(job, track, old, cells, made)
    # What the separation took is in the old record of a draw that was not made again.
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
        draw = _separate_draw(job, loaded, store, track, stored, number)
        # Draws are held until all are made, and a system may use its buffers again.
        made[number] = draw.held() if job.draws > 1 else draw
    return made


# -- separation ---------------------------------------------------------------------------------


def _separate_draw(
    job: Job,
    loaded: LoadedTrack,
    store: Store,
    track: TrackFacts,
    stored: CellsByKey,
    number: int,
) -> DrawResult:
    """One draw's estimates, unless the store holds all cells that would be made of them."""
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
            if job.align:
                estimates = aligned(estimates, lags)
            if job.keep_estimates != "none":
                folder = store.estimate_folder(job.label, job.track.name, number)
                estimates = keep(folder, estimates)
    except BaseException as raised:
        estimates, error, faults, lags, mistakes = {}, failure(raised), {}, {}, {}
    # Estimates of files or of another program are identified by their samples.
    identity = identity or digest({stem: audio.sha256() for stem, audio in estimates.items()})
    session = job.session if timed.seconds is not None else ""
    changes = timed.changes if estimates else {}
    cost = timed.seconds, timed.peak_mb
    facts = inputs.seed, identity, *cost, error, faults, lags, session, changes, mistakes
    draw = Draw(*facts, aligned=job.align if lags else None)
    return DrawResult(draw, estimates)


class Timed(NamedTuple):
    """What a separation gave, what it took, and what was changed so that it fits the mixture."""

    outputs: Mapping[str, Audio | BenchsepError] = MappingProxyType({})
    seconds: float | None = None
    peak_mb: float | None = None
    changes: dict[str, Change] = {}  # noqa: RUF012  # never written


def _timed_call(job: Job, audio: TrackAudio, seed: int) -> Timed:
    """One separation."""
    with own_surroundings(job.spec):
        system = _system_of(job)
        warm_up(system, job.spec, audio.mixture)
        with PeakMemory() as memory, changes_noted() as changes:
            started = perf_counter()
            outputs = _call(system, job, audio, seed)
            seconds = perf_counter() - started
    return Timed(outputs, seconds, memory.peak_mb, changes)


def _call(system: Any, job: Job, audio: TrackAudio, seed: int) -> dict[str, Audio | BenchsepError]:
    """Stem of the job's set to its estimate, or to the error of a stem that cannot be used."""
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
    """Write the estimates and return them as written, so that scoring again gives the same.

    They are 24-bit FLAC. An estimate that exceeds full scale is a float WAV, because FLAC would
    clip it and the score would be that of the clipped one (a sum of stems easily exceeds it).
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


# -- scoring ------------------------------------------------------------------------------------


def _cells_of_draw(
    job: Job,
    loaded: LoadedTrack,
    track: TrackFacts,
    stored: CellsByKey,
    number: int,
    result: DrawResult,
) -> list[Cell]:
    """The cells of a draw: stored ones metric by metric, the rest scored now."""
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
    """The device of a cell; empty where it is not there, as the cell's status says."""
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
    """Stem to value name to score: for every stem, whatever the metric does.

    ``unavailable``: why the system cannot run here, if it cannot.
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
    """The same signals in memory of their own; what was computed of them is shared."""
    mixture = references.mixture and copied(references.mixture)
    return replace(references, stems=all_copied(references.stems), mixture=mixture)


def _answer(scores: dict[str, dict[str, Score]], stem: str, name: str) -> dict[str, Any]:
    """What a metric gave for a value of a stem, as a cell holds it, whatever it gave."""
    try:
        return _storable(scores[stem].get(name, Score.missing("failed: not returned")))
    except BaseException as error:
        why = f"failed: the metric's answer is no score: {failure(error)}"
        return _storable(Score.missing(why))


def _storable(score: Score) -> dict[str, Any]:
    """Value, status and frames as a cell holds them: finite numbers and a known status."""
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
