"""The commands of listening tests: a run out to webMUSHRA, ratings back in.

Each parses, calls one function of :mod:`benchsep.report.mushra`, and prints. :func:`register`
adds them to the program; nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    for command in (webmushra, ratings):
        app.command()(command)


def webmushra(
    folder: Annotated[Path, typer.Argument(help="a run folder", metavar="RUN")],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder for the test")],
    stem: Annotated[str, typer.Option(help="what is judged")] = "vocals",
    max_songs: Annotated[int, typer.Option(help="trials, at most")] = 8,
    seconds: Annotated[float, typer.Option(help="of each song, at most so much")] = 10.0,
    systems: Annotated[str | None, typer.Option(help="labels, comma separated; all else")] = None,
    name: Annotated[str, typer.Option(help="of the test and its YAML file")] = "benchsep",
    root: Annotated[str | None, typer.Option(help="where the dataset lies")] = None,
) -> None:
    """Write a MUSHRA test for webMUSHRA: YAML, level-matched sounds, and the key.

    Songs on which the metrics disagree most come first. Copy OUT/sounds to webMUSHRA's
    configs/resources/NAME/ and the YAML to configs/. Systems are C1, C2 ... in the browser;
    conditions.csv is the key that `benchsep ratings` and `benchsep validity` take.
    """
    from benchsep.report.mushra import export_run

    wanted = None if systems is None else [s.strip() for s in systems.split(",") if s.strip()]
    written = export_run(
        folder, out, stem=stem, max_songs=max_songs, seconds=seconds, systems=wanted, name=name,
        root=root,
    )  # fmt: skip
    for path in written:
        print(path)


def ratings(
    file: Annotated[Path, typer.Argument(help="the page's or webMUSHRA's CSV", metavar="CSV")],
    key: Annotated[Path | None, typer.Option(help="webMUSHRA results: conditions.csv")] = None,
    screen: Annotated[
        bool, typer.Option("--screen/--no-screen", help="BS.1534 post-screening of raters")
    ] = True,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="CSV; otherwise stdout")] = None,
) -> None:
    """Bring the ratings of a listening test back under the systems' names, screened."""
    from benchsep.cli.stats import screened
    from benchsep.report.mushra import ratings_csv, read_ratings

    table = read_ratings(file, key)
    text = ratings_csv(screened(table, file) if screen else table)
    if out is None:
        sys.stdout.write(text)
        return
    from benchsep._util.atomic import write_atomically

    write_atomically(out, text)
    print(out)
