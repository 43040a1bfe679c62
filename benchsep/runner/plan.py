"""From a suite to the jobs that the store does not hold yet.

The plan looks at file sizes and times, not at audio, so that planning a finished run of
50 tracks takes a moment; whoever does a job hashes the audio and decides cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchsep.datasets.load import default_dataset, load_dataset
from benchsep.datasets.track import Dataset, Track
from benchsep.errors import BenchsepError, SystemError_, UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.registry import GROUPS, did_you_mean
from benchsep.runner.done import is_done
from benchsep.runner.job import Job
from benchsep.runner.store import Store, digest
from benchsep.runner.suite import Suite
from benchsep.systems.contract import Spec, SystemInfo, load_system

NAMED_BY_THE_SYSTEM = ("checkpoint", "mode", "refine", "trust_pickle", "config")
"""Options that a system shows in its own name or checkpoint; every other one that was given
stands in the label, so that two variants never share a row."""


@dataclass(frozen=True)
class Plan:
    """Jobs to do, and how many are done already."""

    suite: Suite
    dataset: Dataset
    tracks: list[Track]
    systems: dict[str, tuple[str, SystemInfo]]
    """Label to (spec, info), in table order."""
    jobs: list[Job]
    done: int
    unavailable: dict[str, str] = field(default_factory=dict)
    """Metric to the reason why it cannot be computed here."""


def make_plan(suite: Suite, store: Store, *, load_on: str = "") -> Plan:
    """Resolve names, then list every (system, track) with something left to compute.

    ``load_on``: the device that systems are loaded on to ask what they are, if not the suite's; a
    run on GPUs can so be reckoned where there is none.

    Raises
    ------
    UsageError, DatasetError, SystemError_
        whatever can be known to be wrong before the first job starts.
    """
    if not suite.all_systems:
        raise UsageError("no systems: name at least one, as in --systems htdemucs")
    metrics = {name: get_metric(name) for name in suite.metrics}
    dataset, tracks = dataset_of(suite)
    systems = _systems(suite, store, load_on or suite.device)
    jobs = [_job(suite, t, label, *systems[label]) for t in tracks for label in systems]
    todo = [job for job in jobs if job.fresh or not is_done(job, store)]
    missing = {name: reason for name, m in metrics.items() if (reason := m.available())}
    return Plan(suite, dataset, tracks, systems, todo, len(jobs) - len(todo), missing)


def dataset_of(suite: Suite) -> tuple[Dataset, list[Track]]:
    """The dataset of a suite and the tracks that the suite wants of it.

    Raises
    ------
    UsageError, DatasetError
        no such dataset or track, or a root that does not hold it.
    """
    dataset = load_dataset(
        suite.dataset or default_dataset(suite.root),
        root=suite.root,
        split=suite.split,
        mixture=suite.mixture,
    )
    return dataset, _chosen(dataset.tracks(), suite)


def _chosen(tracks: list[Track], suite: Suite) -> list[Track]:
    names = [t.name for t in tracks]
    duplicates = {n for n in names if names.count(n) > 1} if len(set(names)) < len(names) else set()
    if duplicates:
        raise UsageError(f"two tracks are called {sorted(duplicates)[0]!r}")
    for name in suite.tracks:
        if name not in names:
            raise UsageError(f"no track {name!r}{did_you_mean(name, names)}")
    chosen = [t for t in tracks if t.name in suite.tracks] if suite.tracks else tracks
    return chosen[: suite.limit]


def _job(suite: Suite, track: Track, label: str, spec: str, info: SystemInfo) -> Job:
    return Job(
        spec=spec,
        label=label,
        info=info,
        track=track,
        stems=suite.stems,
        metrics=suite.metrics,
        all_stems=suite.all_stems,
        seed=suite.seed,
        draws=suite.draws,
        device=suite.device,
        keep_estimates=suite.keep_estimates,
        overwrite=suite.overwrite,
        stamp=input_stamp(track, spec),
    )


# -- systems --------------------------------------------------------------------------------


def _systems(suite: Suite, store: Store, device: str) -> dict[str, tuple[str, SystemInfo]]:
    remembered = _remembered(store)
    found: dict[str, tuple[str, SystemInfo]] = {}
    for text in suite.all_systems:
        spec = str(Spec.parse(text))
        stamp = system_stamp(spec, suite.device)
        old = remembered.get(spec)
        info = old[1] if old and old[0] == stamp else _info(spec, device)
        label = _label(spec, info)
        if label in found:
            raise UsageError(
                f"{found[label][0]!r} and {spec!r} are both called {label!r}; leave one out"
            )
        found[label] = (spec, info)
    return found


def _info(spec: str, device: str) -> SystemInfo:
    try:
        info = load_system(spec, device=device).info
    except BenchsepError:
        raise
    except Exception as error:
        raise SystemError_(f"{spec} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(info, SystemInfo):
        raise SystemError_(f"{spec}: info is {type(info).__name__}, expected SystemInfo")
    return info


def _label(spec: str, info: SystemInfo) -> str:
    given = Spec.parse(spec).options
    shown = [f"{k}={v}" for k, v in sorted(given.items()) if k not in NAMED_BY_THE_SYSTEM]
    return info.label + (f"[{','.join(shown)}]" if shown else "")


def _remembered(store: Store) -> dict[str, tuple[str, SystemInfo]]:
    """What the manifest of an earlier run says of its systems, by spec."""
    try:
        entries = store.manifest().get("systems", {})
        return {e["spec"]: (e["stamp"], info_from_json(e["info"])) for e in entries.values()}
    except (BenchsepError, KeyError, TypeError, AttributeError):
        return {}


def info_to_json(info: SystemInfo) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(info), "stems": list(info.stems)}


def info_from_json(entry: dict[str, Any]) -> SystemInfo:
    info = replace(SystemInfo(**entry), stems=tuple(entry["stems"]))
    texts = (info.name, info.family, info.checkpoint, info.checkpoint_sha256, info.version)
    flags = (info.deterministic, info.needs_references)
    if (
        not all(isinstance(text, str) for text in (*texts, *info.stems))
        or not all(isinstance(flag, bool) for flag in flags)
        or not isinstance(info.options, dict)
    ):
        raise TypeError("not a system's description")
    return info


def system_stamp(spec: str, device: str) -> str:
    """Changes when the code or the weights behind a spec change; imports nothing.

    It is made of the sizes and times of all files of the package that registers the system,
    and of every file that an option names.
    """
    parsed = Spec.parse(spec)
    paths = [Path(v) for v in (*parsed.options.values(), parsed.text) if v and _is_file(v)]
    for point in entry_points(group=GROUPS["system"]):
        if point.name == parsed.name:
            found = find_spec(point.value.split(":")[0].split(".")[0])
            for folder in found.submodule_search_locations or () if found else ():
                paths += [p for p in Path(folder).rglob("*") if p.suffix not in (".pyc", "")]
    return digest(device, spec, _stats(paths))


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _stats(paths: list[Path]) -> list[list[Any]]:
    stats = []
    for path in sorted(paths):
        try:
            stat = path.stat()
        except OSError:
            continue
        stats.append([path.name, stat.st_size, stat.st_mtime_ns])
    return stats


def input_stamp(track: Track, spec: str) -> str:
    """Changes when a file of the track, or of a folder of estimates, changes."""
    parts: list[Any] = [_stats([Path(p) for p in track.paths])]
    if spec.startswith("dir:"):
        from benchsep.systems.adapters import EstimatesFolder

        parts.append(EstimatesFolder(Spec.parse(spec).text).stamp(track))
    return digest(parts)
