"""The command line: parses, calls, prints. Results on stdout, progress on stderr.

Exit codes: 0 good, 1 a finding (the gate failed, too many failures), 2 usage.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsep.cli import ablate as cli_ablate
from benchsep.cli import listen as cli_listen
from benchsep.cli import stats as cli_stats
from benchsep.errors import BenchsepError

if TYPE_CHECKING:
    from benchsep.runner.job import Outcome
    from benchsep.runner.plan import Plan

app = typer.Typer(
    name="benchsep",
    help="Benchmark generative and discriminative music separators on one table.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Format = Annotated[str, typer.Option("--format", help="terminal, md, tex, csv, json or html")]
Aggregation = Annotated[
    str | None,
    typer.Option(help="mean or median over songs and frames, in place of each metric's own"),
]
RunFolder = Annotated[Path, typer.Argument(help="a run folder", metavar="RUN")]


def main() -> None:
    """Entry point: turns our errors into a message and exit code 2."""
    try:
        app()
    except BenchsepError as error:
        print(f"benchsep: {_plain(str(error))}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:  # whatever could not be read or written: the path is the answer
        where = f"{error.filename}: " if error.filename else ""
        print(f"benchsep: {_plain(f'{where}{error.strerror or error}')}", file=sys.stderr)
        raise SystemExit(2) from None


def _plain(text: str) -> str:
    """Without control characters: a track name may hold escape sequences."""
    return "".join(c if c.isprintable() or c == "\n" else "�" for c in text)


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(p.strip() for p in text.split(",") if p.strip())


# Options that `run` and `plan` share
SuiteFile = Annotated[Path | None, typer.Argument(help="a suite in YAML")]
Specs = Annotated[str | None, typer.Option(help="specs, comma separated")]
DatasetName = Annotated[str | None, typer.Option(help="e.g. musdb18hq, folder:PATH, clip")]
Root = Annotated[str | None, typer.Option(help="where the dataset lies")]
Split = Annotated[str | None, typer.Option(help="test, train, valid or all")]
Limit = Annotated[int | None, typer.Option(help="only the first N tracks")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps")]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", help="processes; 0 = cores")]
Draws = Annotated[int | None, typer.Option(help="seeds per track, where it matters")]
KeepEstimates = Annotated[str | None, typer.Option(help="none or flac")]


# -- run ----------------------------------------------------------------------------------------


@app.command()
def run(
    suite: SuiteFile = None,
    systems: Specs = None,
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    tracks: Annotated[list[str] | None, typer.Option(help="one track; repeat for more")] = None,
    limit: Limit = None,
    stems: Annotated[str | None, typer.Option(help="comma separated")] = None,
    metrics: Annotated[str | None, typer.Option(help="comma separated")] = None,
    all_stems: Annotated[
        bool | None, typer.Option("--all-stems", help="speech metrics on every stem")
    ] = None,
    no_yardsticks: Annotated[
        bool, typer.Option("--no-yardsticks", help="leave out mixture, reference and oracles")
    ] = False,
    device: Device = None,
    jobs: Jobs = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="a Dask cluster: tcp://HOST:PORT, file:SCHEDULER.json or local:N"),
    ] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    draws: Draws = None,
    keep_estimates: KeepEstimates = None,
    overwrite: Annotated[str | None, typer.Option(help="never, missing or always")] = None,
    fail_on_error: Annotated[
        float | None, typer.Option(help="exit 1 when more than this share of jobs failed")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="seconds per system and track")] = None,
    nisqa_weights: Annotated[
        Path | None, typer.Option(help="NISQA's nisqa.tar (CC BY-NC-SA 4.0, not shipped)")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="run folder")] = None,
    improvement: Annotated[
        bool, typer.Option("--improvement", help="add the gain over the mixture")
    ] = False,
    format: Format = "terminal",
) -> None:
    """Run systems on tracks, score them, print the tables; run again to continue."""
    from benchsep.runner.run import run as run_suite
    from benchsep.runner.suite import load_suite, split_specs

    _use_nisqa_weights(nisqa_weights)
    resolved = load_suite(
        suite,
        systems=split_specs(systems) if systems is not None else None,
        dataset=dataset,
        root=root,
        split=split,
        tracks=tuple(tracks) if tracks else None,
        limit=limit,
        stems=_split(stems),
        metrics=_split(metrics),
        all_stems=all_stems,
        yardsticks=False if no_yardsticks else None,
        device=device,
        jobs=jobs,
        cluster=cluster,
        seed=seed,
        draws=draws,
        keep_estimates=keep_estimates,
        overwrite=overwrite,
        fail_on_error=fail_on_error,
        timeout=timeout,
    )
    folder = out or _run_folder(suite)
    result = run_suite(resolved, out=folder, progress=_progress)
    _print_tables(folder, format, improvement=improvement)
    for outcome in result.failed:
        print(
            _plain(f"benchsep: {outcome.label} on {outcome.track}: {outcome.message}"),
            file=sys.stderr,
        )
    print(
        f"benchsep: results are in {folder}; show them with: benchsep show {folder}",
        file=sys.stderr,
    )
    if result.too_many_failures:
        raise typer.Exit(1)


@app.command()
def plan(
    suite: SuiteFile = None,
    systems: Specs = None,
    dataset: DatasetName = None,
    root: Root = None,
    split: Split = None,
    limit: Limit = None,
    metrics: Annotated[str | None, typer.Option(help="comma separated")] = None,
    device: Device = None,
    jobs: Jobs = None,
    draws: Draws = None,
    keep_estimates: KeepEstimates = None,
    no_yardsticks: Annotated[bool, typer.Option("--no-yardsticks", help="as for run")] = False,
    rates: Annotated[
        Path | None, typer.Option(help="a run folder whose own costs to reckon with")
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="the run's folder")] = None,
    format: Annotated[str, typer.Option("--format", help="terminal, md or json")] = "terminal",
) -> None:
    """Say what a run would cost: jobs, CPU and GPU hours, disk. Nothing is computed."""
    from benchsep.runner.cost import forecast, own_rates, rates_of_run, render
    from benchsep.runner.plan import make_plan
    from benchsep.runner.store import Store
    from benchsep.runner.suite import load_suite, split_specs

    resolved = load_suite(
        suite,
        systems=split_specs(systems) if systems is not None else None,
        dataset=dataset,
        root=root,
        split=split,
        limit=limit,
        metrics=_split(metrics),
        yardsticks=False if no_yardsticks else None,
        device=device,
        jobs=jobs,
        draws=draws,
        keep_estimates=keep_estimates,
    )
    planned = make_plan(resolved, Store(out or _run_folder(suite)), load_on="cpu")
    found = forecast(planned, rates_of_run(rates) if rates else own_rates())
    print(render(found, resolved.jobs or os.cpu_count() or 1, format))


def _run_folder(suite: Path | None) -> Path:
    return Path("runs") / (suite.stem if suite else "latest")


def _use_nisqa_weights(path: Path | None) -> None:
    from benchsep.errors import UsageError

    if path is None:
        return
    if not path.is_file():
        raise UsageError(f"--nisqa-weights {path}: no such file; expected NISQA's nisqa.tar")
    os.environ["BENCHSEP_NISQA_WEIGHTS"] = str(path.resolve())  # workers inherit it


@contextmanager
def _progress(plan: Plan) -> Iterator[Any]:
    """A bar per system on stderr, with the time left."""
    from collections import Counter

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
    with Progress(*columns, console=console) as progress:
        bars = {label: progress.add_task(_markup(label), total=n) for label, n in totals.items()}

        def listen(outcome: Outcome) -> None:
            progress.advance(bars[outcome.label])

        yield listen


def _markup(text: str) -> str:
    from rich.markup import escape

    return escape(_plain(text))


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
    for metric, reason in plan.unavailable.items():
        console.print(_markup(f"{metric} is unavailable: {reason}"))


# -- results ------------------------------------------------------------------------------------


def _tables(
    folder: Path, *, improvement: bool = False, aggregation: str | None = None
) -> list[Any]:
    from benchsep.report.tables.build import tables
    from benchsep.runner.frame import load_costs, load_run
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in
    from benchsep.stats import core as stats

    frame, manifest = load_run(folder), Store(folder).manifest()
    frame, traits = stats.reaggregated(frame, traits_in(frame, manifest), aggregation)  # type: ignore[arg-type]
    return list(tables(frame, load_costs(folder), manifest, traits, improvement=improvement))


def _print_tables(
    folder: Path, format: str, *, improvement: bool, aggregation: str | None = None
) -> None:
    from benchsep.report.tables.build import render

    print(render(_tables(folder, improvement=improvement, aggregation=aggregation), format))


@app.command()
def show(
    folder: RunFolder,
    improvement: Annotated[
        bool, typer.Option("--improvement", help="add the gain over the mixture")
    ] = False,
    aggregation: Aggregation = None,
    format: Format = "terminal",
) -> None:
    """Print the tables of a run."""
    _print_tables(folder, format, improvement=improvement, aggregation=aggregation)


@app.command()
def report(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for tables and figures")],
    max_songs: Annotated[int, typer.Option(help="songs with figures and audio")] = 3,
    page: Annotated[bool, typer.Option("--page/--no-page", help="write the listening page")] = True,
    seconds: Annotated[float, typer.Option(help="of each song, at most so much")] = 20.0,
    root: Root = None,
    improvement: Annotated[
        bool, typer.Option("--improvement", help="add the gain over the mixture")
    ] = False,
    aggregation: Aggregation = None,
) -> None:
    """Write tables (md, tex, csv, json, html), spectrograms and the listening page of a run."""
    from benchsep.report.write import write_report

    written = write_report(
        folder,
        out,
        max_songs=max_songs,
        seconds=seconds,
        page=page,
        root=root,
        improvement=improvement,
        aggregation=aggregation,  # type: ignore[arg-type]
    )
    for path in written:
        print(path)


@app.command()
def explain(
    folder: RunFolder,
    number: Annotated[str, typer.Argument(help="a number's id, as in the HTML and CSV tables")],
    aggregation: Aggregation = None,
) -> None:
    """Print the songs behind a number of a table."""
    from benchsep.report.tables.explain import explain as explain_number

    print(explain_number(folder, number, aggregation=aggregation))  # type: ignore[arg-type]


# -- single files -------------------------------------------------------------------------------


@app.command()
def separate(
    file: Annotated[Path, typer.Argument(help="an audio file")],
    system: Annotated[str, typer.Option("--system", help="a system's spec")],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the stems")],
    device: Annotated[str, typer.Option()] = "cpu",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Separate one file with one system; writes a wav for each stem."""
    from benchsep.audio import read_audio, write_audio
    from benchsep.systems.estimate import estimate
    from benchsep.systems.spec import load_system

    mixture = read_audio(file)
    loaded = load_system(system, device=device)
    for stem, audio in estimate(loaded, mixture, seed=seed).items():
        write_audio(out / f"{stem}.wav", audio)
        print(out / f"{stem}.wav")


@app.command()
def score(
    reference: Annotated[Path, typer.Argument(help="a file, or a folder of stems")],
    estimate: Annotated[Path, typer.Argument(help="a file, or a folder of stems")],
    metrics: Annotated[str, typer.Option(help="comma separated")] = "visqol,usdr,sisdr",
    mixture: Annotated[Path | None, typer.Option(help="for metrics that need it")] = None,
    format: Format = "terminal",
) -> None:
    """Score an estimate against its reference."""
    from benchsep.runner.score import score as score_pair

    frame = score_pair(reference, estimate, metrics=list(_split(metrics) or ()), mixture=mixture)
    shown = frame.drop(columns=["frames"])
    if format == "json":
        print(shown.to_json(orient="records", indent=1))
    elif format == "csv":
        print(shown.to_csv(index=False), end="")
    else:
        print(shown.to_string(index=False, na_rep="-", float_format=lambda v: f"{v:.3f}"))


# -- what there is ------------------------------------------------------------------------------


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="systems, datasets or metrics")] = "systems",
) -> None:
    """List systems, datasets or metrics."""
    from benchsep.cli.inventory import table_of

    print(table_of(what))


@app.command()
def doctor() -> None:
    """Say what is installed, reachable and missing, and how to get it."""
    from benchsep.cli.doctor import diagnose

    print(diagnose())


# -- the gate -----------------------------------------------------------------------------------


@app.command()
def baseline(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="baseline file (JSON)")],
    repeat: Annotated[
        list[Path] | None,
        typer.Option(help="a repeat of RUN (other seed, threads, machine), to measure the noise"),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=CELL/MEAN or 'SYSTEM METRIC=CELL/MEAN': the largest shifts"),
    ] = None,
) -> None:
    """Write the baseline that `check` compares with."""
    from benchsep.gate.check import noise, parse_tolerance, write_baseline
    from benchsep.runner.frame import load_run
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    frame, manifest = load_run(folder), Store(folder).manifest()
    measured = noise([frame, *map(load_run, repeat)]) if repeat else None
    write_baseline(
        frame,
        manifest,
        out,
        traits=traits_in(frame, manifest),
        tolerances=dict(map(parse_tolerance, tolerance or ())),
        measured=measured,
    )
    print(out)


@app.command()
def check(
    folder: RunFolder,
    baseline: Annotated[Path, typer.Option(help="a file that `benchsep baseline` wrote")],
    strict: Annotated[bool, typer.Option(help="an improvement fails too")] = False,
    metrics: Annotated[str | None, typer.Option(help="only these, comma separated")] = None,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML here")] = None,
    format: Annotated[str, typer.Option(help="table, md, json, junit, github")] = "table",
) -> None:
    """Compare a run with its baseline, cell by cell; exit 1 if anything drifted."""
    from benchsep._util.atomic import write_atomically
    from benchsep.gate.check import check as check_drift
    from benchsep.gate.check import read_baseline
    from benchsep.gate.render import render
    from benchsep.runner.frame import load_run
    from benchsep.runner.store import Store

    frame, manifest = load_run(folder), Store(folder).manifest()
    found = check_drift(
        frame, manifest, read_baseline(baseline), strict=strict, metrics=_split(metrics)
    )
    print(render(found, format))
    if junit:
        write_atomically(junit, render(found, "junit"))
    if found.failed:
        raise typer.Exit(1)


cli_stats.register(app)
cli_listen.register(app)
cli_ablate.register(app, _progress)

if __name__ == "__main__":
    main()
