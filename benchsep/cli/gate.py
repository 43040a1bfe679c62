"""``benchsep baseline``, ``check`` and ``noise``: the drift gate."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep.cli.options import Format, RunFolder, format_option, split_words
from benchsep.cli.output import message, print_files
from benchsep.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def baseline(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="the baseline file to write (JSON)")],
    repeat: Annotated[
        list[Path] | None,
        typer.Option(
            help="another run of the same suite (other seed or machine), to measure noise; repeat "
            "the option for more"
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(help="largest shift allowed: METRIC=CELL/MEAN or 'SYSTEM METRIC=CELL/MEAN'"),
    ] = None,
    format: Format = "terminal",
) -> None:
    """Write the scores of a run as a baseline file for `benchsep check`."""
    from benchsep.gate.baseline import write_baseline
    from benchsep.gate.tolerance import noise, parse_tolerance, with_known_names
    from benchsep.runner.frame import load_cells_and_costs, load_run
    from benchsep.runner.notes.said import warnings_of
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    _check_repeats([folder, *(repeat or ())])
    (cells, costs), manifest = load_cells_and_costs(folder), Store(folder).manifest()
    traits = traits_in(cells, manifest)
    measured = noise([cells, *map(load_run, repeat)]) if repeat else None
    write_baseline(
        cells,
        manifest,
        out,
        traits=traits,
        tolerances=with_known_names(
            dict(map(parse_tolerance, tolerance or ())), set(cells["system"]), traits
        ),
        measured=measured,
    )
    print_files([out], format)
    for sentence in warnings_of(cells, costs, manifest):
        message(sentence)


BASELINE = "baseline file of a run that you trust, written by `benchsep baseline RUN -o FILE`"


def check(
    folder: RunFolder,
    baseline: Annotated[Path, typer.Option(help=BASELINE)],
    strict: Annotated[bool, typer.Option(help="also fail if a score improved")] = False,
    metrics: Annotated[str | None, typer.Option(help="only these metrics, comma separated")] = None,
    junit: Annotated[Path | None, typer.Option(help="also write JUnit XML to this file")] = None,
    format: Annotated[str, format_option("junit", "github")] = "terminal",
) -> None:
    """Compare a run with a baseline; exit 1 if a score drifted."""
    from benchsep._util.atomic import write_atomically
    from benchsep.gate.baseline import read_baseline
    from benchsep.gate.check import check as check_drift
    from benchsep.gate.render import render
    from benchsep.metrics.names import columns_named
    from benchsep.runner.frame import load_cells_and_costs
    from benchsep.runner.notes.said import warnings_of
    from benchsep.runner.store import Store

    (cells, costs), manifest = load_cells_and_costs(folder), Store(folder).manifest()
    held = read_baseline(baseline)
    there = list(dict.fromkeys((*held["directions"], *cells["metric"])))
    only = None if metrics is None else columns_named(split_words(metrics), there)
    report = check_drift(cells, manifest, held, strict=strict, metrics=only)
    print(render(report, format))
    for sentence in warnings_of(cells, costs, manifest):
        message(sentence)
    if junit:
        write_atomically(junit, render(report, "junit"))
    if report.failed:
        message(
            "if you intended the change, write a new baseline and commit it: benchsep baseline "
            f"{shlex.quote(str(folder))} -o {shlex.quote(str(baseline))}"
        )
        raise typer.Exit(1)


def noise(
    folders: Annotated[list[Path], typer.Argument(help="runs of one suite", metavar="RUN...")],
    format: Format = "terminal",
) -> None:
    """Show how far repeated runs differ, by metric, stem and system."""
    from benchsep.gate.render import render_noise
    from benchsep.gate.tolerance import noise as measure
    from benchsep.runner.frame import load_run

    _check_repeats(folders)
    print(render_noise(measure([load_run(folder) for folder in folders]), format), end="")


def _check_repeats(folders: Sequence[Path]) -> None:
    """Runs of one stem set, each once: a run beside itself has no noise."""
    from benchsep.runner.manifest import check_one_stem_set
    from benchsep.runner.store import Store

    seen: dict[Path, Path] = {}
    for folder in folders:
        if (place := folder.resolve()) in seen:
            raise UsageError(
                f"{folder} and {seen[place]} are the same run; to measure noise, give repeated "
                "runs of one suite"
            )
        seen[place] = folder
    check_one_stem_set({str(folder): Store(folder).manifest() for folder in folders})
