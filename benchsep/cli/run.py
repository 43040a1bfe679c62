"""``benchsep run`` and ``benchsep plan``: compute the cells of a suite, or estimate the cost."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep._util.words import amount
from benchsep.cli.files import look_swapped
from benchsep.cli.interrupt import Interrupted, ended_by_signals
from benchsep.cli.options import Format, Improvement, suite_options
from benchsep.cli.output import message
from benchsep.cli.progress import progress
from benchsep.cli.show import print_tables
from benchsep.errors import UsageError
from benchsep.runner.suite import Suite
from benchsep.systems.spec import Spec

if TYPE_CHECKING:
    import pandas as pd


@suite_options()
def run(
    suite: Suite,
    out: Path,
    nisqa_weights: Annotated[
        Path | None,
        typer.Option(help="file nisqa.tar with NISQA's weights (CC BY-NC-SA 4.0, not shipped)"),
    ] = None,
    improvement: Improvement = False,
    format: Format = "terminal",
) -> None:
    """Run systems on songs, score them and print tables. Run again to continue."""
    from benchsep.runner.frame import load_for_tables
    from benchsep.runner.labels import remarks
    from benchsep.runner.notes.changed import changed, not_the_sum
    from benchsep.runner.notes.lag import late_systems
    from benchsep.runner.notes.mistakes import mistaken_systems
    from benchsep.runner.run import run as run_suite

    _use_nisqa_weights(nisqa_weights)
    _ask_if_swapped(suite)
    try:
        with ended_by_signals():
            result = run_suite(suite, out=out, progress=progress)
    except Interrupted as end:
        message(_how_to_continue(out))
        raise typer.Exit(end.code) from None
    cells, costs = load_for_tables(out, read=result.sheets)
    print_tables(out, format, improvement=improvement, loaded=(cells, costs))
    for outcome in result.failed:
        message(f"{outcome.label} on {outcome.track}: {outcome.message}")
    planned = result.plan.suite
    tracks = result.plan.tracks
    asked = remarks(result.plan.systems, planned.whole_set, planned.stems, tracks)
    mistaken = (sentence for said in mistaken_systems(costs).values() for sentence in said)
    audio = (*late_systems(costs).values(), *mistaken, *changed(costs), *not_the_sum(costs, tracks))
    for sentence in (*asked, *audio, *_reproduced(out, cells)):
        message(sentence)
    folder = shlex.quote(str(out))
    data = f" --root {shlex.quote(suite.root)}" if suite.root else ""
    message(
        f"results are in {out}; to print the tables again: benchsep show {folder}; to write "
        f"figures and a listening page: benchsep report {folder}{data}"
    )
    if result.too_many_failures:
        raise typer.Exit(1)


def _ask_if_swapped(suite: Suite) -> None:
    """Warn if the names of the folders suggest that the true stems were given as estimates."""
    true = (suite.dataset or "").partition(":")[2]
    for text in suite.systems:
        spec = Spec.parse(text)
        if true and spec.reads_folder and look_swapped(Path(true), Path(spec.text)):
            message(f"the two may be swapped: the references are {true}, the estimates {spec.text}")


def _how_to_continue(folder: Path) -> str:
    """The message after an interrupted run."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    program = "benchsep" if words[0] == "__main__.py" else words[0]
    records = sum(1 for _ in (folder / "cells").glob("*/*.json"))
    return (
        f"interrupted; the results of {amount(records, 'job')} are kept in {folder}; to continue: "
        f"{shlex.join([program, *words[1:]])}"
    )


def _reproduced(folder: Path, cells: pd.DataFrame) -> list[str]:
    """Notes on whether the official weights of the run reproduce their published values."""
    from benchsep.report.published.reproduced import reproduced
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    manifest = Store(folder).manifest()
    return reproduced(cells, manifest, traits_in(cells, manifest))


@suite_options(without=("cluster", "fail_on_error", "timeout"))
def plan(
    suite: Suite,
    out: Path,
    rates: Annotated[
        Path | None, typer.Option(help="run folder whose measured times are used")
    ] = None,
    format: Format = "terminal",
) -> None:
    """Estimate jobs, CPU and GPU hours and disk of a run. Nothing is computed."""
    from benchsep.runner.cost import forecast, own_rates, rates_of_run, render
    from benchsep.runner.plan import make_plan
    from benchsep.runner.store import Store

    planned = make_plan(suite, Store(out), load_on="cpu")
    estimate = forecast(planned, rates_of_run(rates) if rates else own_rates())
    print(render(estimate, suite.jobs or os.cpu_count() or 1, format))


def _use_nisqa_weights(path: Path | None) -> None:
    if path is None:
        return
    if not path.is_file():
        raise UsageError(f"--nisqa-weights {path}: no such file; expected NISQA's nisqa.tar")
    os.environ["BENCHSEP_NISQA_WEIGHTS"] = str(path.resolve())  # workers inherit it
