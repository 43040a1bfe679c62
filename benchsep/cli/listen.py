"""Listening tests: ``webmushra`` exports one, ``ratings`` and ``validity`` read the results."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from benchsep.cli.options import (
    Format,
    Key,
    Metrics,
    Root,
    RunFolder,
    Screen,
    assignments,
    named,
    split_words,
)
from benchsep.cli.output import print_files, print_table
from benchsep.errors import UsageError


def webmushra(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the test")],
    stem: Annotated[str, typer.Option(help="the stem that listeners judge")] = "vocals",
    max_songs: Annotated[int, typer.Option(min=0, help="largest number of trials")] = 8,
    seconds: Annotated[float, typer.Option(help="longest excerpt of a song, in seconds")] = 10.0,
    systems: Annotated[str | None, typer.Option(help="only these systems, comma separated")] = None,
    name: Annotated[str, typer.Option(help="name of the test and its YAML file")] = "benchsep",
    root: Root = None,
    format: Format = "terminal",
) -> None:
    """Write a MUSHRA listening test for webMUSHRA: YAML, level-matched sounds and the key.

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
    file: Annotated[
        Path, typer.Argument(help="CSV of the listening page or of webMUSHRA", metavar="CSV")
    ],
    key: Key = None,
    screen: Screen = True,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="CSV file to write; default: standard output")
    ] = None,
    format: Format = "csv",
) -> None:
    """Write the ratings of a listening test with the names of the systems."""
    from benchsep._util.atomic import write_atomically
    from benchsep.cli.judging import screened
    from benchsep.listeners.mushra import ratings_csv, read_ratings

    table = read_ratings(file, key)
    if screen:
        table = screened(table, file)
    if out is not None:
        write_atomically(out, ratings_csv(table))
        print_files([out], "terminal" if format == "csv" else format)
    elif format == "csv":
        sys.stdout.write(ratings_csv(table))
    else:
        print_table(table, format)


def validity(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            help="CSV of ratings, study.yaml, or a known study's name", metavar="STUDY..."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="folder or CSV with the data of a known study")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="run folder that has the metrics")] = None,
    score: Annotated[
        bool,
        typer.Option(
            "--score", help="compute the metrics of --metrics from the sounds of the study"
        ),
    ] = False,
    key: Key = None,
    screen: Screen = True,
    metrics: Metrics = None,
    question: Annotated[
        str | None, typer.Option(help="only this question: quality or interference")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="column of the CSV for a role: ROLE=COLUMN, e.g. song=page or rating=score"
        ),
    ] = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            help="family of a system: SYSTEM=generative or discriminative; * matches any system"
        ),
    ] = None,
    direction: Annotated[
        list[str] | None,
        typer.Option(help="COLUMN=+1 if higher is better, COLUMN=-1 if lower is better"),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="write the clips with their metrics to this CSV")
    ] = None,
    template: Annotated[
        Path | None, typer.Option(help="write an example study into this folder, and stop")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="seed of the bootstrap")] = 0,
    format: Format = "terminal",
) -> None:
    """Compute how often each metric orders two systems on a song as listeners do.

    Reads any CSV with a song, a system, a family and a rating; a study's YAML file; the CSV of the
    listening page's MUSHRA test; and webMUSHRA's results, with the key that `benchsep webmushra`
    wrote. `benchsep docs listeners` shows how to bring a study.
    """
    from benchsep.cli import judging

    if template is not None:
        from benchsep.listeners.template import write_template

        print_files(write_template(template), format)
        return
    if not studies:
        raise UsageError(
            "no study was given; give a CSV of ratings, a study.yaml, or --template FOLDER"
        )
    wanted = judging.Wanted(
        run=run,
        score=score,
        metrics=metrics,
        question=question,
        directions=_directions(direction or ()),
        seed=seed,
    )
    read = judging.Reading(data, key, screen, named(column or ()), named(family or ()))
    found = judging.judge([judging.read(source, read, wanted) for source in studies], wanted, save)
    judging.show(found, format)


def _directions(items: Iterable[str]) -> dict[str, int]:
    """``COLUMN=+1`` texts as a dict."""
    given = assignments(items)
    if odd := [name for name, value in given.items() if value not in (1, -1)]:
        raise UsageError(
            f"direction of {odd[0]}: found {given[odd[0]]:g}, expected +1 (higher is better) or -1"
        )
    return {name: int(value) for name, value in given.items()}
