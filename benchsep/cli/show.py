"""``benchsep show``, ``report`` and ``explain``: the tables of a run and the values behind them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep.cli.options import (
    Aggregation,
    Combine,
    ExcludeSeen,
    Format,
    Import,
    ImportEdition,
    ImportFamily,
    Improvement,
    Root,
    RunFolder,
    imports_of,
)
from benchsep.cli.output import message, print_files
from benchsep.cli.progress import words
from benchsep.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from benchsep.imported.join import Imports, Joined
    from benchsep.report.tables.model import Table

    CellsAndCosts = tuple[pd.DataFrame, pd.DataFrame]


Caption = Annotated[
    str,
    typer.Option(help="captions of LaTeX tables: full, or short (to paste; needs only booktabs)"),
]


def show(
    folder: RunFolder,
    improvement: Improvement = False,
    aggregation: Aggregation = None,
    exclude_seen: ExcludeSeen = False,
    imports: Import = None,
    import_edition: ImportEdition = None,
    import_family: ImportFamily = None,
    combine: Combine = None,
    all: Annotated[
        bool,
        typer.Option("--all", help="in a terminal: show every table, column, caption and note"),
    ] = False,
    caption: Caption = "full",
    format: Format = "terminal",
) -> None:
    """Print the tables of a run. A terminal shows the first tables; --all shows every one."""
    print_tables(
        folder,
        format,
        everything=all,
        improvement=improvement,
        aggregation=aggregation,
        exclude_seen=exclude_seen,
        imports=imports_of(imports, import_edition, import_family),
        combine=combine or (),
        caption=caption,
    )


def print_tables(
    folder: Path,
    format: str,
    *,
    everything: bool = False,
    improvement: bool = False,
    aggregation: str | None = None,
    exclude_seen: bool = False,
    imports: Imports | None = None,
    combine: Sequence[str] = (),
    loaded: CellsAndCosts | None = None,
    caption: str = "full",
) -> None:
    """Print the tables of the run in ``folder``; ``everything`` only affects the terminal.

    Notes on imports are printed on stderr.

    ``loaded``: the content of the run, if the caller has already read it.
    """
    from benchsep.report.tables.brief import brief, reasons
    from benchsep.report.tables.render import render, render_brief, terminal_width

    joined, costs = _content(folder, imports, loaded, frames=aggregation is not None)
    for line in joined.messages:
        message(line)
    if joined.cells.empty:
        message(f"{folder} has no readable result; `benchsep run` writes results")
    tables, cells = _tables(joined, costs, improvement, aggregation, exclude_seen, combine)
    if format != "terminal" or caption != "full":
        print(render(tables, format, caption))
    elif everything:
        print("\n".join([render(tables, format), *reasons(cells)]))
    else:
        print(render_brief(brief(tables, terminal_width()), reasons(cells)))


def _content(
    folder: Path, imports: Imports | None, loaded: CellsAndCosts | None, *, frames: bool
) -> tuple[Joined, pd.DataFrame]:
    """The cells and the manifest with imports, and the costs. ``frames``: also load values per
    window.
    """
    from benchsep.imported.join import with_imports
    from benchsep.runner.frame import load_cells_and_costs, load_for_tables
    from benchsep.runner.store import Store

    if loaded is None:
        loaded = load_cells_and_costs(folder) if imports or frames else load_for_tables(folder)
    cells, costs = loaded
    return with_imports(cells, Store(folder).manifest(), imports), costs


def _tables(
    joined: Joined,
    costs: pd.DataFrame,
    improvement: bool,
    aggregation: str | None,
    exclude_seen: bool,
    combine: Sequence[str] = (),
) -> tuple[list[Table], pd.DataFrame]:
    from benchsep import stats
    from benchsep.report.tables.build import tables
    from benchsep.runner.notes.seen import without_seen
    from benchsep.runner.traits import traits_in

    cells, manifest = joined.cells, joined.manifest
    cells = without_seen(cells, manifest) if exclude_seen else cells
    cells, traits = stats.reaggregated(cells, traits_in(cells, manifest), aggregation)  # type: ignore[arg-type]
    cells, traits = stats.with_combined(cells, traits, combine)
    made = tables(cells, costs, manifest, traits, improvement=improvement)
    return list(made), cells


def report(
    folder: RunFolder,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="folder for the report; default: RUN-report, beside RUN"),
    ] = None,
    max_songs: Annotated[
        int, typer.Option(min=0, help="number of songs with figures and audio")
    ] = 3,
    page: Annotated[bool, typer.Option("--page/--no-page", help="write the listening page")] = True,
    seconds: Annotated[float, typer.Option(help="longest excerpt of a song, in seconds")] = 12.0,
    audio: Annotated[
        str, typer.Option(help="audio of the page: flac, opus, or auto (Opus if FLAC is too large)")
    ] = "auto",
    caption: Caption = "full",
    pdf: Annotated[
        bool, typer.Option("--pdf", help="also write the figures as PDF, for a paper")
    ] = False,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="number of threads; 0: one for each core")
    ] = 0,
    root: Root = None,
    improvement: Improvement = False,
    aggregation: Aggregation = None,
    exclude_seen: ExcludeSeen = False,
    imports: Import = None,
    import_edition: ImportEdition = None,
    import_family: ImportFamily = None,
    combine: Combine = None,
    format: Format = "terminal",
) -> None:
    """Write tables (md, tex, csv, json, html), spectrograms and the listening page of a run."""
    from benchsep.report.write import write_report

    if audio not in ("auto", "flac", "opus"):
        raise UsageError(f"--audio: found {audio!r}, expected auto, flac or opus")
    out = out or beside(folder)
    begun = time.monotonic()
    with words() as say:
        written = write_report(
            folder,
            out,
            max_songs=max_songs,
            seconds=seconds,
            page=page,
            audio=audio,  # type: ignore[arg-type]  # checked above
            progress=say,
            root=root,
            improvement=improvement,
            aggregation=aggregation,  # type: ignore[arg-type]
            exclude_seen=exclude_seen,
            imports=imports_of(imports, import_edition, import_family),
            combine=combine or (),
            jobs=jobs,
            caption=caption,  # type: ignore[arg-type]  # checked where it is used
            pdf=pdf,
        )
    if format != "terminal":
        print_files(written, format)
        return
    size = sum(path.stat().st_size for path in written) / 1e6
    index = out / "index.html"
    first = f"open {index}" if index in written else f"read {out / 'tables.html'}"
    seconds = time.monotonic() - begun
    print(f"{len(written)} files, {size:.1f} MB, in {seconds:.0f} s; {first}")


def beside(folder: Path) -> Path:
    """The default folder of a report: ``runs/demo`` to ``runs/demo-report``."""
    whole = folder if folder.name else folder.resolve()
    return whole.with_name(f"{whole.name}-report")


def explain(
    folder: RunFolder,
    number: Annotated[
        str, typer.Argument(help="the id of a number (HTML and CSV tables), or SYSTEM/METRIC/STEM")
    ],
    aggregation: Aggregation = None,
    exclude_seen: ExcludeSeen = False,
    imports: Import = None,
    import_edition: ImportEdition = None,
    import_family: ImportFamily = None,
    combine: Combine = None,
    format: Format = "terminal",
) -> None:
    """Print the values of the songs from which a number of a table was computed."""
    from benchsep.report.tables.explain import explain as explain_number

    text = explain_number(
        folder,
        number,
        aggregation=aggregation,  # type: ignore[arg-type]
        exclude_seen=exclude_seen,
        imports=imports_of(imports, import_edition, import_family),
        combine=combine or (),
        format=format,
    )
    print(text)
