"""Listening tests: ``webmushra`` exports one, ``ratings`` and ``validity`` read the results."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep.cli.options import (
    Format,
    Key,
    Metrics,
    Root,
    RunFolder,
    Screen,
    assignments,
    split_words,
)
from benchsep.cli.output import message, print_files, print_table
from benchsep.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


def webmushra(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the test")],
    stem: Annotated[str, typer.Option(help="what is judged")] = "vocals",
    max_songs: Annotated[int, typer.Option(help="trials, at most")] = 8,
    seconds: Annotated[float, typer.Option(help="of each song, at most so much")] = 10.0,
    systems: Annotated[str | None, typer.Option(help="labels, comma separated; all else")] = None,
    name: Annotated[str, typer.Option(help="of the test and its YAML file")] = "benchsep",
    root: Root = None,
    format: Format = "terminal",
) -> None:
    """Write a MUSHRA test for webMUSHRA: YAML, level-matched sounds, and the key.

    Songs on which the metrics disagree most come first. Copy OUT/sounds to webMUSHRA's
    configs/resources/NAME/ and the YAML to configs/. Systems are C1, C2 ... in the browser;
    conditions.csv is the key that `benchsep ratings` and `benchsep validity` take.
    """
    from benchsep.report.mushra import export_run

    labels = None if systems is None else list(split_words(systems))
    written = export_run(
        folder, out, stem=stem, max_songs=max_songs, seconds=seconds, systems=labels, name=name,
        root=root,
    )  # fmt: skip
    print_files(written, format)


def ratings(
    file: Annotated[Path, typer.Argument(help="the page's or webMUSHRA's CSV", metavar="CSV")],
    key: Key = None,
    screen: Screen = True,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="CSV file; otherwise stdout")
    ] = None,
    format: Format = "csv",
) -> None:
    """Name the system of each rating of a listening test, and screen the raters."""
    from benchsep._util.atomic import write_atomically
    from benchsep.listeners.mushra import ratings_csv, read_ratings

    table = read_ratings(file, key)
    if screen:
        table = _screened(table, file)
    if out is not None:
        write_atomically(out, ratings_csv(table))
        print_files([out], "terminal" if format == "csv" else format)
    elif format == "csv":
        sys.stdout.write(ratings_csv(table))
    else:
        print_table(table, format)


def validity(
    ratings: Annotated[Path, typer.Argument(help="CSV of ratings", metavar="RATINGS.csv")],
    run: Annotated[Path | None, typer.Option(help="take the metrics from this run")] = None,
    key: Key = None,
    screen: Screen = True,
    metrics: Metrics = None,
    direction: Annotated[list[str] | None, typer.Option(help="COLUMN=+1 or -1")] = None,
    seed: Annotated[int, typer.Option(help="seed of the bootstrap")] = 0,
    format: Format = "terminal",
) -> None:
    """How often each metric orders two systems on a song as listeners do.

    Reads any CSV with a song, a system, a family and a rating; the CSV of the listening page's
    MUSHRA test; and webMUSHRA's results, with the key that `benchsep webmushra` wrote.
    """
    from benchsep.listeners import agreement as judge

    table = _rated_clips(ratings, key, run, metrics, screen=screen)
    directions = {k: int(v) for k, v in assignments(direction or ()).items()}
    columns = None if metrics is None or run is not None else split_words(metrics)
    if format != "terminal":
        print_table(
            judge.agreement(table, metrics=columns, directions=directions, seed=seed), format
        )
        return
    if columns is None and not judge.judged_columns(table, directions):
        message("the ratings have no metric to judge: give --run RUN")
    else:
        print(
            judge.render(judge.agreement(table, metrics=columns, directions=directions, seed=seed))
        )
    print_table(judge.rating_differences(table, seed=seed), format)
    print("difference: mean rating of a minus b, paired by song, 95 % song bootstrap")


def _rated_clips(
    path: Path, key: Path | None, run: Path | None, metrics: str | None, *, screen: bool
) -> pd.DataFrame:
    """The ratings by clip; with ``run``, its metrics in further columns."""
    from benchsep.cli import stats
    from benchsep.listeners.ratings import attach_metrics

    if run is None:
        return _ratings(path, key, None, screen=screen)
    cells, _ = stats.load_cells(run, metrics)
    families = dict(zip(cells["system"], cells["family"], strict=True))
    return attach_metrics(_ratings(path, key, families, screen=screen), cells)


def _ratings(
    path: Path, key: Path | None, families: dict[str, str] | None, *, screen: bool
) -> pd.DataFrame:
    """Ratings by clip, of a listening test after its post-screening."""
    from benchsep.listeners import mushra
    from benchsep.listeners.ratings import clips, read_ratings

    if not mushra.is_listening_test(path):
        if key is not None:
            raise UsageError(f"{path} is no result of a MUSHRA test: --key has no use")
        return read_ratings(path, families=families)
    table = mushra.read_ratings(path, key)
    return clips(_screened(table, path) if screen else table, path)


def _screened(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Ratings of the raters who pass post-screening; the others are named on stderr."""
    from benchsep.listeners import mushra

    passed, excluded = mushra.screen(table)
    raters = table["rater"].nunique()
    names = f": left out {', '.join(excluded)}" if excluded else ""
    message(f"post-screening kept {raters - len(excluded)} of {raters} raters{names}")
    if passed.empty:
        raise UsageError(f"{path}: no rater passes post-screening; --no-screen keeps them all")
    return passed
