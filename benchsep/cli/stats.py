"""Statistics of a finished run: compare, power, draws, tails; and the export for museval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep._util.words import amount
from benchsep.cli.options import (
    ExcludeSeen,
    Format,
    Import,
    ImportEdition,
    ImportFamily,
    Metrics,
    RunFolder,
    Stems,
    assignments,
    imports_of,
    split_words,
)
from benchsep.cli.output import message, print_files, print_table
from benchsep.errors import UsageError
from benchsep.metrics.names import column_named, columns_named, keys_named

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.imported.join import Imports
    from benchsep.metrics.metric import ValueTraits


def compare(
    folder: RunFolder,
    against: Annotated[str | None, typer.Option(help="compare only with this system")] = None,
    metrics: Metrics = None,
    stems: Stems = None,
    margin: Annotated[
        list[str] | None, typer.Option(help="METRIC=VALUE: a smaller difference counts as a tie")
    ] = None,
    yardsticks: Annotated[bool, typer.Option(help="also compare oracles and the mixture")] = False,
    imports: Import = None,
    import_edition: ImportEdition = None,
    import_family: ImportFamily = None,
    exclude_seen: ExcludeSeen = False,
    seed: Annotated[int, typer.Option(min=0, help="seed of the bootstrap")] = 0,
    format: Format = "terminal",
) -> None:
    """Compare systems in pairs over songs: difference, interval, p value (Holm), ties."""
    from benchsep import stats

    cells, traits = load_cells(
        folder,
        metrics,
        imports=imports_of(imports, import_edition, import_family),
        exclude_seen=exclude_seen,
    )
    cells = _only(stats.with_average(cells), "stem", stems)
    margins = keys_named(assignments(margin or ()), traits)
    differences = stats.compare(
        cells, traits, against=against, yardsticks=yardsticks, margins=margins, seed=seed
    )
    if differences.empty and format == "terminal":
        message(ONE_SYSTEM)
        return
    print_table(differences, format)
    if reason := stats.too_few_songs(differences):
        message(reason)
    if format == "terminal":
        print_table(stats.groups(differences, stats.aggregate(cells, traits, seed=seed)), format)
        print(COMPARED)


ONE_SYSTEM = (
    "fewer than two systems to compare; run another one into this folder, or also compare the "
    "mixture and the oracles (--yardsticks)"
)

COMPARED = (
    "n of total: songs that both systems have, of the run. gap: difference of the values in the "
    "table.\ndifference: a - b over songs (mean or median, as in the table); low, high: 95 % "
    "bootstrap.\np: exact sign-flip test; p_holm: the same after Holm's correction over the "
    "pairs of a column.\nverdict: a or b: this one is better; tied: equal within the margin "
    "(TOST, p_tied below 5 %);\n         open: neither is shown.\nsign_conflict: the gap and the "
    "median of the differences have different signs.\nletters: systems that share a letter are "
    "not shown to differ."
)


def power(
    folder: RunFolder,
    effect: Annotated[
        float,
        typer.Option(
            help="the smallest difference between two systems that the test should detect"
        ),
    ],
    metric: Annotated[str, typer.Option(help="the metric or column, e.g. visqol or bsseval.sdr")],
    target: Annotated[float, typer.Option(help="probability that the test detects it")] = 0.8,
    format: Format = "terminal",
) -> None:
    """Estimate how many songs are needed to detect a difference, from the spread in a run."""
    from benchsep import stats

    cells, traits = load_cells(folder, None)
    cells, name = stats.with_average(cells), column_named(metric, traits)
    print_table(stats.power(cells, name, effect, target=target), format)


def draws(
    folder: RunFolder, metrics: Metrics = None, stems: Stems = None, format: Format = "terminal"
) -> None:
    """Show how much the seed changes: mean, best and worst of k draws, and variances."""
    from benchsep import stats

    cells, traits = load_cells(folder, metrics)
    spread = stats.draws(_only(cells, "stem", stems), traits)
    if spread.empty:
        raise UsageError("no system has two draws of two songs; run the suite again with --draws 3")
    print_table(spread, format)


def tails(
    folder: RunFolder,
    metrics: Metrics = None,
    stems: Stems = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=VALUE: a song with a worse value counts as failed"),
    ] = None,
    fraction: Annotated[float, typer.Option(help="share of the songs that count as worst")] = 0.05,
    format: Format = "terminal",
) -> None:
    """List the worst songs of each system, and how often the system fails."""
    from benchsep import stats

    cells, traits = load_cells(folder, metrics)
    cells = _only(cells, "stem", stems)
    limits = keys_named(assignments(threshold or ()), traits)
    print_table(stats.tails(cells, traits, thresholds=limits, fraction=fraction), format)


def export_museval(
    folder: RunFolder,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="folder for <system>/<split>/<track>.json")
    ],
    format: Format = "terminal",
) -> None:
    """Write the BSSEval values of each window as museval's JSON files."""
    from benchsep.museval.io import export_run, left_over
    from benchsep.runner.frame import load_cells_and_costs
    from benchsep.runner.notes.said import warnings_of
    from benchsep.runner.store import Store

    cells, costs = load_cells_and_costs(folder)
    written = export_run(cells, out)
    if other := left_over(written):
        message(
            f"{out} holds {amount(len(other), 'file')} of other songs, e.g. {other[0]}; readers "
            "would take them for results of this run. Remove them, or export to a new folder"
        )
    for sentence in warnings_of(cells, costs, Store(folder).manifest()):
        message(sentence)
    if format == "terminal":
        print(f"{len(written)} files under {out}")
    else:
        print_files(written, format)


def load_cells(
    folder: Path,
    metrics: str | None,
    *,
    imports: Imports | None = None,
    exclude_seen: bool = False,
) -> tuple[pd.DataFrame, dict[str, ValueTraits]]:
    """The cells of a run with the given ``metrics``, and the traits of their columns.

    Parameters
    ----------
    metrics : metrics or columns, comma separated; ``None``: all of the run.
    imports : results of others, added as further systems; notes on them are printed on stderr.
    exclude_seen : leave out the cells of songs that a system was trained on.

    Raises
    ------
    StoreError, UsageError
        the folder is not a run folder; the run does not have a metric; see also
        :func:`benchsep.imported.join.with_imports`.
    """
    from benchsep.imported.join import with_imports
    from benchsep.runner.frame import load_cells_and_costs
    from benchsep.runner.notes.said import warnings_of
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in
    from benchsep.stats import with_combined

    own, costs = load_cells_and_costs(folder)
    joined = with_imports(own, Store(folder).manifest(), imports)
    for line in joined.messages:
        message(line)
    cells, manifest = joined.cells, joined.manifest
    if exclude_seen:
        from benchsep.runner.notes.seen import without_seen

        cells = without_seen(cells, manifest)
    for sentence in warnings_of(cells, costs, manifest):
        message(sentence)
    cells, traits = with_combined(cells, traits_in(cells, manifest))
    return _of_metrics(cells, traits, metrics)


def _of_metrics(
    cells: pd.DataFrame, traits: dict[str, ValueTraits], metrics: str | None
) -> tuple[pd.DataFrame, dict[str, ValueTraits]]:
    """Cells and traits of the comma-separated ``metrics``; ``None``: all."""
    if metrics is None:
        return cells, traits
    columns = columns_named(split_words(metrics), traits)
    return cells[cells["metric"].isin(columns)], {c: traits[c] for c in columns}


def _only(cells: pd.DataFrame, column: str, words: str | None) -> pd.DataFrame:
    """The rows whose ``column`` is one of the comma-separated ``words``."""
    if words is None:
        return cells
    names, there = split_words(words), sorted(set(cells[column]))
    if unknown := [name for name in names if name not in there]:
        raise UsageError(f"the run has no {column} {', '.join(unknown)}; there are: {there}")
    return cells[cells[column].isin(names)]
