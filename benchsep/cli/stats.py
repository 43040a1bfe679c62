"""The commands that ask questions of a finished run: compare, power, draws, tails, validity …

Each parses, calls one function of :mod:`benchsep.stats`, :mod:`benchsep.gate`,
:mod:`benchsep.listeners` or :mod:`benchsep.museval`, and prints. :func:`register` adds them
to the program; nothing heavy is imported before a command runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from benchsep.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

RunFolder = Annotated[Path, typer.Argument(help="a run folder", metavar="RUN")]
Format = Annotated[str, typer.Option("--format", help="table, md, csv or json")]
Metrics = Annotated[str | None, typer.Option(help="columns or metrics, comma separated")]
Stems = Annotated[str | None, typer.Option(help="stems, comma separated; average is one")]


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    for command in (compare, power, draws, tails, noise, validity):
        app.command()(command)
    app.command("export-museval")(export_museval)


def compare(
    folder: RunFolder,
    against: Annotated[str | None, typer.Option(help="only pairs with this system")] = None,
    metrics: Metrics = None,
    stems: Stems = None,
    margin: Annotated[list[str] | None, typer.Option(help="METRIC=VALUE: a tie within")] = None,
    yardsticks: Annotated[bool, typer.Option(help="oracles and the mixture compete")] = False,
    museval: Annotated[Path | None, typer.Option(help="museval results to compare with")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    format: Format = "table",
) -> None:
    """Compare systems in pairs, song by song: difference, interval, Holm's p, ties."""
    from benchsep.stats import core as stats

    frame, traits = _load(folder, metrics, museval=museval)
    frame = _only(stats.with_average(frame), "stem", stems)
    found = stats.compare(
        frame,
        traits,
        against=against,
        yardsticks=yardsticks,
        margins=_pairs_of(margin or ()),
        seed=seed,
    )
    _print(found, format)
    if format != "table":
        return
    _print(stats.groups(found, stats.aggregate(frame, traits, seed=seed)), format)
    print(COMPARED)


COMPARED = """\
difference: a - b paired by song, with a 95 % bootstrap interval; p_holm over all rows.
verdict: a or b is better; tied: equivalent within the margin (TOST, 5 %); open: neither is shown.
sign_conflict: the gap in the table points the other way than the median paired difference.
letters: systems that share one cannot be told apart."""


def power(
    folder: RunFolder,
    effect: Annotated[float, typer.Option(help="paired difference to be seen")],
    metric: Annotated[str, typer.Option(help="e.g. visqol or bsseval.sdr")],
    target: Annotated[float, typer.Option(help="power")] = 0.8,
    format: Format = "table",
) -> None:
    """How many songs are needed to see an effect, from the spread measured in this run."""
    from benchsep.stats import core as stats

    frame, _ = _load(folder, None)
    _print(stats.power(stats.with_average(frame), metric, effect, target=target), format)


def draws(
    folder: RunFolder, metrics: Metrics = None, stems: Stems = None, format: Format = "table"
) -> None:
    """What another seed changes: mean, best and worst of k, variance by song, seed, rest."""
    from benchsep.stats import core as stats

    frame, traits = _load(folder, metrics)
    found = stats.draws(_only(frame, "stem", stems), traits)
    if found.empty:
        raise UsageError("no system has two draws of two songs; run with --draws 3")
    _print(found, format)


def tails(
    folder: RunFolder,
    metrics: Metrics = None,
    stems: Stems = None,
    threshold: Annotated[list[str] | None, typer.Option(help="METRIC=VALUE: failed beyond")] = None,
    fraction: Annotated[float, typer.Option(help="of the songs that are the tail")] = 0.05,
    format: Format = "table",
) -> None:
    """The worst songs of each system, named, and how often it fails."""
    from benchsep.stats import core as stats

    frame, traits = _load(folder, metrics)
    frame = _only(frame, "stem", stems)
    limits = _pairs_of(threshold or ())
    _print(stats.tails(frame, traits, thresholds=limits, fraction=fraction), format)


def noise(
    folders: Annotated[list[Path], typer.Argument(help="runs of one suite", metavar="RUN...")],
) -> None:
    """How far repeated runs lie apart, by metric, stem and system."""
    from benchsep.gate.check import noise as measure
    from benchsep.gate.render import render_noise
    from benchsep.runner.frame import load_run

    print(render_noise(measure([load_run(folder) for folder in folders])), end="")


def validity(
    ratings: Annotated[Path, typer.Argument(help="CSV of ratings", metavar="RATINGS.csv")],
    run: Annotated[Path | None, typer.Option(help="take the metrics from this run")] = None,
    key: Annotated[Path | None, typer.Option(help="webMUSHRA results: conditions.csv")] = None,
    screen: Annotated[
        bool, typer.Option("--screen/--no-screen", help="BS.1534 post-screening of raters")
    ] = True,
    metrics: Metrics = None,
    direction: Annotated[list[str] | None, typer.Option(help="COLUMN=+1 or -1")] = None,
    seed: Annotated[int, typer.Option()] = 0,
    format: Format = "table",
) -> None:
    """How often each metric orders two systems on a song as listeners do.

    Reads any CSV with a song, a system, a family and a rating; the CSV of the listening page's
    MUSHRA test; and webMUSHRA's results, with the key that `benchsep webmushra` wrote.
    """
    from benchsep.listeners import validity as judge

    families = None
    if run is not None:
        frame, _ = _load(run, metrics)
        families = dict(zip(frame["system"], frame["family"], strict=True))
    table = _ratings(ratings, key, families, screen=screen)
    if run is not None:
        table = judge.attach_metrics(table, frame)
    directions = {k: int(v) for k, v in _pairs_of(direction or ()).items()}
    chosen = None if metrics is None or run is not None else _split(metrics)
    if format == "table" and chosen is None and not judge.judged(table, directions):
        print("no metric stands beside the ratings: give --run RUN to judge some", file=sys.stderr)
    else:
        found = judge.agreement(table, metrics=chosen, directions=directions, seed=seed)
        if format != "table":
            return _print(found, format)
        print(judge.render(found))
    _print(judge.rating_differences(table, seed=seed), format)
    print("difference: mean rating of a minus b, paired by song, 95 % song bootstrap")


def _ratings(
    path: Path, key: Path | None, families: dict[str, str] | None, *, screen: bool
) -> pd.DataFrame:
    """Ratings by clip, of a listening test after its post-screening."""
    from benchsep.listeners import validity as judge
    from benchsep.report import mushra

    if not mushra.is_listening_test(path):
        if key is not None:
            raise UsageError(f"{path} is no result of a MUSHRA test: --key has no use")
        return judge.read_ratings(path, families=families)
    table = mushra.read_ratings(path, key)
    return judge.clips(screened(table, path) if screen else table, path)


def screened(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Ratings of the raters who pass post-screening; the others are named on stderr."""
    from benchsep._util.escape import visible
    from benchsep.report import mushra

    kept, out = mushra.screen(table)
    raters = table["rater"].nunique()
    names = f": left out {', '.join(map(visible, out))}" if out else ""
    print(f"post-screening kept {raters - len(out)} of {raters} raters{names}", file=sys.stderr)
    if kept.empty:
        raise UsageError(f"{path}: no rater passes post-screening; --no-screen keeps them all")
    return kept


def export_museval(
    folder: RunFolder,
    out: Annotated[Path, typer.Option("-o", "--out", help="OUT/<system>/<split>/<track>.json")],
) -> None:
    """Write the BSSEval frames as museval's JSON files."""
    from benchsep.museval.io import export_run
    from benchsep.runner.frame import load_run

    print(f"{len(export_run(load_run(folder), out))} files under {out}")


def _load(
    folder: Path, metrics: str | None, *, museval: Path | None = None
) -> tuple[pd.DataFrame, dict[str, ValueTraits]]:
    """The run's table, narrowed to some metrics, and the traits of what is left."""
    from benchsep.museval.io import import_runs
    from benchsep.runner.frame import load_run
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in

    frame = load_run(folder)
    if museval is not None:
        import pandas as pd

        edition = str(frame["edition"].iloc[0])
        others = import_runs(museval, edition=edition)
        print(f"taken as scored on edition {edition}: {museval}", file=sys.stderr)
        known = set(frame["metric"])
        frame = pd.concat([frame, others[others["metric"].isin(known)]], ignore_index=True)
    traits = traits_in(frame, Store(folder).manifest())
    if metrics is not None:
        wanted = _split(metrics)
        columns = [c for c in traits if c in wanted or c.split(".")[0] in wanted]
        frame = _only(frame, "metric", ",".join(columns) or metrics)
        traits = {c: traits[c] for c in columns}
    return frame, traits


def _only(frame: pd.DataFrame, column: str, wanted: str | None) -> pd.DataFrame:
    if wanted is None:
        return frame
    names, known = _split(wanted), sorted(set(frame[column]))
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no {column} {', '.join(unknown)} in the run; there are: {known}")
    return frame[frame[column].isin(names)]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _pairs_of(items: Sequence[str]) -> dict[str, float]:
    """``METRIC=VALUE`` options as a dict."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise UsageError(f"{item!r}: expected METRIC=VALUE, e.g. visqol=0.1") from None
        if not equals or not name:
            raise UsageError(f"{item!r}: expected METRIC=VALUE, e.g. visqol=0.1")
    return found


def _print(frame: Any, form: str) -> None:
    from benchsep._util.text_table import render

    print(render(frame, form), end="" if form != "table" else "\n")
