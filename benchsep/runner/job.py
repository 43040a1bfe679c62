"""One job: separate one track with one system, score it, and write its cells.

A job never raises for what a system or a track does: what went wrong becomes the status of
its cells. What it computes is a pure function of the job, so that any worker may do it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from benchsep._util.digest import digest
from benchsep._util.memory import PeakMemory
from benchsep._util.numbers import float_or_none
from benchsep.audio import Audio, read_audio, write_audio
from benchsep.errors import BenchsepError
from benchsep.metrics.catalog import get_metric, stems_scored
from benchsep.metrics.metric import References, Score, column
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo
from benchsep.systems.estimate import estimate_or_error, usable
from benchsep.systems.spec import load_system

if TYPE_CHECKING:
    from pathlib import Path

    from benchsep.datasets.track import Track, TrackAudio
    from benchsep.metrics.metric import Metric


@dataclass(frozen=True)
class Job:
    """(system, track) of a run, with what is needed to do it anywhere."""

    spec: str
    label: str
    info: SystemInfo
    track: Track
    stems: tuple[str, ...]
    metrics: tuple[str, ...]
    all_stems: bool = False
    seed: int = 0
    draws: int = 1
    device: str = "cpu"
    keep_estimates: str = "none"
    overwrite: Literal["never", "missing", "always"] = "missing"
    """What is computed anew: nothing that has a cell, what is missing or stale, everything."""
    stamp: str = ""

    @property
    def fresh(self) -> bool:
        """Compute every cell anew, whatever the store holds."""
        return self.overwrite == "always"

    @property
    def made(self) -> range:
        """The draws that are made: one where seeds change nothing."""
        return range(1 if self.info.deterministic else self.draws)


@dataclass(frozen=True)
class Outcome:
    """What a worker says of a job when it is done."""

    label: str
    track: str
    cells: int
    failed: int
    message: str = ""


@dataclass
class LoadedTrack:
    """A track's audio, decoded once for all systems of a unit of work."""

    audio: TrackAudio | None
    error: str = ""
    references: References = field(init=False)

    def __post_init__(self) -> None:
        stems = self.audio.stems if self.audio else {}
        self.references = References(stems, self.audio.mixture if self.audio else None)


@dataclass(frozen=True)
class Separated:
    """What one draw of a job gave, on its way from who separates to who scores.

    ``estimates`` is ``None`` where the store holds every cell of the draw already.
    """

    identity: str
    estimates: dict[str, Audio] | None
    cost: dict[str, Any]
    """Seconds, peak memory, and the error that stands in for missing estimates."""


def load_track(track: Track) -> LoadedTrack:
    """Decode; an unreadable track is remembered, not raised."""
    try:
        return LoadedTrack(track.load())
    except BenchsepError as error:
        return LoadedTrack(None, f"{type(error).__name__}: {error}")
    except Exception as error:
        return LoadedTrack(None, f"{type(error).__name__}: {error}")


@cache
def _system(spec: str, device: str) -> Any:
    return load_system(spec, device=device)


def drawn_seed(job: Job, draw: int) -> int:
    """The seed of a draw: one for each (seed, draw, track), the same for every system."""
    return int(digest(job.seed, draw, job.track.name)[:8], 16)


def separate_job(job: Job, loaded: LoadedTrack, store: Store) -> dict[int, Separated]:
    """The first half of :func:`run_job`, for a worker that separates and does not score."""
    record = _record(job, loaded)
    known = _known(job, store.read(job.label, job.track.name))
    return {draw: _separate(job, loaded, store, record, known, draw) for draw in job.made}


def run_job(
    job: Job, loaded: LoadedTrack, store: Store, separated: dict[int, Separated] | None = None
) -> Outcome:
    """Separate, score and store; cells that are there already and still true are kept.

    What :func:`separate_job` has done, here or on another machine, is not done again.
    """
    record = _record(job, loaded)
    old = store.read(job.label, job.track.name)
    known = _known(job, old)
    for draw in job.made:
        done = (separated or {}).get(draw)
        done = done or _separate(job, loaded, store, record, known, draw)
        _score_draw(job, loaded, record, known, draw, done)
    if old is not None and not job.fresh:
        _carry_over(record, old)
    record["cells"].sort(key=lambda c: (c["metric"], c["stem"], c["draw"]))
    store.write(record)
    failed = [c for c in record["cells"] if c["status"].startswith("failed")]
    return Outcome(
        job.label,
        job.track.name,
        len(record["cells"]),
        len(failed),
        failed[0]["status"] if failed else "",
    )


def _record(job: Job, loaded: LoadedTrack) -> dict[str, Any]:
    audio = loaded.audio
    return {
        "system": job.label,
        "family": job.info.family,
        "system_id": system_id(job.info),
        "checkpoint_sha256": job.info.checkpoint_sha256,
        "track": job.track.name,
        "split": job.track.split,
        "edition": job.track.edition,
        "stamp": job.stamp,
        "mixture_source": audio.mixture_source if audio else "",
        "mixture_sha256": audio.mixture.sha256() if audio else "",
        "reference_sha256": {s: a.sha256() for s, a in audio.stems.items()} if audio else {},
        "audio_seconds": audio.mixture.seconds if audio else None,
        "draws": {},
        "cells": [],
    }


def system_id(info: SystemInfo) -> str:
    """Identity of what makes the estimates: name, version, weights, options."""
    return digest(info.name, info.version, info.checkpoint_sha256, info.options)


def metric_id(metric: Metric) -> str:
    """Identity of what makes a value: name, version, settings."""
    return digest(metric.name, metric.version, metric.settings())


def _carry_over(record: dict[str, Any], old: dict[str, Any]) -> None:
    """Keep cells of metrics, stems and draws that this job was not asked for, if still true."""
    same = all(old[k] == record[k] for k in ("system_id", "mixture_sha256", "reference_sha256"))
    if not same:
        return
    there = {(c["metric"], c["stem"], c["draw"]) for c in record["cells"]}
    record["cells"] += [c for c in old["cells"] if (c["metric"], c["stem"], c["draw"]) not in there]
    record["draws"] = {**old["draws"], **record["draws"]}


def _known(job: Job, old: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The stored cells that may be kept, by key."""
    return {} if job.fresh or old is None else {c["key"]: c for c in old["cells"]}


def _separate(
    job: Job,
    loaded: LoadedTrack,
    store: Store,
    record: dict[str, Any],
    known: dict[str, dict[str, Any]],
    draw: int,
) -> Separated:
    """One draw's estimates, unless the store holds all that would be made of them."""
    seed = drawn_seed(job, draw)
    identity = _estimate_id(job, record, seed)
    kept = (_kept(c, known, identity, record, draw) for c in wanted_scores(job))
    if identity and all(cells is not None for cells in kept):
        return Separated(identity, None, {})
    estimates, cost = _estimates(job, loaded, store, seed, draw)
    return Separated(identity or _audio_id(estimates), estimates, cost)


def _score_draw(
    job: Job,
    loaded: LoadedTrack,
    record: dict[str, Any],
    known: dict[str, dict[str, Any]],
    draw: int,
    done: Separated,
) -> None:
    wanted = wanted_scores(job)
    kept = [_kept(c, known, done.identity, record, draw) for c in wanted]
    if done.estimates is None:
        for cells in kept:
            record["cells"] += cells or []
        return
    seed = drawn_seed(job, draw)
    record["draws"][str(draw)] = {"seed": seed, "estimate_id": done.identity, **done.cost}
    for (metric, stems), cells in zip(wanted, kept, strict=True):
        record["cells"] += cells or _score(metric, stems, loaded, record, draw, done)


def wanted_scores(job: Job) -> list[tuple[Metric, tuple[str, ...]]]:
    """Each metric with the stems it scores, as far as the system offers them."""
    pairs = []
    for metric in map(get_metric, job.metrics):
        stems = stems_scored(metric, job.stems, all_stems=job.all_stems)
        offered = tuple(s for s in stems if s in job.info.stems and s in job.track.stems)
        if offered:
            pairs.append((metric, offered))
    return pairs


def _estimate_id(job: Job, record: dict[str, Any], seed: int) -> str:
    """Known before separating, unless the estimates come from files or a foreign program."""
    if job.info.family == "unknown" or job.info.from_files:
        return ""
    if not record["mixture_sha256"]:
        return ""
    kept = KEPT_AS if job.keep_estimates != "none" else "none"
    parts = [system_id(job.info), record["mixture_sha256"], seed, kept]
    if job.info.needs_references:
        parts.append(record["reference_sha256"])
    return digest(*parts)


def _audio_id(estimates: dict[str, Audio]) -> str:
    return digest({stem: audio.sha256() for stem, audio in estimates.items()})


def _cell_key(metric: Metric, value: str, stem: str, identity: str, record: dict[str, Any]) -> str:
    return digest(
        identity,
        stem,
        value,
        metric_id(metric),
        record["mixture_sha256"],
        record["reference_sha256"],
    )


def _kept(
    wanted: tuple[Metric, tuple[str, ...]],
    known: dict[str, dict[str, Any]],
    identity: str,
    record: dict[str, Any],
    draw: int,
) -> list[dict[str, Any]] | None:
    """The cells of a metric from the store, if every one is there, true and not a failure."""
    metric, stems = wanted
    found = []
    for stem in stems:
        for value in metric.values:
            cell = known.get(_cell_key(metric, value.name, stem, identity, record))
            if cell is None or cell["draw"] != draw or retried(cell["status"], metric):
                return None
            found.append(cell)
    return found


def retried(status: str, metric: Metric) -> bool:
    """Whether a stored cell is worth computing again: failures, and what has become available."""
    if status.startswith("unavailable"):
        return not metric.available()
    return status.startswith("failed")


def _estimates(
    job: Job, loaded: LoadedTrack, store: Store, seed: int, draw: int
) -> tuple[dict[str, Audio], dict[str, Any]]:
    """The estimates of one draw and what they cost; an error is part of the cost record."""
    cost: dict[str, Any] = {"seconds": None, "peak_memory_mb": None, "error": ""}
    if loaded.audio is None:
        return {}, {**cost, "error": loaded.error}
    try:
        system = _system(job.spec, job.device)
        with PeakMemory() as memory:
            started = time.perf_counter()
            outputs = estimate_or_error(
                system,
                loaded.audio.mixture,
                seed=seed,
                references=loaded.audio.stems,
                track=job.track,
            )
            cost["seconds"] = time.perf_counter() - started
        cost["peak_memory_mb"] = memory.peak_mb
        estimates = usable(outputs)
        if faults := {stem: str(outputs[stem]) for stem in outputs.keys() - estimates.keys()}:
            cost["faults"] = faults
        if job.keep_estimates != "none":
            folder = store.estimate_folder(job.label, job.track.name, draw)
            estimates = keep(folder, estimates)
        return estimates, cost
    except MemoryError:
        return {}, {**cost, "error": "out of memory"}
    except Exception as error:
        return {}, {**cost, "error": f"{type(error).__name__}: {error}"}


KEPT_AS = "flac; float wav above full scale"
"""How kept estimates are written: part of their identity, as it is part of their samples."""


def keep(folder: Path, estimates: dict[str, Audio]) -> dict[str, Audio]:
    """Write the estimates and return them as written, so that scoring again gives the same.

    24-bit FLAC; an estimate that exceeds full scale is a float WAV, for FLAC would clip it and the
    score would be that of the clipped one (a sum of stems easily does).
    """
    kept = {}
    for stem, audio in estimates.items():
        loud = float(abs(audio.samples).max(initial=0.0)) > 1.0
        path, other = (folder / f"{stem}{suffix}" for suffix in (".flac", ".wav"))
        path, other = (other, path) if loud else (path, other)
        write_audio(path, audio)
        other.unlink(missing_ok=True)
        kept[stem] = read_audio(path)
    return kept


def _score(
    metric: Metric,
    stems: tuple[str, ...],
    loaded: LoadedTrack,
    record: dict[str, Any],
    draw: int,
    done: Separated,
) -> list[dict[str, Any]]:
    started = time.perf_counter()
    scores = _scores(metric, stems, loaded, done)
    seconds = time.perf_counter() - started
    return [
        {
            "metric": column(metric, value),
            "metric_version": metric.version,
            "metric_id": metric_id(metric),
            "stem": stem,
            "draw": draw,
            **_as_json(scores[stem].get(value.name, Score.missing("failed: not returned"))),
            "seconds": seconds / len(stems),
            "key": _cell_key(metric, value.name, stem, done.identity, record),
        }
        for stem in stems
        for value in metric.values
    ]


def _as_json(score: Score) -> dict[str, Any]:
    value = float_or_none(score.value)
    status = score.status
    if score.value is not None and value is None and status == "ok":
        status = "not_finite"
    frames = None if score.frames is None else [float_or_none(f) for f in score.frames]
    return {"value": value, "status": status, "frames": frames}


def _scores(
    metric: Metric, stems: tuple[str, ...], loaded: LoadedTrack, done: Separated
) -> dict[str, dict[str, Score]]:
    def everywhere(status: str, of: tuple[str, ...] = stems) -> dict[str, dict[str, Score]]:
        return {s: {v.name: Score.missing(status) for v in metric.values} for s in of}

    estimates = done.estimates or {}
    if done.cost["error"]:
        return everywhere(f"failed: {done.cost['error']}")
    reason = metric.available()
    if reason:
        return everywhere(f"unavailable: {reason}")
    given = tuple(s for s in stems if s in estimates)
    scores = everywhere("failed: the system returned no such stem")
    for stem, fault in done.cost.get("faults", {}).items():
        scores.update(everywhere(f"failed: {fault}", tuple(s for s in stems if s == stem)))
    if not given:
        return scores
    try:
        chosen = {s: estimates[s] for s in estimates}
        scores.update(metric.score_track(loaded.references, chosen, given))
        return scores
    except MemoryError:
        return everywhere("failed: out of memory")
    except Exception as error:
        return everywhere(f"failed: {type(error).__name__}: {error}")
