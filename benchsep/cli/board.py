"""``benchsep merge`` and ``board``: results of several people in one folder, and as a page."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep.cli.options import ExcludeSeen, Format
from benchsep.cli.output import message, print_files, print_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchsep.runner.record import Record

    Counts = tuple[int, int, int]


def merge(
    folders: Annotated[list[Path], typer.Argument(help="run folders or boards", metavar="RUN...")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="the board: a new folder, or a board to add to")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="only look for conflicts; write nothing")
    ] = False,
    format: Format = "terminal",
) -> None:
    """Merge run folders into one; exit 1 with the list of conflicts if there are any."""
    from benchsep.runner.merge.board import merge as merge_runs

    merged = merge_runs(folders, out, check=check)
    if merged.conflicts:
        rows = [[c.kind, c.subject, c.found] for c in merged.conflicts]
        print_rows(["conflict", "of", "found"], rows, format)
        message(f"conflicts: {len(rows)}; nothing was written")
        raise typer.Exit(1)
    for note in merged.notes:
        message(note)
    counts = [[each.name, *_counts(each.records)] for each in merged.inputs]
    board = ["merged", *_counts(merged.records)]
    print_rows(["run", "systems", "songs", "values"], [*counts, board], format)
    if format == "terminal":
        message(
            f"no conflicts; with --check, nothing was written to {out}"
            if check
            else f"the board is in {out}; show it with: benchsep show {shlex.quote(str(out))}"
        )


def _counts(records: Iterable[Record]) -> Counts:
    """Systems, songs and cells with a value."""
    made = list(records)
    systems, songs = {r.system.label for r in made}, {r.track.name for r in made}
    values = sum(cell.value is not None for record in made for cell in record.cells)
    return len(systems), len(songs), values


def board(
    folder: Annotated[Path, typer.Argument(help="a board, or a run folder", metavar="BOARD")],
    out: Annotated[Path, typer.Option("-o", "--out", help="folder of the page")],
    exclude_seen: ExcludeSeen = False,
    format: Format = "terminal",
) -> None:
    """Write a board as one HTML page: OUT/index.html."""
    from benchsep.report.run import load
    from benchsep.report.site.board import write_board

    print_files([write_board(load(folder, exclude_seen=exclude_seen), out)], format)
