"""All rules that decide whether a cell is done.

Conventions
-----------
inputs    :class:`Inputs` lists everything that affects a cell. Two cells with the same inputs have
          the same value; :func:`cell_key` is a hash of the inputs
planning  :func:`is_done` decides from the record and from stamps, without reading audio. Each field
          of :class:`Inputs` is either part of the job's stamp (:func:`planning_stamp`) or compared
          here
shown     :func:`is_draw_shown` decides which stored cells are results of the manifest's request
at work   :func:`cached_cells` decides from the keys, after the audio is decoded and hashed
retried   failed cells, and unavailable ones that are available now, are always computed again;
          undefined cells are final
kept      :func:`carried_over` keeps cells that the job does not request, if they are still valid

A plan is made once, and its jobs may start much later. Meanwhile another run on the same folder may
have done them. So a worker first claims a job and then checks again (:func:`begin`); from then on
no other process can do it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from benchsep._util.digest import digest
from benchsep.errors import UsageError
from benchsep.metrics.catalog import get_metric, needs_reference, stems_scored
from benchsep.metrics.metric import column
from benchsep.runner.job import seed_of
from benchsep.runner.reading import Reader, read_sheet
from benchsep.runner.record import parsed_status
from benchsep.systems.spec import Spec
from benchsep.systems.stems import derived_in, stems_in

if TYPE_CHECKING:
    from benchsep.audio import Audio
    from benchsep.metrics.metric import Metric
    from benchsep.metrics.status import Status
    from benchsep.runner.job import Job
    from benchsep.runner.record import Cell, Draw, Record, TrackFacts
    from benchsep.runner.sheet import Columns, Sheet
    from benchsep.runner.store import Store
    from benchsep.systems.contract import SystemInfo

KEPT_AS = "flac; float wav above full scale"
"""Format of kept estimates. It rounds their samples, so it affects their scores."""

CellsByKey = Mapping[str, "Cell"]


# -- what moves a cell --------------------------------------------------------------------------


IDENTITY = ("name", "version", "checkpoint_sha256", "options")
"""What a system's estimates depend on."""


def system_id(info: SystemInfo) -> str:
    """Identity of a system: :data:`IDENTITY`."""
    return digest(*(getattr(info, name) for name in IDENTITY))


def metric_id(metric: Metric) -> str:
    """Identity of a metric: name, version, settings."""
    packages = installed(getattr(metric, "packages", ()))
    return digest(metric.name, metric.version, metric.settings(), packages)


ENGINES = ("torch", "soxr")
"""Packages that may change the output of a model, at least in the last digits."""


@cache
def installed(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of the packages that are installed."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def engine(info: SystemInfo, device: str) -> dict[str, str]:
    """Other things that affect a system's output: versions of packages and the kind of device.

    Empty for systems without a model: reference systems, files, programs.
    """
    if info.family not in ("generative", "discriminative") or _from_outside(info):
        return {}
    return {**installed(ENGINES), "device": device.split(":")[0]}


def _from_outside(info: SystemInfo) -> bool:
    """Whether the estimates come from files or from another program."""
    return info.from_files or info.from_program


@dataclass(frozen=True)
class Inputs:
    """Everything that affects the cells of one draw, except metric and stem (:func:`cell_key`).

    Any other input that affects a cell must be added here.
    """

    system_id: str
    mixture_sha256: str
    reference_sha256: dict[str, str]
    """Hashes of the references (for metrics and oracles), by stem."""
    sees_references: bool
    seed: int
    kept_as: str
    aligned: bool
    engine: dict[str, str]
    """See :func:`engine`."""
    derived: tuple[str, ...]
    """Relations of the stems that the system does not return itself."""
    computed: bool
    """True: these inputs determine the estimates. False: the estimates come from files or another
    program."""

    @property
    def estimate_id(self) -> str:
        """Identity of the estimates, known before the separation; empty if this is impossible."""
        if not self.computed or not self.mixture_sha256:
            return ""
        parts: list[Any] = [self.system_id, self.mixture_sha256, self.seed, self.kept_as]
        if self.sees_references:
            parts.append(self.reference_sha256)
        if self.engine:
            parts.append(self.engine)
        if self.aligned:
            parts.append("aligned")
        if self.derived:
            parts.append(list(self.derived))
        return digest(*parts)


def inputs_of(job: Job, track: TrackFacts, draw: int) -> Inputs:
    """The inputs of a draw of a job."""
    return Inputs(
        system_id=system_id(job.info),
        mixture_sha256=track.mixture_sha256,
        reference_sha256=track.reference_sha256,
        sees_references=job.info.needs_references,
        seed=job.seed_for(draw),
        kept_as=kept_as(job),
        aligned=job.align,
        engine=engine(job.info, job.device),
        derived=derived_in(job.info, job.stem_set),
        # The stems of another song are not part of these inputs: such estimates are identified by
        # their samples.
        computed=_is_computed(job.info),
    )


def _is_computed(info: SystemInfo) -> bool:
    """:attr:`Inputs.computed`."""
    return info.family != "unknown" and not (_from_outside(info) or info.needs_other_song)


def identity_without_files(
    record: Record,
    draw: Draw,
    info: SystemInfo,
    stem_set: tuple[str, ...],
    engine: dict[str, str],
    aligned: bool,
) -> str:
    """:attr:`Inputs.estimate_id` of a record's draw if its estimates were not kept in files."""
    return Inputs(
        system_id=record.system.system_id,
        mixture_sha256=record.track.mixture_sha256,
        reference_sha256=record.track.reference_sha256,
        sees_references=info.needs_references,
        seed=draw.seed,
        kept_as="none",
        aligned=aligned,
        engine=engine,
        derived=derived_in(info, stem_set),
        computed=True,
    ).estimate_id


def engine_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """:func:`engine` of a model in the run of a manifest."""
    packages = manifest.get("packages") or {}
    device = str((manifest.get("suite") or {}).get("device", "cpu"))
    found = {name: packages[name] for name in ENGINES if name in packages}
    return {**found, "device": device.split(":")[0]}


def id_of_samples(estimates: Mapping[str, Audio]) -> str:
    """Identity of estimates that files or a program gave: a hash of their samples."""
    return digest({stem: audio.sha256() for stem, audio in estimates.items()})


def kept_as(job: Job) -> str:
    """Format in which the estimates of a job are stored before scoring, or ``none``."""
    return KEPT_AS if job.keep_estimates != "none" else "none"


def planning_stamp(input_stamp: str, job: Job, mixture: str) -> str:
    """Everything that affects the cells of a job and is known before its audio is decoded, as one
    text.

    ``input_stamp``: stamp of the job's files; ``mixture``: how the data set makes the mixture.
    Seeds are compared per draw, metrics per cell (:func:`is_done`).
    """
    made_by = tuple(engine(job.info, job.device).items())
    return _planning_stamp(input_stamp, mixture, kept_as(job), job.align, made_by)


def stamps_of_files(input_stamp: str, mixtures: Iterable[str]) -> set[str]:
    """All stamps that jobs of a folder of estimates may have had by :func:`planning_stamp`.

    ``mixtures``: the possible texts of how the mixture is made.
    """
    return {
        _planning_stamp(input_stamp, mixture, kept, align, ())
        for mixture in mixtures
        for kept in (KEPT_AS, "none")
        for align in (False, True)
    }


@lru_cache(maxsize=65536)  # most systems of a run share the stamp of a song
def _planning_stamp(
    input_stamp: str, mixture: str, kept: str, align: bool, made_by: tuple[tuple[str, str], ...]
) -> str:
    return digest(input_stamp, mixture, kept, align, dict(made_by))


def cell_key(estimate_id: str, stem: str, value: str, metric: Metric, track: TrackFacts) -> str:
    """The content key of a cell: a hash of everything that affects it.

    ``estimate_id`` is :attr:`Inputs.estimate_id` or, if that is empty, a hash of the samples.
    """
    return digest(
        estimate_id,
        stem,
        value,
        metric_id(metric),
        track.mixture_sha256,
        track.reference_sha256,
    )


# -- what a job has to score --------------------------------------------------------------------


def metrics_to_score(job: Job) -> list[tuple[Metric, tuple[str, ...]]]:
    """Each metric with the stems that it scores, if the system and the track have them.

    A system that cannot run here has a reason on every stem. A system that needs another song is
    scored on the stems that both songs have. A track without true stems is scored with the metrics
    that need none.
    """
    pairs = []
    names = stems_in(job.info, job.stem_set)
    names = names if set(names) & set(job.stems) or not job.info.unavailable else job.stem_set
    for metric in map(get_metric, job.metrics):
        stems = stems_scored(metric, job.stems, all_stems=job.all_stems)
        known = job.track.stems or (() if needs_reference(metric) else job.stem_set)
        if job.other is not None:
            known = tuple(s for s in known if s in job.other.stems)
        offered = tuple(s for s in stems if s in names and s in known)
        if offered:
            pairs.append((metric, offered))
    return pairs


def is_retried(status: Status, metric: Metric, system_lacks: str = "") -> bool:
    """Whether a stored cell is computed again: it failed, or it was unavailable and is available
    now.

    ``system_lacks``: why the system cannot run here; empty: it can.
    """
    if status.kind == "unavailable":
        return not metric.available() and not system_lacks
    return status.kind == "failed"


# -- planning -----------------------------------------------------------------------------------


class Identities:
    """Cache for the jobs of one plan: ids of systems and metrics, and whether cells are done,
    computed once for all records whose cells have equal texts.
    """

    def __init__(self) -> None:
        self._done: dict[Any, bool] = {}
        self._metrics: dict[str, str] = {}
        self._systems: dict[str, tuple[SystemInfo, str]] = {}

    def metric(self, metric: Metric) -> str:
        """As :func:`metric_id`."""
        if metric.name not in self._metrics:
            self._metrics[metric.name] = metric_id(metric)
        return self._metrics[metric.name]

    def system(self, job: Job) -> str:
        """:func:`system_id` of the job's system."""
        info, found = self._systems.get(job.label, (None, ""))
        if info is not job.info:
            found = system_id(job.info)
            self._systems[job.label] = job.info, found
        return found

    def all_done(self, cells: Columns, job: Job) -> bool:
        """Whether ``cells`` contain all cells of a job with the current metrics, and none is
        computed again.
        """
        key = (
            *(job.label, job.track.stems, job.other.stems if job.other else None),
            *(cells.metric, cells.stem, cells.draw, cells.metric_id, cells.status),
        )
        if key not in self._done:
            self._done[key] = self._all_done(cells, job)
        return self._done[key]

    def _all_done(self, cells: Columns, job: Job) -> bool:
        stored = dict(
            zip(cells.places, zip(cells.metric_id, cells.status, strict=True), strict=True)
        )
        return all(
            self._is_cell_done(stored.get((column(metric, value), stem, draw)), metric, job)
            for metric, stems in metrics_to_score(job)
            for stem in stems
            for value in metric.values
            for draw in job.draws_to_run
        )

    def _is_cell_done(self, cell: tuple[str, str] | None, metric: Metric, job: Job) -> bool:
        """``cell``: the metric's id and the status."""
        if cell is None:
            return False
        if job.overwrite == "never":
            return True
        retried = is_retried(parsed_status(cell[1]), metric, job.info.unavailable)
        return cell[0] == self.metric(metric) and not retried


def is_done(
    job: Job, store: Store, ids: Identities | None = None, read: Reader[Sheet] = read_sheet
) -> bool:
    """Whether the store has all cells of a job, from the same files and by the same versions.

    ``ids``: cache that several calls share. ``read``: function that reads a record.
    """
    sheet = store.sheet(job.label, job.track.name, read)
    if sheet is None or sheet.input_stamp != job.input_stamp:
        return False
    ids = ids or Identities()
    if sheet.system.system_id != ids.system(job):
        return False
    if not all(_has_seed(sheet, job, draw) for draw in job.draws_to_run):
        return False
    return ids.all_done(sheet.cells, job)


def _has_seed(sheet: Sheet, job: Job, draw: int) -> bool:
    """Whether a draw has the seed of the job; True for a deterministic system."""
    if job.info.deterministic or job.info.from_files:
        return True
    made = sheet.draws.get(draw)
    return made is not None and made.seed == job.seed_for(draw)


def begin(job: Job, store: Store) -> bool:
    """Claim a job; returns False, without a claim, if another process works on it or has done it.

    The caller must release the claim.
    """
    if not store.claims.claim(job.label, job.track.name):
        return False
    if job.overwrite_all or not is_done(job, store):
        return True
    store.claims.release(job.label, job.track.name)
    return False


# -- showing ------------------------------------------------------------------------------------


def is_draw_shown(record: Record | Sheet, number: int, manifest: Mapping[str, Any]) -> bool:
    """Whether the cells of a draw belong to the request in the manifest.

    A folder may have cells of an earlier request: another split or data set, a song that was
    renamed or has other true stems, another seed, more draws, aligned estimates. These stay on disk
    but are not shown. Cells of other systems and metrics on the same audio are shown, so that a
    folder can be filled in several runs.
    """
    dataset, suite = manifest.get("dataset", {}), manifest.get("suite", {})
    if record.track.name not in dataset.get("tracks", [record.track.name]):
        return False
    if not _is_of_same_audio(record.track, manifest):
        return False
    if number >= suite.get("draws", number + 1) or not _has_asked_seed(record, number, manifest):
        return False
    draw = record.draws.get(number)
    moved = None if draw is None else draw.aligned
    return moved is None or moved == suite.get("align", moved)


def _is_of_same_audio(track: TrackFacts, manifest: Mapping[str, Any]) -> bool:
    """Whether mixture and true stems of a song are those in the manifest, if the manifest has
    them.
    """
    # The record of a worker that died has no hash; it is shown.
    if not track.mixture_sha256:
        return True
    mixture = manifest.get("mixtures", {}).get(track.name)
    references = manifest.get("references", {}).get(track.name)
    return mixture in (None, track.mixture_sha256) and (
        references is None or references == references_id(track)
    )


def references_id(track: TrackFacts) -> str:
    """Identity of the true stems of a song."""
    return id_of_hashes(track.reference_sha256)


def id_of_hashes(hashes: Mapping[str, str]) -> str:
    """Identity of true stems with these hashes, by stem."""
    return _id_of_hashes(tuple(sorted(hashes.items())))


@lru_cache(maxsize=65536)  # all systems of a run share them
def _id_of_hashes(hashes: tuple[tuple[str, str], ...]) -> str:
    return digest(dict(hashes))


def with_track_set(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its tracks as a set, for fast lookup."""
    dataset = manifest.get("dataset", {})
    if "tracks" not in dataset:
        return {**manifest}
    return {**manifest, "dataset": {**dataset, "tracks": frozenset(dataset["tracks"])}}


def _has_asked_seed(record: Record | Sheet, number: int, manifest: Mapping[str, Any]) -> bool:
    draw = record.draws.get(number)
    system = manifest.get("systems", {}).get(record.system.label, {}).get("info", {})
    seed = manifest.get("suite", {}).get("seed")
    fixed = system.get("deterministic", record.system.family not in ("generative", "unknown"))
    # For systems of earlier runs in this folder, the manifest has only the spec.
    is_folder = is_spec_of_folder(manifest.get("labels", {}).get(record.system.label))
    if draw is None or seed is None or fixed or system.get("from_files") or is_folder:
        return True
    return draw.seed == seed_of(seed, number, record.track.name)


@lru_cache(maxsize=1024)
def is_spec_of_folder(spec: str | None) -> bool:
    """Whether a spec names a folder of estimates; these do not depend on a seed."""
    try:
        return spec is not None and Spec.parse(spec).reads_folder
    except UsageError:
        return False


# -- at work ------------------------------------------------------------------------------------


def cells_by_key(job: Job, old: Record | None) -> CellsByKey:
    """The stored cells that may be reused, by key."""
    return {} if job.overwrite_all or old is None else {cell.key: cell for cell in old.cells}


def cached_cells(
    metric: Metric,
    stems: tuple[str, ...],
    stored: CellsByKey,
    estimate_id: str,
    track: TrackFacts,
    draw: int,
) -> list[Cell] | None:
    """The stored cells of a metric in a draw, or ``None`` unless all exist and are valid."""
    cells = []
    for stem in stems:
        for value in metric.values:
            cell = stored.get(cell_key(estimate_id, stem, value.name, metric, track))
            if cell is None or cell.draw != draw or is_retried(cell.status, metric):
                return None
            cells.append(cell)
    return cells


def carried_over(
    job: Job,
    track: TrackFacts,
    old: Record | None,
    cells: list[Cell],
    made: Mapping[int, Draw],
) -> tuple[list[Cell], dict[int, Draw]]:
    """Old cells of metrics, stems and draws that the job does not request, and the old draws.

    They are kept if system, mixture, references and estimates (:func:`_same_estimates`) are
    unchanged; else all are dropped. ``made``: the draws of the job, by number.
    """
    if old is None or job.overwrite_all:
        return [], {}
    before = (old.system.system_id, old.track.mixture_sha256, old.track.reference_sha256)
    if before != (system_id(job.info), track.mixture_sha256, track.reference_sha256):
        return [], {}
    numbers = {*old.draws, *(cell.draw for cell in old.cells)}
    kept = {n for n in numbers if _same_estimates(old, old.draws.get(n), job, made.get(n))}
    places = {cell.place for cell in cells}
    return (
        [cell for cell in old.cells if cell.draw in kept and cell.place not in places],
        {number: draw for number, draw in old.draws.items() if number in kept},
    )


def _same_estimates(old: Record, before: Draw | None, job: Job, now: Draw | None) -> bool:
    """Whether the old cells of a draw belong to the job's current estimates.

    A job with fewer metrics or stems gives the record a new stamp. Without this check, its other
    cells would then count as values of the changed files, the other seed or the aligned signal; or,
    if a program was called again for a further metric, of its present output.
    """
    if before is not None and now is not None:
        if before.estimate_id and before.estimate_id == now.estimate_id:
            return True
        if before.seed != now.seed:
            return False
        if not _is_computed(job.info) and not before.error and not now.error:
            return False  # of other samples
    return old.input_stamp == job.input_stamp
