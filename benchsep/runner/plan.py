"""Makes the list of jobs for a suite: those whose results are not in the store yet.

The plan uses file sizes and times and reads no audio, so a plan of a finished run is fast. A worker
hashes the audio and decides for each cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from benchsep import registry
from benchsep._util.memory import collector_paused
from benchsep._util.suggest import did_you_mean
from benchsep.datasets.load import default_dataset, load_dataset
from benchsep.datasets.references import check_stems, default_stems, seen_through
from benchsep.datasets.track import Dataset, Track
from benchsep.errors import UsageError
from benchsep.metrics.catalog import (
    NO_REFERENCE,
    default_metrics_without_stems,
    get_metric,
    needs_reference,
)
from benchsep.runner import loaded_system
from benchsep.runner.done import Identities, is_done, planning_stamp
from benchsep.runner.job import Job
from benchsep.runner.labels import labelled
from benchsep.runner.reading import Reader, read_sheet
from benchsep.runner.sheet import Sheet
from benchsep.runner.stamps import (
    InputStamps,
    check_pinned,
    code_id,
    is_of_another_package,
    own_stamp,
    remembered_codes,
    remembered_labels,
    remembered_systems,
    system_stamp,
)
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite
from benchsep.stems.files import track_key
from benchsep.systems.contract import SystemInfo
from benchsep.systems.grammar import WHOLE_TEXT
from benchsep.systems.reference import WRONG_SONG
from benchsep.systems.spec import Spec
from benchsep.systems.stems import lacking

NO_FILES = "[]"
"""The stamp of a track without estimates in a folder."""

Systems = dict[str, tuple[str, SystemInfo]]
"""Label to (spec, info), in table order."""


@dataclass(frozen=True)
class Plan:
    """The jobs to do, and the number of jobs that are done."""

    suite: Suite
    dataset: Dataset
    tracks: list[Track]
    systems: dict[str, tuple[str, SystemInfo]]
    """Label to (spec, info), in table order."""
    jobs: list[Job]
    done: int
    unavailable: dict[str, str] = field(default_factory=dict)
    """Metric to the reason why it cannot be computed here."""
    stamps: dict[str, str] = field(default_factory=dict)
    """Spec to the stamp of its code and weights when its ``info`` was read."""
    codes: dict[str, str] = field(default_factory=dict)
    """Spec of a system, or name of a metric, of another package to a hash of the code with which
    the kept values were computed (:func:`benchsep.runner.stamps.code_id`)."""
    edited: tuple[str, ...] = ()
    """Systems and metrics whose code is another one now, with the same version."""

    @property
    def dataset_name(self) -> str:
        """The registered name of the data set; empty for the default one."""
        return (self.suite.dataset or "").partition(":")[0]

    @property
    def mixtures(self) -> tuple[str, ...]:
        """All texts of how the mixture is made that runs of these songs may have."""
        return ("", "file", "sum", *(note for note in self.dataset.notes if "mixture" in note))

    @property
    def kept_programs(self) -> list[str]:
        """Labels of programs (``cmd:``) that are not called again for some song."""
        left = Counter(job.label for job in self.jobs)
        programs = [k for k, (_, info) in self.systems.items() if info.from_program]
        return [label for label in programs if left[label] < len(self.tracks)]

    @property
    def absent(self) -> dict[str, str]:
        """Label of a system to the reason why it cannot run here."""
        return {k: info.unavailable for k, (_, info) in self.systems.items() if info.unavailable}


class Ask(Protocol):
    """Gets information from systems, in this process (:mod:`benchsep.runner.loaded_system`) or in a
    worker.
    """

    def describe(self, spec: str, device: str) -> SystemInfo:
        """The ``info`` of a system."""
        ...

    def estimate_stamps(self, spec: str, device: str, tracks: Sequence[Track]) -> list[str]:
        """For a system whose estimates are files: the stamp of each track."""
        ...


def make_plan(
    suite: Suite,
    store: Store,
    *,
    load_on: str = "",
    ask: Ask = loaded_system,
    read: Reader[Sheet] = read_sheet,
) -> Plan:
    """Resolve names, then list every (system, track) with something left to compute.

    ``load_on``: device on which systems are loaded to get their ``info``, if not the suite's
    device; so a run on GPUs can be planned without a GPU. ``ask``: another way to get the
    information than in this process. ``read``: function that reads a record.

    Raises
    ------
    UsageError, DatasetError, SeparatorError
        any error that can be detected before the first job.
    """
    if not suite.all_systems:
        raise UsageError("no system was given; give at least one, for example --systems htdemucs")
    suite, dataset = resolved(suite)
    metrics = {name: get_metric(name) for name in suite.metrics}
    tracks = _chosen(dataset.tracks(), suite)
    device = load_on or suite.device
    others = next_songs(dataset.tracks()) if _has_stems(dataset) else {}
    systems, loaded = _systems(suite, store, device, others, ask)
    if not _has_stems(dataset):
        systems = _without_oracles(systems, suite)
    mixture = mixture_of(suite, dataset)
    stamps = InputStamps((suite.dataset or "").partition(":")[0])
    ids = Identities()
    with collector_paused():
        by_system = [
            _with_stamps(
                _jobs_of(suite, n, *systems[n], tracks, others), stamps, ask, device, mixture
            )
            for n in systems
        ]
        # Jobs of one track are adjacent, so that a worker decodes it once.
        jobs = [job for of_track in zip(*by_system, strict=True) for job in of_track]
        todo = [job for job in jobs if job.overwrite_all or not is_done(job, store, ids, read)]
    missing = {name: reason for name, m in metrics.items() if (reason := m.available())}
    missing |= dict.fromkeys(_not_applicable(suite, dataset), NO_REFERENCE)
    plan = Plan(suite, dataset, tracks, systems, todo, len(jobs) - len(todo), missing, loaded)
    return _with_codes(plan, remembered_codes(store))


def _with_codes(plan: Plan, before: dict[str, str]) -> Plan:
    """The plan with the code of its systems and metrics. Where values are kept, that of the run
    ``before``, so that a change is noted until they are computed again.
    """
    codes, edited = {}, []
    left = Counter(job.label for job in plan.jobs)
    asked = [
        (label, "system", Spec.parse(spec).name, spec, left[label] < len(plan.tracks))
        for label, (spec, _) in plan.systems.items()
    ]
    asked += [(name, "metric", name, name, plan.done > 0) for name in plan.suite.metrics]
    for shown, kind, name, key, is_kept in asked:
        if now := code_id(kind, name):
            codes[key] = before.get(key, now) if is_kept else now
            edited += [shown] if codes[key] != now else []
    return replace(plan, codes=codes, edited=tuple(edited))


def dataset_of(suite: Suite) -> tuple[Dataset, list[Track]]:
    """The data set of a suite, and the tracks that the suite selects.

    Raises
    ------
    UsageError, DatasetError
        the data set, a track or a stem does not exist, or the root does not hold the data set.
    """
    suite, dataset = resolved(suite)
    return dataset, _chosen(dataset.tracks(), suite)


def resolved(suite: Suite) -> tuple[Suite, Dataset]:
    """The suite with its stems filled in (its own, or those of the data set), and the data set with
    references of these stems.

    Raises
    ------
    UsageError, DatasetError
        as :func:`dataset_of`.
    """
    dataset = load_dataset(
        suite.dataset or default_dataset(suite.root),
        root=suite.root,
        split=suite.split,
        mixture=suite.mixture,
    )
    tracks = dataset.tracks()
    if "metrics" not in suite.model_fields_set and not _has_stems(dataset):
        suite = suite.model_copy(update={"metrics": default_metrics_without_stems()})
    if not suite.names_stems:
        suite = suite.model_copy(update={"stems": default_stems(tracks)})
    else:
        check_stems(suite.stems, suite.whole_set, tracks, dataset.name)
    return suite, seen_through(dataset, suite.whole_set)


def _has_stems(dataset: Dataset) -> bool:
    return any(track.stems or track.offers for track in dataset.tracks())


def _not_applicable(suite: Suite, dataset: Dataset) -> list[str]:
    """The metrics that need true stems, if the data set has none.

    Raises
    ------
    UsageError
        no metric is left.
    """
    if _has_stems(dataset):
        return []
    lost = [name for name in suite.metrics if needs_reference(get_metric(name))]
    if len(lost) == len(suite.metrics):
        free = [n for n in default_metrics_without_stems() if not needs_reference(get_metric(n))]
        raise UsageError(
            f"{dataset.name} has no true stems, and {', '.join(lost)} need them; choose from "
            f"{', '.join(free)}"
        )
    return lost


def _without_oracles(systems: Systems, suite: Suite) -> Systems:
    """The systems for songs without true stems; a requested oracle becomes unavailable with a
    reason.
    """
    found = {}
    for label, (spec, info) in systems.items():
        if info.needs_references:
            info = replace(info, unavailable="it needs true stems, and the songs have none")
        if not info.needs_references or spec in suite.systems:
            found[label] = (spec, info)
    return found


def _chosen(tracks: list[Track], suite: Suite) -> list[Track]:
    names = [t.name for t in tracks]
    duplicates = {n for n in names if names.count(n) > 1} if len(set(names)) < len(names) else set()
    if duplicates:
        raise UsageError(f"two tracks have the name {sorted(duplicates)[0]!r}; rename one of them")
    for name in suite.tracks:
        if name not in names:
            raise UsageError(f"the data set has no track {name!r}{did_you_mean(name, names)}")
    chosen = [t for t in tracks if t.name in suite.tracks] if suite.tracks else tracks
    return chosen[: suite.limit]


def next_songs(tracks: list[Track]) -> dict[str, Track]:
    """Name of each track to the one after it, the last one to the first; empty for one track.

    Computed over the whole data set, so that the selection of tracks does not change an estimate.
    """
    if len(tracks) < 2:
        return {}
    return {
        track.name: after for track, after in zip(tracks, [*tracks[1:], tracks[0]], strict=True)
    }


def mixture_of(suite: Suite, dataset: Dataset) -> str:
    """How the mixture is made: the suite's choice, else that of the data set."""
    return suite.mixture or next((n for n in dataset.notes if "mixture" in n), "")


def _jobs_of(
    suite: Suite,
    label: str,
    spec: str,
    info: SystemInfo,
    tracks: list[Track],
    others: dict[str, Track],
) -> list[Job]:
    """One job per track, in the order of ``tracks``."""
    jobs = [_job(suite, track, label, spec, info) for track in tracks]
    if info.needs_other_song:
        jobs = [replace(job, other=others.get(job.track.name)) for job in jobs]
    return jobs


def _with_stamps(
    jobs: list[Job], stamps: InputStamps, ask: Ask, device: str, mixture: str
) -> list[Job]:
    """The jobs of one system with the stamps of their inputs; systems whose estimates are files
    provide these.
    """
    asked: Sequence[str | None] = [None] * len(jobs)
    if jobs and jobs[0].info.from_files:
        asked = ask.estimate_stamps(jobs[0].spec, device, [job.track for job in jobs])
        _refuse_shared(jobs, asked)
    found = [stamps.of(job.track, told, job.other) for job, told in zip(jobs, asked, strict=True)]
    return [
        replace(job, input_stamp=planning_stamp(stamp, job, mixture))
        for job, stamp in zip(jobs, found, strict=True)
    ]


def _refuse_shared(jobs: list[Job], stamps: Sequence[str | None]) -> None:
    """Raise if two tracks get the same files of estimates.

    Files are paired with tracks by names that look the same (:func:`.track_key`): without a folder
    of ``song``, it would get the estimates of ``Song``.
    """
    seen: dict[tuple[str, str], str] = {}
    for job, stamp in zip(jobs, stamps, strict=True):
        name = job.track.name
        if stamp and stamp != NO_FILES:
            other = seen.setdefault((track_key(name) or name, stamp), name)
            if other != name:
                raise UsageError(
                    f"the tracks {other!a} and {name!a} differ only in case, in how accents are "
                    f"encoded, or in spaces, and {job.spec} has the same files of "
                    "estimates for both; rename one track and its estimates"
                )


def _job(suite: Suite, track: Track, label: str, spec: str, info: SystemInfo) -> Job:
    return Job(
        spec=spec,
        label=label,
        info=info,
        track=track,
        stems=suite.stems,
        stem_set=suite.whole_set,
        metrics=suite.metrics,
        all_stems=suite.all_stems,
        seed=suite.seed,
        draws=suite.draws,
        device=suite.device,
        metric_device=suite.metric_device,
        keep_estimates=suite.keep_estimates,
        align=suite.align,
        overwrite=suite.overwrite,
    )


# -- systems --------------------------------------------------------------------------------


ONE_SONG = "the data set has one song, and wrong-song needs the stems of another one"


def _asked_for(suite: Suite, others: dict[str, Track]) -> tuple[str, ...]:
    """The suite's systems, and the reference system with the stems of another song, if there is
    another song.
    """
    if not suite.yardsticks or not others or WRONG_SONG in suite.systems:
        return suite.all_systems
    return (*suite.all_systems, *({WRONG_SONG} & set(registry.names("system"))))


def _systems(
    suite: Suite, store: Store, device: str, others: dict[str, Track], ask: Ask
) -> tuple[Systems, dict[str, str]]:
    """The systems, and the stamp of each spec."""
    remembered = remembered_systems(store)
    systems, stamps = [], {}
    for text in _asked_for(suite, others):
        spec = str(Spec.parse(text))
        own = own_stamp(spec)
        stamp = system_stamp(spec, suite.device, own)
        old = remembered.get(spec)
        # For folders and programs this is cheap, and their files are not part of the stamp. An
        # unavailable system is loaded again, because the stamp does not cover newly installed
        # packages; one that is registered in this process, because its code is in no file; one of
        # another package with weights, because these may be anywhere.
        name = Spec.parse(spec).name
        known = old is not None and old[0] == stamp and not old[1].unavailable
        known = known and name not in WHOLE_TEXT and not registry.is_local("system", name)
        elsewhere = old is not None and old[1].checkpoint_sha256 != ""
        known = known and not (elsewhere and is_of_another_package("system", name))
        info = old[1] if old and known else ask.describe(spec, device)
        stamps[spec] = stamp if known else system_stamp(spec, suite.device, own)
        check_pinned(spec, old, info)
        if info.needs_other_song and not others:
            info = replace(info, unavailable=ONE_SONG)
        if not info.unavailable and (reason := lacking(info, suite.whole_set, suite.stems)):
            info = replace(info, unavailable=reason)
        systems.append((spec, info))
    return labelled(systems, remembered_labels(store)), stamps
