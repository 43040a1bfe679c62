"""``benchsep run``: plan, execute, store; a second start continues the run.

The manifest of a run folder describes the last plan. Cells of earlier plans in the same folder are
kept and shown, if they are of the same edition of the data.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util import escape
from benchsep._util.notify import notify
from benchsep._util.paths import as_path
from benchsep.errors import StoreError, UsageError
from benchsep.metrics import device as metric_device
from benchsep.runner.done import is_done
from benchsep.runner.executors.base import Executor
from benchsep.runner.executors.select import executor_for
from benchsep.runner.job import Job, Outcome
from benchsep.runner.manifest import command_line, describe, stem_set_of
from benchsep.runner.merge.inputs import MERGED
from benchsep.runner.notes.outdated import outdated_folders
from benchsep.runner.plan import Plan, make_plan
from benchsep.runner.reading import Sheets
from benchsep.runner.songs import SongsAtWork, audio_of_songs
from benchsep.runner.stamps import remembered_labels
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite, load_suite
from benchsep.stems.sets import set_name
from benchsep.systems.spec import Spec

if TYPE_CHECKING:
    import pandas as pd

WAIT_FOR_OTHERS_S = 2.0

Listener = Callable[[Outcome], None]


@dataclass(repr=False)
class RunResult:
    """The result of a run. ``cells()`` has a row per cell of the folder, ``table()`` one per
    system.
    """

    root: Path
    plan: Plan
    outcomes: list[Outcome] = field(default_factory=list)
    sheets: Sheets = field(default_factory=Sheets)
    """Cache of the records; a record whose file has changed is read again."""

    @property
    def failed(self) -> list[Outcome]:
        """Jobs with at least one failed cell."""
        return [o for o in self.outcomes if o.failed]

    @property
    def failed_share(self) -> float:
        total = len(self.outcomes) + self.plan.done
        return len(self.failed) / total if total else 0.0

    @property
    def too_many_failures(self) -> bool:
        """Whether the share of failed jobs exceeds ``fail_on_error``; by default, whether any job
        failed.
        """
        return self.failed_share > (self.plan.suite.fail_on_error or 0.0)

    def cells(self) -> pd.DataFrame:
        """A row per cell of the folder: :func:`benchsep.load_run`."""
        from benchsep.runner.frame import load_run

        return load_run(self.root)

    def table(self) -> pd.DataFrame:
        """A row per system, a column per ``(metric, stem)``, aggregated as in ``benchsep show``."""
        from benchsep.runner.summary import summary_table

        return summary_table(self.cells(), Store(self.root).manifest())

    def __repr__(self) -> str:
        jobs = f"{self.plan.done + len(self.outcomes)} jobs"
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<RunResult {self.root}: {len(self.plan.systems)} systems, {jobs}{failed}>"

    def _repr_html_(self) -> str:
        """``repr`` and the table, for notebooks."""
        table = self.table()
        body = (
            "" if table.empty else table.to_html(float_format="{:.3f}".format, na_rep="–", border=0)
        )
        return f"<p>{escape.html(repr(self))}</p>{body}"


def run(
    suite: Suite | str | Path | None = None,
    *,
    out: str | Path,
    progress: Callable[[Plan], Any] | None = None,
    **overrides: Any,
) -> RunResult:
    """Run a suite and store its results in the folder ``out``. Results that are already there are
    not computed again.

    ``suite`` is a :class:`Suite`, the path of a YAML file, or ``None`` for a suite of ``overrides``
    only; these are fields of :class:`Suite`, such as ``systems``, ``metrics``, ``limit``.
    ``progress(plan)`` may return a context manager that yields a listener for a progress display:
    the listener is called with each outcome, and its method ``started(job)``, if it has one, before
    each job.

    Raises
    ------
    UsageError, DatasetError, SeparatorError, Unavailable
        the request is invalid. An error of a single job does not raise; it is stored as a failed
        cell.
    StoreError
        the folder cannot be written.
    FormatError
        the folder has results of another format version; nothing is changed.
    """
    resolved = suite if isinstance(suite, Suite) else load_suite(suite, **overrides)
    store = Store(as_path(out, "out").absolute())  # a system may change the working folder
    store.refuse_other_formats()
    _refuse_board(store)
    _refuse_data(store, resolved)
    sheets = Sheets()
    metric_device.resolved(resolved.metric_device)  # refused before the first job
    with executor_for(resolved) as executor:
        plan = _in_one_session(make_plan(resolved, store, ask=executor, read=sheets))
        _same_edition(store, plan, sheets)
        _same_stem_set(store, plan)
        own = {label: spec for label, (spec, _) in plan.systems.items()}
        # Rows of earlier plans stay in the folder, so no other system may use their labels.
        manifest = {**describe(plan), "labels": {**remembered_labels(store), **own}}
        songs = SongsAtWork(plan, store, sheets, manifest)
        started = {**songs.at_start, "command": command_line(), "finished": False}
        store.write_manifest({**manifest, **started})
        result = RunResult(Path(out), plan, sheets=sheets)
        try:
            for outcome in _execute(executor, plan, store, progress):
                result.outcomes.append(outcome)
                songs.note(outcome)
        except BaseException:
            with contextlib.suppress(StoreError):  # report the first error only
                songs.write()
            raise
        songs.write()
    _refuse_lost_records(plan, store)
    _tell_of_other_requests(store, manifest)
    for sentence in outdated_folders(plan, store, sheets):
        notify(sentence)
    store.sweep()
    finished = {
        **audio_of_songs(plan, store, sheets),
        "command": command_line(),
        "finished": True,
    }
    store.write_manifest({**manifest, **finished})
    return result


def _in_one_session(plan: Plan) -> Plan:
    """The plan with an id of this call in its jobs, because timings of different calls may not be
    comparable.
    """
    session = secrets.token_hex(6)
    return replace(plan, jobs=[replace(job, session=session) for job in plan.jobs])


def _refuse_lost_records(plan: Plan, store: Store) -> None:
    """Raise if records are missing because the folder was moved, deleted or cleaned during the
    run.
    """
    if not plan.jobs:
        return
    asked = [(label, track.name) for label in plan.systems for track in plan.tracks]
    if lost := [place for place in asked if not store.path(*place).exists()]:
        label, track = lost[0]
        raise StoreError(
            f"{store.root}: {len(lost)} of {len(asked)} records are gone, e.g. of {label} on "
            f"{track!r}: the folder was moved, deleted or cleaned during the run. Start the run "
            "again; it computes what is missing"
        )


MOVING = ("split", "mixture", "stems", "stem_set", "tracks", "limit", "seed", "draws",
          "keep_estimates", "align")  # fmt: skip
"""Fields of a suite: if two runs differ in one of them, the results of one replace or hide those of
the other."""


def _tell_of_other_requests(store: Store, ours: dict[str, Any]) -> None:
    """Warn if another run has written its request into the folder since the start of this one."""
    try:
        now = store.manifest()
    except StoreError:
        return
    before, after = ours["suite"], now.get("suite", {})
    fields = [name for name in MOVING if before.get(name) != after.get(name)]
    if now.get("dataset", {}).get("tracks") != ours["dataset"]["tracks"]:
        fields.append("dataset")
    if fields:
        notify(
            f"another run with other settings ({', '.join(fields)}) used {store.root} at the same "
            "time, and each replaces the results of the other; give each run its own folder (-o)"
        )


def _refuse_data(store: Store, suite: Suite) -> None:
    """Raise if ``out`` is a folder of songs or estimates: the next run would read results as
    songs.
    """
    specs = [Spec.parse(text) for text in suite.systems]
    read = [spec.text for spec in specs if spec.reads_folder]
    read += [suite.dataset.partition(":")[2] if suite.dataset else "", suite.root or ""]
    if store.root in [Path(folder).expanduser().absolute() for folder in read if folder]:
        raise UsageError(
            f"{store.root} contains the audio of this run; give another folder for the results: "
            "-o FOLDER"
        )


def _refuse_board(store: Store) -> None:
    """Raise if ``out`` is a board: its manifest describes several runs and would be overwritten."""
    try:
        is_board = MERGED in store.manifest()
    except StoreError:
        return
    if is_board:
        raise UsageError(
            f"{store.root} is a board of `benchsep merge`; run into another folder, then merge "
            "that folder into the board"
        )


def _same_edition(store: Store, plan: Plan, sheets: Sheets) -> None:
    """Raise if the folder has results of another edition of the data set: a table never mixes
    editions.
    """
    record = store.any_sheet(sheets)
    if record is not None and record.track.edition != plan.dataset.edition:
        raise UsageError(
            f"{store.root} has results of the edition {record.track.edition!r}, and this run is "
            f"of {plan.dataset.edition!r}; one table has one edition, so choose another -o"
        )


def _same_stem_set(store: Store, plan: Plan) -> None:
    """Raise if the folder has results of another stem set, because its references differ."""
    try:
        before = stem_set_of(store.manifest())
    except StoreError:
        return
    ours = plan.suite.whole_set
    if set(before) != set(ours):
        raise UsageError(
            f"{store.root} has results of the stem set {set_name(before)}, and this run is of "
            f"{set_name(ours)}; one table has one stem set, so choose another -o"
        )


def _execute(
    executor: Executor, plan: Plan, store: Store, progress: Callable[[Plan], Any] | None
) -> Iterator[Outcome]:
    if progress is None:
        yield from _until_all_done(executor, plan, store)
        return
    with progress(plan) as listener:
        executor.on_start = getattr(listener, "started", None)
        for outcome in _until_all_done(executor, plan, store):
            listener(outcome)
            yield outcome


def _until_all_done(executor: Executor, plan: Plan, store: Store) -> Iterator[Outcome]:
    """Do all jobs that no other process does; wait for the other processes, and take over their
    jobs if they die.
    """
    free, held, has_notified = plan.jobs, list[Job](), False
    while free or held:
        claimed = list(held)
        for outcome in executor.run(free, store.root) if free else ():
            if isinstance(outcome, Job):
                claimed.append(outcome)
            else:
                yield outcome
        todo = [job for job in claimed if not is_done(job, store)]
        if todo and not has_notified:
            has_notified = True
            notify(
                f"another process is computing {len(todo)} jobs of {store.root}; waiting for its "
                "results"
            )
        if todo:
            time.sleep(WAIT_FOR_OTHERS_S)
        free, held = [], []
        for job in todo:
            is_free = store.claims.is_free(job.label, job.track.name)
            (free if is_free else held).append(job)
