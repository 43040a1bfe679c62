"""``benchsep plan``: estimates the cost of a run before it is started.

Conventions
-----------
hours      hours of one core with one thread, or of one GPU; the duration is this divided by the
           number of workers
rates      seconds of work per second of audio, plus a fixed part per track:
           ``[fixed, per second]``. A metric costs ``once`` per track (for its
           references) and ``each`` per estimate of the track
source     :data:`OWN_RATES`, measured on one machine (named there), or the costs of an earlier run
           (wall-clock seconds of its workers), which fit its machine and weights
devices    a metric on another device (``--metric-device``) has rates only from an earlier run on
           this device. The worker waits for the device, so its time counts as CPU hours
unknown    work without a rate is named and is not part of the sums
upper      jobs that are partly done count as whole jobs, so the result is an upper bound

The length of a track is read from file headers; nothing is decoded and no model is run.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util import text_table
from benchsep.audio import seconds_in
from benchsep.errors import AudioError, DatasetError, StoreError, UsageError
from benchsep.metrics.catalog import get_metric, stems_scored
from benchsep.metrics.device import CPU, device_tolerance
from benchsep.metrics.status import IN_WORDS
from benchsep.runner.advice import advice, workers_for
from benchsep.systems.stems import stems_in

if TYPE_CHECKING:
    from benchsep.datasets.track import Track
    from benchsep.metrics.metric import Metric
    from benchsep.runner.job import Job
    from benchsep.runner.plan import Plan
    from benchsep.runner.store import Store

OWN_RATES = Path(__file__).with_name("rates.json")
Line = tuple[float, float]
"""Seconds of work: a fixed part, and a part per second of audio."""


@dataclass(frozen=True)
class MetricCost:
    """The cost of a metric for its default stems."""

    once: Line
    each: Line


@dataclass(frozen=True)
class Rates:
    """The rates of one machine.

    ``systems`` maps a device (``cpu``, ``cuda``) to seconds of separation per second of audio, by
    label; ``stored_bytes`` is the disk space per second of one kept stem.
    """

    source: str
    systems: dict[str, dict[str, float]]
    metrics: dict[str, MetricCost]
    load: Line
    stored_bytes: float
    device_metrics: dict[str, dict[str, MetricCost]] = field(default_factory=dict)
    """Kind of another metric device to the costs of metrics on it."""

    def of_metric(self, metric: Metric, device: str) -> MetricCost | None:
        """The cost of a metric if ``device`` is the suite's metric device; ``None``: unknown."""
        if device == CPU or device_tolerance(metric) is None:
            return self.metrics.get(metric.name)
        return self.device_metrics.get(_kind(device), {}).get(metric.name)


def _kind(device: str) -> str:
    """``cuda`` of ``cuda:1`` and of ``cuda:1 (NVIDIA H200)``."""
    return device.partition(" ")[0].partition(":")[0]


@dataclass
class Forecast:
    """The cost of a run; ``unknown`` lists the work that is not included."""

    source: str
    tracks: int
    audio_hours: float
    jobs: int
    done: int
    systems: dict[str, dict[str, float | int | None]] = field(default_factory=dict)
    """By label: ``jobs``, ``cpu_hours``, ``gpu_hours`` of separation (``None``: unknown)."""
    metrics: dict[str, float | None] = field(default_factory=dict)
    """CPU hours of scoring, by metric."""
    loading_hours: float = 0.0
    cpu_hours: float = 0.0
    gpu_hours: float = 0.0
    disk_gb: float = 0.0
    longest_seconds: float = 0.0
    """Length of the longest track in seconds."""
    unknown: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


# -- rates ---------------------------------------------------------------------------------------


def own_rates() -> Rates:
    """The rates that benchsep ships; :data:`OWN_RATES` names the machine and the command."""
    stored = json.loads(OWN_RATES.read_text(encoding="utf-8"))
    gpu = f" and {stored['cuda_machine']}" if "cuda_machine" in stored else ""
    return Rates(
        source=f"rates of benchsep, measured on {stored['machine']}{gpu}",
        systems=stored["systems"],
        metrics={
            name: MetricCost(_line(cost["once"]), _line(cost["each"]))
            for name, cost in stored["metrics"].items()
        },
        load=_line(stored["load"]),
        stored_bytes=stored["stored_bytes"],
    )


def _line(values: list[float]) -> Line:
    fixed, slope = values
    return float(fixed), float(slope)


def rates_of_run(path: str | Path) -> Rates:
    """The rates of an earlier run; for everything it did not measure, benchsep's own rates.

    Raises
    ------
    StoreError
        the path is not a run folder, or the run has no timed cell.
    """
    from benchsep.runner.frame import load_costs
    from benchsep.runner.store import Store

    store, own = Store(Path(path)), own_rates()
    device = str(store.manifest().get("platform", {}).get("device", "cpu")).partition(":")[0]
    costs = load_costs(path).dropna(subset=["seconds", "audio_seconds"])
    sums = costs.groupby("system")[["seconds", "audio_seconds"]].sum()
    systems = {str(k): float(v) for k, v in (sums["seconds"] / sums["audio_seconds"]).items()}
    metrics: dict[str, dict[str, MetricCost]] = defaultdict(dict)
    for name, there, rate in _scoring_rates(store):
        metrics[there][name] = MetricCost((0.0, 0.0), (0.0, rate))
    on_cpu = metrics.pop("", {})
    if not systems and not on_cpu and not metrics:
        raise StoreError(
            f"{path} has no timed results, so it gives no rates; first run a track into it"
        )
    return Rates(
        source=f"the run {path}",
        systems={**own.systems, device: {**own.systems.get(device, {}), **systems}},
        metrics={**own.metrics, **on_cpu},
        load=own.load,
        stored_bytes=own.stored_bytes,
        device_metrics=dict(metrics),
    )


def _scoring_rates(store: Store) -> Iterator[tuple[str, str, float]]:
    """Metric, kind of its device, and seconds per second of audio for all its default stems.

    The device is empty for the CPU engine.
    """
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    audio: dict[tuple[str, str], float] = defaultdict(float)
    for record in store.records():
        scored: dict[tuple[tuple[str, str], int], float] = defaultdict(float)
        for cell in record.cells:
            if cell.status.kind in IN_WORDS or not cell.seconds:
                continue
            name = cell.metric.partition(".")[0]
            what = (name, _kind(cell.device))
            stems = len(get_metric(name).default_stems)
            # All values of a metric store the same seconds, those of the stem.
            values = len(get_metric(name).values)
            scored[what, cell.draw] += cell.seconds / values
            audio[what] += (record.track.audio_seconds or 0.0) / values / stems
        for (what, _), spent in scored.items():
            seconds[what] += spent
    for what, length in audio.items():
        if length:
            yield *what, seconds[what] / length


# -- lengths -------------------------------------------------------------------------------------


@cache
def seconds_of(track: Track) -> float:
    """The track's length from the header of its first file.

    Raises
    ------
    DatasetError
        no file of the track has its length in the header.
    """
    for path in sorted(track.paths, key=_audio_first):
        length = _header_seconds(path)
        if length:
            return length
    raise DatasetError(
        f"{track.name}: none of its files gives its length ({len(track.paths)} files)"
    )


def _audio_first(path: str) -> tuple[bool, str]:
    return not path.lower().endswith((".wav", ".flac", ".mp4")), path


def _header_seconds(path: str) -> float:
    try:
        return seconds_in(path)
    except AudioError:
        return 0.0


# -- the forecast --------------------------------------------------------------------------------


def forecast(plan: Plan, rates: Rates) -> Forecast:
    """The cost of the plan's jobs at these rates.

    Raises
    ------
    DatasetError
        a track whose length cannot be read.
    """
    tracks = {job.track.name: job.track for job in plan.jobs}
    lengths = {name: seconds_of(track) for name, track in tracks.items()}
    result = Forecast(
        source=rates.source,
        tracks=len(tracks),
        audio_hours=sum(lengths.values()) / 3600,
        jobs=len(plan.jobs),
        done=plan.done,
        longest_seconds=max(lengths.values(), default=0.0),
    )
    unknown: set[str] = set()
    result.loading_hours = sum(at(rates.load, s) for s in lengths.values()) / 3600
    _add_separation(result, plan.jobs, lengths, rates, unknown)
    _add_scoring(result, plan, lengths, rates, unknown)
    for entry in result.systems.values():
        result.cpu_hours += entry["cpu_hours"] or 0.0
        result.gpu_hours += entry["gpu_hours"] or 0.0
    scoring = sum(hours for hours in result.metrics.values() if hours is not None)
    result.cpu_hours += scoring + result.loading_hours
    result.unknown = sorted(unknown)
    return result


def at(line: Line, seconds: float) -> float:
    """Seconds of work for ``seconds`` of audio: fixed part plus proportional part."""
    return line[0] + line[1] * seconds


def _add_separation(
    result: Forecast, jobs: list[Job], lengths: dict[str, float], rates: Rates, unknown: set[str]
) -> None:
    for job in jobs:
        entry = result.systems.setdefault(
            job.label, {"jobs": 0, "cpu_hours": 0.0, "gpu_hours": 0.0}
        )
        entry["jobs"] = (entry["jobs"] or 0) + 1
        audio = lengths[job.track.name] * len(job.draws_to_run)
        if job.keep_estimates != "none":
            kept = len(stems_in(job.info, job.stem_set))
            result.disk_gb += audio * kept * rates.stored_bytes / 1e9
        device = device_of(job)
        rate = rate_of(rates, device, job)
        if rate is None:
            entry["cpu_hours"] = entry["gpu_hours"] = None
            unknown.add(f"separation with {job.label} on {device}")
        elif device == "cpu":
            entry["cpu_hours"] = (entry["cpu_hours"] or 0.0) + audio * rate / 3600
        else:
            entry["gpu_hours"] = (entry["gpu_hours"] or 0.0) + audio * rate / 3600


def rate_of(rates: Rates, device: str, job: Job) -> float | None:
    """Seconds of separation per second of audio; ``None``: unknown."""
    if job.info.unavailable:
        return 0.0
    # All folders of estimates have the same rate.
    return rates.systems.get(device, {}).get("dir" if job.info.from_files else job.label)


def device_of(job: Job) -> str:
    return job.device.partition(":")[0] if job.info.needs_accelerator else "cpu"


def _add_scoring(
    result: Forecast, plan: Plan, lengths: dict[str, float], rates: Rates, unknown: set[str]
) -> None:
    suite = plan.suite
    for name in suite.metrics:
        metric = get_metric(name)
        cost = rates.of_metric(metric, suite.metric_device)
        if plan.unavailable.get(name):
            result.metrics[name] = 0.0
            unknown.add(f"{name}, which is unavailable here")
            continue
        if cost is None:
            result.metrics[name] = None
            there = "" if name not in rates.metrics else f" on {suite.metric_device}"
            unknown.add(f"scoring with {name}{there}")
            continue
        stems = set(stems_scored(metric, suite.stems, all_stems=suite.all_stems))
        result.metrics[name] = _scoring_seconds(metric, stems, cost, plan, lengths) / 3600


def scored_share(metric: Metric, stems: Collection[str], job: Job) -> float:
    """Number of scored ``stems`` that the job's system provides, divided by the number of default
    stems.

    Rates of a metric are for its default stems.
    """
    given = set(stems_in(job.info, job.stem_set))
    return len(set(stems) & given) / len(metric.default_stems)


def _scoring_seconds(
    metric: Metric, stems: set[str], cost: MetricCost, plan: Plan, lengths: dict[str, float]
) -> float:
    """Seconds to score ``stems`` of all jobs: sum over estimates of share * each(length), and
    once(length) for each track that has an estimate. Rates are for the metric's default stems,
    so ``share`` is the number of stems over the number of default stems.
    """
    estimates: Counter[str] = Counter()
    seconds = 0.0
    for job in plan.jobs:
        if job.info.unavailable:
            continue
        share = scored_share(metric, stems, job)
        estimates[job.track.name] += len(job.draws_to_run) if share else 0
        seconds += share * len(job.draws_to_run) * at(cost.each, lengths[job.track.name])
    return seconds + sum(at(cost.once, lengths[t]) for t, n in estimates.items() if n)


# -- as text -------------------------------------------------------------------------------------


def render(result: Forecast, cores: int, format: str = "terminal") -> str:
    """The forecast in one of :data:`benchsep._util.text_table.FORMATS`.

    ``cores`` is the number of single-threaded workers that share the CPU hours. CSV has only the
    rows.

    Raises
    ------
    UsageError
        for another format.
    """
    format = text_table.ALIASES.get(format, format)
    if format == "json":
        workers, _ = workers_for(result.jobs, result.longest_seconds)
        content = {**result.as_json(), "cores": cores, "best_workers": workers}
        return json.dumps(content, ensure_ascii=False, indent=1)
    if format == "csv":
        names = ["what", "jobs", "cpu_hours", "gpu_hours"]
        return text_table.render_rows(names, _rows(result), format).rstrip("\n")
    if format not in text_table.FORMATS:
        expected = ", ".join(text_table.FORMATS)
        raise UsageError(f"unknown format {format!r}, expected one of {expected}")
    texts = (
        (what, "" if jobs is None else str(jobs), _shown(cpu), _shown(gpu))
        for what, jobs, cpu, gpu in _rows(result)
    )
    body = [[_escaped(text, format) for text in row] for row in texts]
    head = ["what", "jobs", "CPU hours", "GPU hours"]
    table = text_table.lines(head, body, format, right=(1, 2, 3), rule=False)
    notes = [text_table.paragraph(note, format) for note in _notes(result, cores)]
    return "\n".join([*table, "", *notes])


def _rows(result: Forecast) -> list[tuple[str, Any, Any, Any]]:
    """Rows of work, number of jobs, CPU hours and GPU hours; NaN: unknown, ``None``: does not
    apply.
    """
    rows: list[tuple[str, Any, Any, Any]] = [
        (f"separate with {label}", e["jobs"], _known(e["cpu_hours"]), _known(e["gpu_hours"]))
        for label, e in result.systems.items()
    ]
    rows += [(f"score {name}", None, _known(h), None) for name, h in result.metrics.items()]
    rows.append(("decode", None, result.loading_hours, None))
    rows.append(("all", result.jobs, result.cpu_hours, result.gpu_hours))
    return rows


def _known(hours: float | int | None) -> float | int:
    return math.nan if hours is None else hours


def _escaped(text: str, format: str) -> str:
    return text_table.ESCAPES[format](text) if format in ("tex", "html") else text


def _shown(hours: float | None) -> str:
    """Hours as text for a table; ``?``: unknown."""
    if hours is None:
        return ""
    return _hours(None if math.isnan(hours) else hours)


def _hours(hours: float | int | None) -> str:
    if hours is None:
        return "?"
    return f"{hours:.2f}" if hours >= 0.005 or hours == 0 else "<0.01"


def _notes(result: Forecast, cores: int) -> Iterator[str]:
    yield (
        f"{result.jobs} jobs on {result.tracks} tracks ({result.audio_hours:.2f} hours of audio); "
        f"{result.done} jobs are done already"
    )
    yield f"CPU hours shared by {cores} cores: {_hours(result.cpu_hours / cores)} hours or more"
    if result.jobs:
        yield advice(result.jobs, result.longest_seconds)
    if result.disk_gb:
        yield f"kept estimates: {result.disk_gb:.2f} GB"
    for what in result.unknown:
        yield f"not included in the sums: {what}"
    yield f"rates: {result.source}"
    if result.unknown:
        yield "to measure them, run two tracks (--limit 2 -o probe) and pass --rates probe"
