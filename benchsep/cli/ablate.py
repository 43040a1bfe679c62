"""``benchsep ablate``: train, run and compare the variants of a grid."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep.cli.options import Format
from benchsep.cli.output import message, print_rows
from benchsep.cli.progress import progress

if TYPE_CHECKING:
    from benchsep.ablation.grid import Ablation


def ablate(
    configs: Annotated[
        list[Path], typer.Argument(help="a YAML file, or a name such as encoder, decoding, draws")
    ],
    root: Annotated[
        Path | None, typer.Option(help="folder of the data set, with train/ and test/")
    ] = None,
    work: Annotated[
        Path, typer.Option(help="folder for checkpoints, cache and run; give it again to continue")
    ] = Path("runs/ablations"),
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the reports")] = Path(
        "reports/ablations"
    ),
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", help="number of processes; 0: one for each core")
    ] = 0,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="only print what would be done and how long it would take"),
    ] = False,
    train_only: Annotated[
        bool,
        typer.Option(
            "--train-only",
            help="train for all grids and stop, for example on a machine with GPUs; the folder of "
            "--work can then be moved",
        ),
    ] = False,
    format: Format = "terminal",
) -> None:
    """Train the variants of a grid, run them on the same tracks and compare them."""
    from benchsep.ablation import grid
    from benchsep.runner.suites import find_ablation

    ablations = {path: grid.load(path) for path in map(find_ablation, configs)}
    if dry_run:
        _print_plan(list(ablations.values()), root, work, format)
        return
    if train_only:
        _train(list(ablations.values()), root, work, jobs)
        return
    findings: list[tuple[str, str]] = []
    failed = False
    for path, ablation in ablations.items():
        sentences, some_failed = _measure(path.stem, ablation, root, work, out, jobs)
        failed |= some_failed
        findings += [(ablation.title, sentence) for sentence in sentences]
        if format == "terminal":
            print("\n".join([ablation.title, *(f"  {sentence}" for sentence in sentences)]))
    if format != "terminal":
        print_rows(["ablation", "finding"], findings, format)
    if failed:
        raise typer.Exit(1)


def _print_plan(ablations: list[Ablation], root: Path | None, work: Path, format: str) -> None:
    from benchsep.ablation.execute import plan_lines

    plans = [(ablation.title, plan_lines(ablation, root, work)) for ablation in ablations]
    if format == "terminal":
        for _, lines in plans:
            print("\n".join(lines))
        return
    steps = [(title, line.strip()) for title, lines in plans for line in lines[1:]]
    print_rows(["ablation", "step"], steps, format)


def _train(ablations: list[Ablation], root: Path | None, work: Path, jobs: int) -> None:
    from benchsep.ablation.execute import train

    if train(ablations, work=work, root=root, jobs=jobs, say=message):
        raise typer.Exit(1)


def _measure(
    name: str, ablation: Ablation, root: Path | None, work: Path, out: Path, jobs: int
) -> tuple[list[str], bool]:
    """Do one ablation and write its report; returns the report's sentences and whether a job
    failed.
    """
    from benchsep.ablation.conclusions import sentences
    from benchsep.ablation.effects import measure
    from benchsep.ablation.execute import execute
    from benchsep.ablation.write import write

    executed = execute(ablation, work=work, root=root, jobs=jobs, say=message, progress=progress)
    effects = measure(executed)
    written = write(name, executed, effects, out)
    message(f"written {', '.join(map(str, written))}")
    return sentences(executed, effects), bool(executed.failed)
