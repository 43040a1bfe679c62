"""What decides whether a cell is done. All rules are here.

Conventions
-----------
inputs    :class:`Inputs` lists everything that moves a cell. Two cells with the same inputs have
          the same value; :func:`cell_key` is their hash
planning  :func:`is_done` decides from the record and from stamps, without reading audio. What is in
          :class:`Inputs` is either in the job's stamp (:func:`planning_stamp`) or compared here
shown     :func:`is_draw_shown` decides which stored cells are results of the manifest's request
at work   :func:`cached_cells` decides from the keys, once the audio is decoded and hashed
retried   a failure, and what was unavailable and is available now, is always computed again; what
          is undefined is so for these signals, and stays
kept      :func:`carried_over` keeps the cells that a job was not asked for, if they are still valid

A plan is made once and its jobs start much later. Another run on the same folder may have done
them since, so whoever starts a job claims it first and then asks again (:func:`begin`): from then
on nobody else can do it.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    from benchsep.metrics.metric import Metric
    from benchsep.metrics.status import Status
    from benchsep.runner.job import Job
    from benchsep.runner.record import Cell, Draw, Record, TrackFacts
    from benchsep.runner.sheet import Columns, Sheet
    from benchsep.runner.store import Store
    from benchsep.systems.contract import SystemInfo

KEPT_AS = "flac; float wav above full scale"
"""How kept estimates are written. Writing rounds their samples, so it moves their scores."""

CellsByKey = Mapping[str, "Cell"]


# -- what moves a cell --------------------------------------------------------------------------


def system_id(info: SystemInfo) -> str:
    """Identity of what makes the estimates: name, version, weights, options."""
    return digest(info.name, info.version, info.checkpoint_sha256, info.options)


def metric_id(metric: Metric) -> str:
    """Identity of what makes a value: name, version, settings."""
    packages = installed(getattr(metric, "packages", ()))
    return digest(metric.name, metric.version, metric.settings(), packages)


ENGINES = ("torch", "soxr")
"""Packages that may move the output of a model in the last digits, or more."""


@cache
def installed(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of the packages that are installed."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def engine(info: SystemInfo, device: str) -> dict[str, str]:
    """What besides the system itself moves its output: packages and the kind of device.

    Empty for systems that compute nothing with a model: reference systems, files, programs.
    """
    if info.family not in ("generative", "discriminative") or _from_outside(info):
        return {}
    return {**installed(ENGINES), "device": device.split(":")[0]}


def _from_outside(info: SystemInfo) -> bool:
    """Whether files or another program make the estimates."""
    return info.from_files or info.from_program


@dataclass(frozen=True)
class Inputs:
    """Everything that moves the cells of one draw, except metric and stem (:func:`cell_key`).

    Whatever else is found to move a cell belongs into this list.
    """

    system_id: str
    mixture_sha256: str
    reference_sha256: dict[str, str]
    """Of the stems that metrics compare with, and that an oracle gets."""
    sees_references: bool
    seed: int
    kept_as: str
    aligned: bool
    engine: dict[str, str]
    """See :func:`engine`."""
    derived: tuple[str, ...]
    """Relations of the stems that the system does not return itself."""
    computed: bool
    """The estimates follow from these inputs; False where files or another program make them."""

    @property
    def estimate_id(self) -> str:
        """Identity of the estimates, known before they are made; empty where it cannot be."""
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
        # Another song's stems are not among these inputs: its estimates are known by their samples.
        computed=job.info.family != "unknown"
        and not (_from_outside(job.info) or job.info.needs_other_song),
    )


def kept_as(job: Job) -> str:
    """How the estimates of a job are written before they are scored, or ``none``."""
    return KEPT_AS if job.keep_estimates != "none" else "none"


def planning_stamp(input_stamp: str, job: Job, mixture: str) -> str:
    """What moves the cells of a job and is known before its audio is decoded, as one text.

    ``input_stamp``: of its files; ``mixture``: how the data set makes the mixture. Seeds are
    compared draw by draw, metrics cell by cell (:func:`is_done`).
    """
    made_by = tuple(engine(job.info, job.device).items())
    return _planning_stamp(input_stamp, mixture, kept_as(job), job.align, made_by)


@lru_cache(maxsize=65536)  # most systems of a run have the same of a song
def _planning_stamp(
    input_stamp: str, mixture: str, kept: str, align: bool, made_by: tuple[tuple[str, str], ...]
) -> str:
    return digest(input_stamp, mixture, kept, align, dict(made_by))


def cell_key(estimate_id: str, stem: str, value: str, metric: Metric, track: TrackFacts) -> str:
    """The content key of a cell: a hash of all that moves it.

    ``estimate_id`` is that of the inputs or, where those cannot tell, a hash of the samples.
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
    """Each metric with the stems it scores, as far as the system and the track offer them.

    A system that cannot run here has a reason on every stem; one that needs another song is scored
    on the stems of both. A track without a single true stem is
    scored by the metrics that need none.
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
    """Whether a stored cell is computed again: a failure, or what has become available.

    ``system_lacks``: why the system cannot run here, if it cannot.
    """
    if status.kind == "unavailable":
        return not metric.available() and not system_lacks
    return status.kind == "failed"


# -- planning -----------------------------------------------------------------------------------


class Identities:
    """What the jobs of one plan share: the ids of its systems and metrics, each hashed once, and
    which cells are done, asked once for all records whose cells have the same texts.
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
        """As :func:`system_id` of the job's system."""
        info, found = self._systems.get(job.label, (None, ""))
        if info is not job.info:
            found = system_id(job.info)
            self._systems[job.label] = job.info, found
        return found

    def all_done(self, cells: Columns, job: Job) -> bool:
        """Whether ``cells`` are all that a job scores, with these metrics, and none is retried."""
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
    """Whether the store holds all cells of a job, made of the same files by the same versions.

    ``ids``: shared by the jobs that are asked about at the same time. ``read`` reads a record.
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
    """Whether a draw was made with the seed of the job, where the seed changes it."""
    if job.info.deterministic or job.info.from_files:
        return True
    made = sheet.draws.get(draw)
    return made is not None and made.seed == job.seed_for(draw)


def begin(job: Job, store: Store) -> bool:
    """Claim a job; False, and no claim, if another process works on it or has done it.

    The caller releases the claim.
    """
    if not store.claims.claim(job.label, job.track.name):
        return False
    if job.overwrite_all or not is_done(job, store):
        return True
    store.claims.release(job.label, job.track.name)
    return False


# -- showing ------------------------------------------------------------------------------------


def is_draw_shown(record: Record | Sheet, number: int, manifest: Mapping[str, Any]) -> bool:
    """Whether the cells of a draw are results of the request that the manifest describes.

    A folder may hold cells of an earlier request: of another split or data set, of a song that was
    renamed or has other true stems, of another seed, of more draws, of estimates that were aligned.
    They stay on disk and are not shown. Cells of other systems and metrics on the same audio are
    shown: a folder may be filled step by step.
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
    """Whether mixture and true stems of a song are those of the manifest, where it knows them."""
    # A worker that died leaves a record of the failure without a hash: it is shown.
    if not track.mixture_sha256:
        return True
    mixture = manifest.get("mixtures", {}).get(track.name)
    references = manifest.get("references", {}).get(track.name)
    return mixture in (None, track.mixture_sha256) and (
        references is None or references == references_id(track)
    )


def references_id(track: TrackFacts) -> str:
    """What identifies the true stems of a song."""
    return _id_of_hashes(tuple(sorted(track.reference_sha256.items())))


@lru_cache(maxsize=65536)  # all systems of a run have those of a song
def _id_of_hashes(hashes: tuple[tuple[str, str], ...]) -> str:
    return digest(dict(hashes))


def with_track_set(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its tracks as a set: each record is looked for among them."""
    dataset = manifest.get("dataset", {})
    if "tracks" not in dataset:
        return {**manifest}
    return {**manifest, "dataset": {**dataset, "tracks": frozenset(dataset["tracks"])}}


def _has_asked_seed(record: Record | Sheet, number: int, manifest: Mapping[str, Any]) -> bool:
    draw = record.draws.get(number)
    system = manifest.get("systems", {}).get(record.system.label, {}).get("info", {})
    seed = manifest.get("suite", {}).get("seed")
    fixed = system.get("deterministic", record.system.family not in ("generative", "unknown"))
    # Of systems that earlier runs of this folder had, the manifest keeps the spec alone.
    is_folder = is_spec_of_folder(manifest.get("labels", {}).get(record.system.label))
    if draw is None or seed is None or fixed or system.get("from_files") or is_folder:
        return True
    return draw.seed == seed_of(seed, number, record.track.name)


@lru_cache(maxsize=1024)
def is_spec_of_folder(spec: str | None) -> bool:
    """Whether a spec names a folder of estimates, on which no seed has a part."""
    try:
        return spec is not None and Spec.parse(spec).reads_folder
    except UsageError:
        return False


# -- at work ------------------------------------------------------------------------------------


def cells_by_key(job: Job, old: Record | None) -> CellsByKey:
    """The stored cells that may be used again, by key."""
    return {} if job.overwrite_all or old is None else {cell.key: cell for cell in old.cells}


def cached_cells(
    metric: Metric,
    stems: tuple[str, ...],
    stored: CellsByKey,
    estimate_id: str,
    track: TrackFacts,
    draw: int,
) -> list[Cell] | None:
    """The stored cells of a metric in a draw, or ``None`` unless every one is there and valid."""
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
    """Old cells of metrics, stems and draws that the job was not asked for, and the old draws.

    They are kept if the system, the mixture and the references are the same, and the estimates are
    (:func:`_same_estimates`); else none is. ``made``: the draws of the job, by number.
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
    """Whether the old cells of a draw are of the estimates that the job has.

    A job that asks for fewer metrics or stems gives the record a new stamp. What it does not ask
    for would then pass for a value of the changed files, of the other seed, of the aligned signal.
    """
    if before is not None and now is not None:
        if before.estimate_id and before.estimate_id == now.estimate_id:
            return True
        if before.seed != now.seed:
            return False
    return old.input_stamp == job.input_stamp
