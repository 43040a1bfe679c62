"""The progress of a run on stderr: a summary of the plan, then a bar and the running jobs.

In a terminal, the bar has the share of the work, jobs, elapsed and remaining time, and jobs per
minute; a line below it for each worker names its system and track. Elsewhere (CI log, ``2> file``)
a line is printed at most once per minute.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchsep._util.escape import printable
from benchsep._util.words import amount
from benchsep.metrics.catalog import NO_REFERENCE

if TYPE_CHECKING:
    from benchsep.runner.job import Job, Outcome
    from benchsep.runner.plan import Plan
    from benchsep.runner.timetable import Timetable

LINE_EVERY_S = 60.0
"""Seconds between lines, if stderr is not a terminal."""


class Watcher:
    """Listens to the jobs of a run: ``watcher(outcome)`` after each, ``started(job)`` before."""

    def __init__(self, timetable: Timetable, console: Any) -> None:
        self.timetable, self.console = timetable, console
        self.begun = self.printed = time.monotonic()
        self.at_work: dict[tuple[str, str], float] = {}

    @property
    def elapsed(self) -> float:
        """Seconds since the first job could start."""
        return time.monotonic() - self.begun

    def started(self, job: Job) -> None:
        """Called when a worker has started a job."""
        self.at_work[job.label, job.track.name] = time.monotonic()
        self.show()

    def __call__(self, outcome: Outcome) -> None:
        """Called when a job is finished."""
        self.at_work.pop((outcome.label, outcome.track), None)
        self.timetable.finish(outcome.label, outcome.track)
        self.show()

    def show(self) -> None:
        """Print a line of progress, at most one per minute."""
        if time.monotonic() - self.printed >= LINE_EVERY_S:
            self.printed = time.monotonic()
            self.console.print(_markup(self.sentence()))

    def sentence(self) -> str:
        """The progress of the run in one line."""
        table, elapsed = self.timetable, self.elapsed
        text = f"{table.done}/{table.jobs} jobs, {table.share:.0%} of the work"
        text += f", {clock(elapsed)} elapsed, about {clock(table.remaining(elapsed))} left"
        works = [f"{label} on {track}" for label, track in self.at_work]
        return text + (f"; running: {', '.join(works)}" if works else "")

    def lines(self) -> list[str]:
        """The running jobs, a line each, with their elapsed time."""
        now = time.monotonic()
        return [
            f"  {label} on {track} ({clock(now - since)})"
            for (label, track), since in self.at_work.items()
        ]


class Bar:
    """The live display of a watcher; rich redraws it several times per second."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table, elapsed = self.watcher.timetable, self.watcher.elapsed
        left = clock(table.remaining(elapsed))
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(total=1.0, completed=table.share, width=24),
            f"{table.done}/{table.jobs} jobs",
            f"{clock(elapsed)} elapsed, about {left} left",
            f"{table.per_minute(elapsed):.1f} jobs/min",
        )
        works = [Text(printable(line), no_wrap=True, overflow="ellipsis")
                 for line in self.watcher.lines()]  # fmt: skip
        return Group(row, *works)


class Live(Watcher):
    """A watcher in a terminal, without lines of progress."""

    def show(self) -> None:
        pass


@contextmanager
def progress(plan: Plan) -> Iterator[Watcher]:
    """Print the plan and draw the bar; yields the listener for the jobs."""
    from rich.console import Console
    from rich.live import Live as Picture

    from benchsep.runner.cost import own_rates
    from benchsep.runner.timetable import Timetable, job_weights

    console = Console(stderr=True)
    _announce(plan, console)
    workers = min(plan.suite.jobs or os.cpu_count() or 1, max(1, len(plan.jobs)))
    timetable = Timetable(job_weights(plan, own_rates()), workers)
    if not console.is_terminal or not plan.jobs:
        yield Watcher(timetable, console)
        return
    watcher = Live(timetable, console)
    with Picture(Bar(watcher), console=console, refresh_per_second=4, transient=True):
        yield watcher
    console.print(_markup(f"{amount(timetable.done, 'job')} in {clock(watcher.elapsed)}"))


@contextmanager
def words() -> Iterator[Callable[[str], None]]:
    """A spinner with the name of the current step and its elapsed time; only in a terminal."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    if not console.is_interactive:  # rich would print an empty line at the end
        yield lambda text: None
        return
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("")
        yield lambda text: bars.update(task, description=_markup(text))


def clock(seconds: float) -> str:
    """``1:02:03``, or ``2:03`` below an hour."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _markup(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text, keep="\n"))


KEPT_PROGRAM = (
    "values of an earlier call of the program are kept, because the files that its command names "
    "are unchanged; if something else changed (a package, weights elsewhere, the environment), add "
    "--overwrite always"
)


EDITED = (
    "values are kept although the code of the package changed, because its version is the same; if "
    "a value may change, raise the version, or add --overwrite always"
)


def _announce(plan: Plan, console: Any) -> None:
    name = plan.dataset.name
    console.print(
        _markup(f"{name} ({plan.dataset.edition}), {len(plan.tracks)} tracks; ")
        + f"{len(plan.jobs)} jobs to do, {plan.done} done already"
    )
    if name == "clip" and plan.suite.dataset is None:
        console.print(
            "no folder of a data set is given, so the embedded 6-second clip is used; for "
            "MUSDB18, set MUSDB_PATH or pass --root"
        )
    if kept := plan.kept_programs:
        console.print(_markup(f"{', '.join(kept)}: {KEPT_PROGRAM}"))
    if plan.edited:
        console.print(_markup(f"{', '.join(plan.edited)}: {EDITED}"))
    useless = [name for name, reason in plan.unavailable.items() if reason == NO_REFERENCE]
    if useless:
        console.print(_markup(f"{NO_REFERENCE}: {', '.join(useless)}"))
    for name, reason in {**plan.unavailable, **plan.absent}.items():
        if name in useless:
            continue
        console.print(_markup(f"{name} is unavailable: {reason}"))
