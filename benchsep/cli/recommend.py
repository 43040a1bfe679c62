"""``benchsep recommend``: which system to use, by quality and cost of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from benchsep._util.suggest import did_you_mean
from benchsep.cli.options import Format, RunFolder
from benchsep.cli.output import message, print_table
from benchsep.errors import UsageError


def recommend(
    folder: RunFolder,
    stem: Annotated[str, typer.Option(help="a stem, or average (the mean over stems)")] = "average",
    budget: Annotated[
        str | None, typer.Option(help="largest computing time, e.g. 30s/song, 2min/song or 0.5x")
    ] = None,
    question: Annotated[
        str, typer.Option(help="question of the listeners that decides: quality or interference")
    ] = "quality",
    song: Annotated[str, typer.Option(help="length of a song, e.g. 4min")] = "4min",
    format: Format = "terminal",
) -> None:
    """Say which system to use: the Pareto front of score and cost, with intervals."""
    from benchsep.listeners.scopes import QUESTIONS
    from benchsep.report import recommend as chooser
    from benchsep.runner.frame import load_cells_and_costs
    from benchsep.runner.notes.said import warnings_of
    from benchsep.runner.notes.sessions import sessions_of, timed_apart
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in
    from benchsep.stats import with_combined

    if question not in QUESTIONS:
        hint = did_you_mean(question, list(QUESTIONS))
        raise UsageError(f"unknown question {question!r}{hint}")
    if song.endswith("x"):
        raise UsageError(f"--song {song!r} is not a length; expected for example 4min or 200s")
    song_s = chooser.seconds_of(song)
    (cells, costs), manifest = load_cells_and_costs(folder), Store(folder).manifest()
    said = warnings_of(cells, costs, manifest)
    cells, traits = with_combined(cells, traits_in(cells, manifest))
    found = chooser.recommend(
        cells,
        costs,
        manifest,
        traits,
        stem=stem,
        question=question,
        budget_s=chooser.seconds_of(budget, song_s) if budget else None,
        song_s=song_s,
    )
    print_table(found.table, format)
    systems = list(found.table["system"])
    for sentence in (*said, *timed_apart(sessions_of(costs, systems), systems)):
        message(sentence)
    for sentence in found.sentences:
        if format == "terminal":
            print(sentence)
        else:
            message(sentence)
