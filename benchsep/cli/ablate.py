"""``benchsep ablate``: train, run and compare the variants of a grid."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer


def register(app: typer.Typer, progress: Callable[[Any], Any]) -> None:
    """Add the command; ``progress`` draws the bars of a run."""

    @app.command()
    def ablate(
        configs: Annotated[list[Path], typer.Argument(help="e.g. configs/ablations/encoder.yaml")],
        root: Annotated[
            Path | None, typer.Option(help="the dataset's folder, with train/ and test/")
        ] = None,
        work: Annotated[
            Path, typer.Option(help="checkpoints, cache and run; used again, it continues")
        ] = Path("runs/ablations"),
        out: Annotated[Path, typer.Option("-o", "--out", help="where the reports go")] = Path(
            "reports/ablations"
        ),
        jobs: Annotated[int, typer.Option("-j", "--jobs", help="processes; 0 = cores")] = 0,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="print what would be done, and how long")
        ] = False,
        train_only: Annotated[
            bool,
            typer.Option(
                "--train-only",
                help="train for all grids together and stop, on a machine with GPUs, say; --work "
                "can then be moved",
            ),
        ] = False,
    ) -> None:
        """Train what a grid varies, run it on the same tracks, compare; run again to continue."""
        from benchsep.ablation import grid

        loaded = {path: grid.load(path) for path in configs}
        if dry_run:
            _dry_run(list(loaded.values()), root, work)
            return
        if train_only:
            _train(list(loaded.values()), root, work, jobs)
            return
        failed = False
        for path, ablation in loaded.items():
            failed |= _one(path.stem, ablation, root, work, out, jobs, progress)
        if failed:
            raise typer.Exit(1)


def _dry_run(ablations: list[Any], root: Path | None, work: Path) -> None:
    from benchsep.ablation.execute import plan_lines

    for ablation in ablations:
        print("\n".join(plan_lines(ablation, root, work)))


def _train(ablations: list[Any], root: Path | None, work: Path, jobs: int) -> None:
    from benchsep.ablation.execute import train

    if train(ablations, work=work, root=root, jobs=jobs, say=_say):
        raise typer.Exit(1)


def _say(line: str) -> None:
    print(f"benchsep: {line}", file=sys.stderr)


def _one(
    name: str,
    ablation: Any,
    root: Path | None,
    work: Path,
    out: Path,
    jobs: int,
    progress: Callable[[Any], Any],
) -> bool:
    """Do one ablation; whether something in it failed."""
    from benchsep.ablation.conclusions import sentences
    from benchsep.ablation.effects import measure
    from benchsep.ablation.execute import execute
    from benchsep.ablation.write import write

    done = execute(ablation, work=work, root=root, jobs=jobs, say=_say, progress=progress)
    effects = measure(done)
    written = write(name, done, effects, out)
    print(f"{ablation.title}")
    for sentence in sentences(done, effects):
        print(f"  {sentence}")
    print(f"benchsep: written {', '.join(map(str, written))}", file=sys.stderr)
    return bool(done.failed)
