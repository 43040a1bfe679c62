"""``benchsep report``: all of a run's tables, figures and its listening page in one folder.

Conventions
-----------
files   ``tables.{md,tex,csv,json,html}``, ``tables-standalone.tex``, ``figures/*.{png,pdf}``,
        ``figures/<song>/<stem>.{png,pdf}``, ``index.html`` with ``page/`` beside it
again   the same run gives the same bytes; what cannot be made is said on stderr, and the rest
        is written
"""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from benchsep._util.atomic import sweep
from benchsep.listeners import validity
from benchsep.report import excerpts as listen
from benchsep.report.figures import draw as figures
from benchsep.report.tables import captions
from benchsep.report.tables.build import is_headline, ordered, tables
from benchsep.report.tables.model import group_of
from benchsep.report.tables.published import published_table
from benchsep.report.tables.render import latex_document, render
from benchsep.report.tables.spread import Spread, spread_tables
from benchsep.stats.core import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd

    from benchsep.metrics.metric import ValueTraits
    from benchsep.report.excerpts import Song
    from benchsep.report.tables.model import Table

FORMATS = ("md", "tex", "csv", "json", "html")


@dataclass(frozen=True)
class Loaded:
    """A run, read once."""

    frame: pd.DataFrame
    costs: pd.DataFrame
    manifest: dict[str, Any]
    traits: dict[str, ValueTraits]
    tables: list[Table]

    @property
    def families(self) -> dict[str, str]:
        """Label to family, in table order."""
        return {row.system: row.family for table in self.tables[:1] for row in table.rows}

    @property
    def metrics(self) -> list[str]:
        return ordered(set(self.frame["metric"]) & set(self.traits), self.traits)


def load(
    folder: Path,
    *,
    improvement: bool = False,
    intervals: bool = True,
    aggregation: Literal["mean", "median"] | None = None,
) -> Loaded:
    """Cells, costs, manifest and tables of a run folder.

    ``aggregation`` replaces the statistic over songs, and over frames where they are stored.
    """
    from benchsep.runner.frame import load_costs, load_run
    from benchsep.runner.store import Store
    from benchsep.runner.traits import traits_in
    from benchsep.stats import core as stats

    frame, manifest = load_run(folder), Store(folder).manifest()
    costs = load_costs(folder)
    frame, traits = stats.reaggregated(frame, traits_in(frame, manifest), aggregation)
    made = tables(frame, costs, manifest, traits, improvement=improvement, intervals=intervals)
    made = with_spread(made, frame, manifest, traits)
    for edition in dict.fromkeys(table.edition for table in made):
        published = published_table(made, edition)
        if published:
            made.append(published)
    return Loaded(frame, costs, manifest, traits, made)


def with_spread(
    made: Sequence[Table],
    frame: pd.DataFrame,
    manifest: dict[str, Any],
    traits: dict[str, ValueTraits],
) -> list[Table]:
    """The tables, and after them those of draws and tails of each edition."""
    whole = list(made)
    for edition in dict.fromkeys(table.edition for table in made):
        first = next(table for table in made if table.edition == edition)
        part = frame[(frame["edition"].astype(str) == edition) & frame["metric"].isin(list(traits))]
        headlines = [column.metric for column in first.columns if column.kind == "score"]
        spread = Spread(part, traits, manifest, edition, first.rows, headlines)
        whole += spread_tables(spread, first=len(whole) + 1)
    return whole


def write_report(
    folder: str | Path,
    out: str | Path,
    *,
    max_songs: int = 3,
    seconds: float = 20.0,
    page: bool = True,
    root: str | None = None,
    improvement: bool = False,
    aggregation: Literal["mean", "median"] | None = None,
) -> list[Path]:
    """Write everything; see the module.

    Parameters
    ----------
    max_songs
        Songs with spectrograms and, on the page, with audio: those on which the metrics
        disagree most. 0 writes none and needs no data set.
    seconds
        Of each song, at most so much is drawn and played: where its stems are most active.
    page
        Whether to write the listening page.
    root
        Where the data set lies, if not where ``MUSDB_PATH`` says.
    aggregation
        One statistic over songs and stored frames, in place of each metric's own.

    Returns
    -------
    list of Path
        The files written, the tables first.

    Raises
    ------
    StoreError
        if ``folder`` is no run.
    """
    from benchsep.runner.store import Store

    folder, out = Path(folder), Path(out)
    run = load(folder, improvement=improvement, aggregation=aggregation)
    written = write_tables(run.tables, out)
    summary = _summary_figures(run, out / "figures")
    written += summary
    source = listen.Source(Store(folder), root, say=say, seconds=seconds)
    names = telling_songs(run, max_songs)
    songs = source.songs(names, listen.audible(run.families)) if names else iter(())
    drawn = _drawn(songs, out / "figures", written)
    if page:
        from benchsep.report.site.build import write_site

        pictures = [path for path in summary if path.suffix == ".png"]
        written += write_site(run, drawn, out, pictures=pictures)
    else:
        deque(drawn, maxlen=0)
    sweep([out, *(path.parent for path in written)])
    return written


def _drawn(songs: Iterable[Song], folder: Path, written: list[Path]) -> Iterator[Song]:
    """Draws each song as it passes by, so that one song at a time is in memory."""
    for song in songs:
        written += _spectrograms(song, folder)
        yield song


def say(line: str) -> None:
    """A line for the user about what is left out."""
    from benchsep._util.escape import visible

    print(f"benchsep: {visible(line)}", file=sys.stderr)


def write_tables(made: Sequence[Table], out: Path) -> list[Path]:
    """``tables.*`` in every format, and a LaTeX document of its own."""
    texts = {f"tables.{format}": render(made, format) for format in FORMATS}
    texts["tables-standalone.tex"] = latex_document(made)
    return [_text(out / name, text) for name, text in texts.items()]


def _text(path: Path, text: str) -> Path:
    from benchsep._util.atomic import write_atomically

    write_atomically(path, text if text.endswith("\n") else f"{text}\n")
    return path


# -- figures ------------------------------------------------------------------------------------


def telling_songs(run: Loaded, most: int) -> list[str]:
    """At most ``most`` songs, those first on which the metrics disagree most."""
    tracks = sorted(set(map(str, run.frame["track"])))
    pair = opposed(run)
    apart = listen.disagreement(run.frame, *pair[:2], pair[2]) if pair else {}
    return listen.chosen(tracks, apart, most)


def opposed(run: Loaded) -> tuple[str, str, int] | None:
    """The two metrics whose disagreement is shown: the first that tolerates misalignment and the
    first that does not, with the product of their directions.
    """
    tolerant = [m for m in run.metrics if not validity.fails_across(m, run.traits[m])]
    strict = [m for m in run.metrics if m not in tolerant]
    pair = (tolerant[:1] + strict[:1]) if tolerant and strict else tolerant[:2]
    if len(pair) < 2:
        return None
    return pair[0], pair[1], run.traits[pair[0]].direction * run.traits[pair[1]].direction


def _spectrograms(song: Song, folder: Path) -> list[Path]:
    written = []
    for stem, reference in song.references.items():
        estimates = {s: found[stem] for s, found in song.estimates.items() if stem in found}
        figure = figures.spectrogram_figure(
            song.mixture, reference, estimates, title=f"{song.name}: {stem}{_from(song)}"
        )
        written += figures.save(figure, listen.to_folder(folder, song.name) / stem)
    return written


def _from(song: Song) -> str:
    return f", from {song.start:.0f} s" if song.start else ""


def _summary_figures(run: Loaded, folder: Path) -> list[Path]:
    written = []
    for metric in filter(lambda m: is_headline(m, run.traits), run.metrics):
        made = _distribution(run, metric)
        if made is not None:
            written += figures.save(made, folder / f"songs-{metric}")
    for name, made in (
        ("differences", _forest(run)),
        ("cost", _cost(run)),
        ("disagreement", _disagreement(run)),
    ):
        if made is not None:
            written += figures.save(made, folder / name)
    return written


def _song_values(run: Loaded) -> Mapping[tuple[str, str, str], Mapping[str, float]]:
    from benchsep.report.tables.summary import with_averages
    from benchsep.stats import core as stats

    # Figures show the edition of the first table: editions never share one.
    edition = run.tables[0].edition if run.tables else ""
    frame = run.frame[run.frame["edition"].astype(str) == edition]
    frame = frame[frame["metric"].isin(run.metrics)]
    return with_averages(stats.song_values(frame), frame)


def _headline_stem(run: Loaded, metric: str) -> str:
    stems = sorted(set(run.frame.loc[run.frame["metric"] == metric, "stem"]))
    return stems[0] if len(stems) == 1 else AVERAGE


def _axis(run: Loaded, metric: str) -> str:
    traits = run.traits[metric]
    unit = f" ({traits.unit})" if traits.unit else ""
    better = {1: ", higher is better", -1: ", lower is better"}.get(traits.direction, "")
    return f"{captions.display(metric, run.traits)}{unit}{better}"


def _distribution(run: Loaded, metric: str) -> Any:
    stem = _headline_stem(run, metric)
    values = _song_values(run)
    songs = {s: list(values.get((s, stem, metric), {}).values()) for s in run.families}
    most = max(map(len, songs.values()), default=0)
    if most < 2:
        return None
    notes = {s: _why_empty(run, s, stem, metric) for s in run.families}
    for system in filter(captions.is_reference, songs):
        if _off_scale(songs, system):
            notes[system] = f"off the scale: median {median(songs[system]):.1f}"
            songs[system] = []
    title = f"{captions.display(metric, run.traits)}, {_over(stem)}: {most} songs"
    return figures.distribution_figure(
        songs, run.families, label=_axis(run, metric), title=title, notes=notes
    )


def _off_scale(songs: Mapping[str, Sequence[float]], system: str) -> bool:
    """Whether a system lies so far from all others that they would shrink to a line."""
    others = [v for s, values in songs.items() if s != system for v in values]
    if not others or not songs[system]:
        return False
    span = max(others) - min(others)
    return min(songs[system]) > max(others) + span or max(songs[system]) < min(others) - span


def _over(stem: str) -> str:
    return "mean over stems" if stem == AVERAGE else stem


def _why_empty(run: Loaded, system: str, stem: str, metric: str) -> str:
    """What the first table says in place of the value: the reason, or that stems are missing."""
    cell = run.tables[0].cell(system, metric, stem)
    return cell.note if cell and cell.note else "not all stems" if stem == AVERAGE else ""


def _forest(run: Loaded) -> Any:
    """Every pair, the better first, from the clearest lead down."""
    from benchsep.stats import core as stats

    if not run.metrics or not run.traits[run.metrics[0]].direction:
        return None
    metric = run.metrics[0]
    edition, stem = run.tables[0].edition, _headline_stem(run, metric)
    part = run.frame[
        (run.frame["edition"].astype(str) == edition) & (run.frame["metric"] == metric)
    ]
    compared = stats.compare(stats.with_average(part), run.traits)
    compared = compared[compared["stem"] == stem].dropna(subset=["difference", "low", "high"])
    records: list[Any] = compared.to_dict("records")
    rows = sorted((_lead(r, run.traits[metric].direction) for r in records), key=lambda r: -r[1])
    if not rows:
        return None
    name = captions.display(metric, run.traits)
    better = "" if run.traits[metric].direction > 0 else ", sign turned"
    label = f"lead of the first over the second in {name}{better} (95 % bootstrap interval)"
    title = f"Paired differences in {name}, {_over(stem)}: {max(r['n'] for r in records)} songs"
    return figures.forest_figure(rows, label=label, title=title)


def _lead(record: Mapping[str, Any], direction: int) -> tuple[str, float, float, float]:
    """A pair with the better one first, so that the difference is positive."""
    middle, low, high = (direction * record[k] for k in ("difference", "low", "high"))
    low, high = sorted((low, high))
    if middle < 0:
        return f"{record['b']} − {record['a']}", -middle, -high, -low
    return f"{record['a']} − {record['b']}", middle, low, high


def _cost(run: Loaded) -> Any:
    if not run.metrics or not run.tables:
        return None
    metric = run.metrics[0]
    stem = _headline_stem(run, metric)
    points, rulers = {}, {}
    for row in run.tables[0].rows:
        found = [
            run.tables[0].cell(row.system, *key, kind=kind)
            for key, kind in (
                ((metric, stem), "score"),
                (("rtf", ""), "cost"),
                (("peak_memory_mb", ""), "cost"),
            )
        ]
        quality, rtf, memory = (
            float("nan") if c is None or c.value is None else c.value for c in found
        )
        if quality != quality:
            continue
        if group_of(row.family) == "yardstick":
            rulers[row.system] = quality
        else:
            points[row.system] = (quality, rtf, memory)
    if not any(rtf == rtf for _, rtf, _ in points.values()):
        return None
    title = f"Quality against cost: {captions.display(metric, run.traits)}, {_over(stem)}"
    return figures.cost_figure(
        points, run.families, label=_axis(run, metric), title=title, rulers=rulers
    )


def _disagreement(run: Loaded) -> Any:
    pair = opposed(run)
    if pair is None:
        return None
    one, other, _ = pair
    stem = next((s for s in (AVERAGE, "vocals") if _has(run, one, s) and _has(run, other, s)), None)
    if stem is None:
        return None
    values = _song_values(run)
    points = {}
    for system, family in run.families.items():
        if group_of(family) == "yardstick":
            continue
        x, y = (values.get((system, stem, m), {}) for m in (one, other))
        both = {t: (x[t], y[t]) for t in sorted(x.keys() & y.keys())}
        if both:
            points[system] = both
    if sum(map(len, points.values())) < 3:
        return None
    return figures.disagreement_figure(
        points,
        run.families,
        labels=(_axis(run, one), _axis(run, other)),
        title=f"Where two metrics disagree, {_over(stem)}",
    )


def _has(run: Loaded, metric: str, stem: str) -> bool:
    return any((s, m) == (stem, metric) for _, s, m in _song_values(run))
