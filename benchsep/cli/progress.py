"""The progress of a run on stderr: what will be done, then a bar for each system."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchsep._util.escape import printable
from benchsep.metrics.catalog import NO_REFERENCE

if TYPE_CHECKING:
    from benchsep.runner.job import Outcome
    from benchsep.runner.plan import Plan


@contextmanager
def progress(plan: Plan) -> Iterator[Callable[[Outcome], None]]:
    """Announce the plan and draw the bars; the function it yields takes each finished job."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    _announce(plan, console)
    totals = Counter(job.label for job in plan.jobs)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks = {label: bars.add_task(_markup(label), total=n) for label, n in totals.items()}

        def advance(outcome: Outcome) -> None:
            bars.advance(tasks[outcome.label])

        yield advance


def _markup(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text, keep="\n"))


def _announce(plan: Plan, console: Any) -> None:
    name = plan.dataset.name
    console.print(
        _markup(f"{name} ({plan.dataset.edition}), {len(plan.tracks)} tracks; ")
        + f"{len(plan.jobs)} jobs to do, {plan.done} done already"
    )
    if name == "clip" and plan.suite.dataset is None:
        console.print(
            "no data root is set, so the embedded 6-second clip is used; set MUSDB_PATH "
            "or pass --root for MUSDB18"
        )
    useless = [name for name, reason in plan.unavailable.items() if reason == NO_REFERENCE]
    if useless:
        console.print(_markup(f"{NO_REFERENCE}: {', '.join(useless)}"))
    for name, reason in {**plan.unavailable, **plan.absent}.items():
        if name in useless:
            continue
        console.print(_markup(f"{name} is unavailable: {reason}"))
