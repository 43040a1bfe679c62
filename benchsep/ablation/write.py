"""The report of an ablation: Markdown, LaTeX, HTML, CSV, a forest plot, what may be concluded.

Conventions
-----------
``NAME.md``    both tables, the sentences, the figure
``NAME.tex``   the tables (booktabs, siunitx)
``NAME.html``  the tables (a fragment)
``NAME.csv``   every difference at full precision, all stems and metrics
``NAME.pdf .png``  paired differences per stem with their intervals
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util import escape
from benchsep._util.atomic import write_atomically
from benchsep.ablation.effects import Effects, spread, table_columns
from benchsep.ablation.execute import Executed
from benchsep.ablation.grid import expand
from benchsep.metrics.metric import ValueTraits
from benchsep.report.figures import draw as figures
from benchsep.report.tables.captions import display, warnings
from benchsep.report.tables.columns import is_speech_model
from benchsep.report.tables.model import Cell, Column, Row, Table
from benchsep.report.tables.render import render
from benchsep.stats.core import AVERAGE, song_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

ALPHA = 0.05


def write(name: str, done: Executed, effects: Effects, out: Path) -> list[Path]:
    """Write the report files of one ablation into ``out``."""
    tables = [values_table(done, effects), differences_table(effects)]
    image = _forest(effects, out / name)
    texts = {
        "md": _markdown(name, done, effects, tables, bool(image)),
        "tex": render(tables, "tex"),
        "html": render(tables, "html"),
        "csv": _escaped(effects.differences).to_csv(index=False),
    }
    for format, text in texts.items():
        write_atomically(out / f"{name}.{format}", text)
    return [*(out / f"{name}.{format}" for format in texts), *image]


def _escaped(frame: pd.DataFrame) -> pd.DataFrame:
    texts = ("variant", "base", "stem", "metric", "verdict")
    return frame.assign(**{c: [escape.csv_cell(str(v)) for v in frame[c]] for c in texts})


# -- tables ---------------------------------------------------------------------------------


def values_table(done: Executed, effects: Effects) -> Table:
    """Every variant's values, the mean over songs of the mean over seeds, and the yardsticks'."""
    ablation, columns = effects.ablation, table_columns(effects.ablation)
    heads = [_column(metric, stem, effects.traits) for metric, stem in columns]
    if ablation.published:
        heads.append(
            Column(ablation.headline, "published", "published (other data)", "", 2, 0, "cost")
        )
    songs = song_values(effects.cells) if len(effects.cells) else {}
    total = effects.cells["track"].nunique()
    labels = dict.fromkeys(label for label, _, _ in effects.yardsticks)
    rows: list[Row] = []

    def add(
        name: str,
        family: str,
        group: str,
        values: Any,
        reason: str = "",
        known: float | None = None,
    ) -> None:
        place = f"t1.r{len(rows) + 1}c"
        cells = [
            _mean(f"{place}{i}", values.get((name, stem, metric), {}), total, reason)
            for i, (metric, stem) in enumerate(columns, 1)
        ]
        if ablation.published:
            cells.append(Cell(f"{place}{len(cells) + 1}", known, 0, 0))
        rows.append(Row(name, family, group, tuple(cells)))

    for variant in expand(ablation):
        reason = next((r for (v, _), r in done.failed.items() if v == variant.name), "")
        known = next((p.value for p in ablation.published if p.variant == variant.name), None)
        group = "control" if variant.name == ablation.control else "variant"
        add(variant.name, "variant", group, songs, reason, known)
    for label in labels:
        add(label, "oracle", "yardstick", effects.yardsticks)
    return Table(
        "t1",
        f"{ablation.title}: values",
        tuple(heads),
        tuple(rows),
        _caption(effects, total),
        warnings=tuple(
            warnings(
                list(dict.fromkeys(metric for metric, _ in columns)),
                effects.traits,
                families=frozenset(effects.cells["family"]),
                labels=frozenset(labels),
                stems=frozenset(stem for metric, stem in columns if is_speech_model(metric)),
            )
        ),
        edition=effects.edition,
    )


def _mean(place: str, songs: Mapping[str, float], total: int, reason: str) -> Cell:
    if not songs:
        return Cell(place, None, 0, total, note="not trained" if reason else "–")
    return Cell(place, math.fsum(songs.values()) / len(songs), len(songs), total)


def _column(metric: str, stem: str, traits: dict[str, ValueTraits] | Any) -> Column:
    found = traits.get(metric)
    unit, direction = (found.unit, found.direction) if found else ("", 0)
    digits = 1 if unit == "dB" else 2
    name = display(metric, traits) if found else metric
    return Column(metric, stem, f"{name} {stem}", unit, digits, direction)


def differences_table(effects: Effects) -> Table:
    """Differences to the base in the headline metric: per stem, average, p, seed spread."""
    ablation = effects.ablation
    name = display(ablation.headline, effects.traits)
    stems = [stem for metric, stem in table_columns(ablation) if metric == ablation.headline]
    heads = [
        Column(ablation.headline, stem, f"Δ {stem}", "", 2, 0, "gain", spread=True)
        for stem in stems
    ] + [
        Column("p_holm", AVERAGE + " p", "p (Holm)", "", 3, 0, "cost"),
        Column("spread", AVERAGE + " spread", "seed spread", "", 2, 0, "cost"),
    ]
    rows = []
    for number, variant in enumerate(expand(ablation)[1:], 1):
        found = [_difference(effects, variant.name, stem) for stem in stems]
        average = found[stems.index(AVERAGE)]
        cells = [
            Cell(
                f"t2.r{number}c{i}",
                _number(row, "difference"),
                int(row.get("n", 0)),
                int(row.get("total", 0)),
                letters="*" if row.get("p_holm", 1.0) < ALPHA else "",
                low=_number(row, "low"),
                high=_number(row, "high"),
            )
            for i, row in enumerate(found, 1)
        ]
        for key in ("p_holm", "spread"):
            cells.append(Cell(f"t2.r{number}c{len(cells) + 1}", _number(average, key), 0, 0))
        group = "control" if variant.name == ablation.control else "variant"
        rows.append(Row(variant.name, "variant", group, tuple(cells)))
    base = expand(ablation)[0].name
    return Table(
        "t2",
        f"{ablation.title}: {name} against “{base}”, paired by song",
        tuple(heads),
        tuple(rows),
        (
            "Differences to the base on the same songs, each song averaged over seeds; in brackets "
            "the 95 % interval of a bootstrap over songs (not adjusted); * p < .05 by a paired "
            "sign-flip test, Holm-adjusted over every variant and column of the table of values.",
            "Seed spread: how far the means of the variant's own seeds lie apart, the measure of "
            "what another training of the same thing changes.",
        ),
        edition=effects.edition,
    )


def _difference(effects: Effects, variant: str, stem: str) -> dict[str, Any]:
    frame = effects.differences
    rows = frame[
        (frame["variant"] == variant)
        & (frame["stem"] == stem)
        & (frame["metric"] == effects.ablation.headline)
    ]
    return {str(k): v for k, v in rows.iloc[0].items()} if len(rows) else {}


def _number(row: dict[str, Any], key: str) -> float | None:
    value = row.get(key)
    return None if value is None or not math.isfinite(value) else float(value)


def _caption(effects: Effects, total: int) -> tuple[str, ...]:
    ablation = effects.ablation
    seeds = len(ablation.seeds)
    kind = "training seeds" if ablation.trainer else "draws"
    drawn = f", {ablation.draws} draws of each song averaged" if ablation.draws > 1 else ""
    lines = [
        f"Means over {total} songs ({effects.edition}) of means over {seeds} {kind}{drawn}; "
        "the first row is the base."
    ]
    if ablation.published:
        lines.append(
            f"Published: {ablation.source}; other data, another scale and other tools, so the two "
            "columns must not be compared with each other, only the direction of their differences."
        )
    return tuple(lines)


# -- sentences ------------------------------------------------------------------------------


def sentences(done: Executed, effects: Effects) -> list[str]:
    """What may be concluded, one sentence per variant, from the figures alone."""
    ablation = effects.ablation
    variants = expand(ablation)
    base, name = variants[0].name, display(ablation.headline, effects.traits)
    found = []
    for variant in variants[1:]:
        row = _difference(effects, variant.name, AVERAGE)
        if not row:
            reason = next(
                (r for (v, _), r in done.failed.items() if v == variant.name), "no values"
            )
            found.append(f"“{variant.name}” has no result: {reason}.")
            continue
        found.append(_sentence(effects, variant.name, base, name, row))
    return found


def _sentence(effects: Effects, variant: str, base: str, name: str, row: dict[str, Any]) -> str:
    direction = effects.traits[effects.ablation.headline].direction
    scatter = _scatter(effects, variant, base, AVERAGE)
    size = abs(row["difference"])
    measured = f"{_measured(row, name)}, {int(row['n'])} songs"
    control = variant == effects.ablation.control
    if not math.isfinite(row["p_holm"]):
        return f"“{variant}”: {int(row['n'])} songs are too few for a test against “{base}”."
    if not row["p_holm"] < ALPHA:
        but = _on_single_stems(effects, variant, base, name, direction)
        where = " on average" if but else ""
        text = f"“{variant}” is not shown to differ from “{base}”{where} ({measured}){but}"
        if control:
            text += ": this table cannot detect a broken condition, so nothing else in it counts"
    elif scatter is not None and scatter >= size:
        text = (
            f"“{variant}” differs from “{base}” ({measured}), but no more than two trainings of "
            f"the same thing do (seed spread {scatter:.2f}): no conclusion about the choice itself"
        )
    else:
        better = "better" if direction * row["difference"] > 0 else "worse"
        text = f"“{variant}” is {better} than “{base}” ({measured})"
        if control:
            text += ": the table does detect a broken condition"
    return text + "."


def _measured(row: dict[str, Any], name: str) -> str:
    interval = f"[{row['low']:+.2f}, {row['high']:+.2f}]"
    return f"{row['difference']:+.2f} {name} {interval}, p = {row['p_holm']:.3f}"


def _scatter(effects: Effects, variant: str, base: str, stem: str) -> float | None:
    """The larger spread of the two variants' own seeds; None without seeds."""
    metric = effects.ablation.headline
    spreads = [spread(effects.cells, v, stem, metric) for v in (variant, base)]
    return max(filter(math.isfinite, spreads), default=None)


def _on_single_stems(effects: Effects, variant: str, base: str, name: str, direction: int) -> str:
    """What an average without a difference may hide: stems that differ, by more than seeds do."""
    found = []
    for metric, stem in table_columns(effects.ablation):
        row = _difference(effects, variant, stem)
        if metric != effects.ablation.headline or stem == AVERAGE or not row:
            continue
        scatter = _scatter(effects, variant, base, stem) or 0.0
        if row["p_holm"] < ALPHA and abs(row["difference"]) > scatter:
            better = "better" if direction * row["difference"] > 0 else "worse"
            found.append(f"{better} on {stem} ({_measured(row, name)})")
    return f", but is {' and '.join(found)}" if found else ""


# -- files ----------------------------------------------------------------------------------


def _markdown(name: str, done: Executed, effects: Effects, tables: list[Table], image: bool) -> str:
    esc, ablation = escape.markdown, effects.ablation
    lines = [f"# {esc(ablation.title)}", "", render(tables, "md"), "## What may be concluded", ""]
    lines += [f"- {esc(sentence)}" for sentence in sentences(done, effects)]
    if ablation.caveat:
        lines += ["", esc(ablation.caveat.strip())]
    lines += _factor_lines(effects)
    if image:
        lines += ["", f"![Paired differences per stem]({name}.png)"]
    lines += ["", "## How each variant was made", "", *_made_lines(done), ""]
    return "\n".join(lines)


def _factor_lines(effects: Effects) -> list[str]:
    if effects.factors.empty:
        return []
    esc = escape.markdown
    lines = [
        "",
        "## Main effects and interactions",
        "",
        "| effect | difference | 95 % | p (Holm) |",
    ]
    lines.append("|:--|--:|:--|--:|")
    for row in effects.factors.itertuples():
        lines.append(
            f"| {esc(str(row.effect))} ({row.kind}) | {row.difference:+.2f} | "
            f"[{row.low:+.2f}, {row.high:+.2f}] | {row.p_holm:.3f} |"
        )
    name = display(effects.ablation.headline, effects.traits)
    lines += ["", f"On the average over stems of {esc(name)}, paired by song."]
    return lines


def _made_lines(done: Executed) -> list[str]:
    esc = escape.markdown
    if not done.tasks:
        rows = [f"- {esc(name)}: `{label}`" for (name, _), label in done.labels.items()]
        return ["Nothing was trained: the variants are options of one checkpoint.", "", *rows]
    head = ["variant", "seed", "identity", "CPU minutes", "computed on", "validation"]
    lines = [f"| {' | '.join(head)} |", "|:--|--:|:--|--:|:--|:--|"]
    for (variant, seed), task in done.tasks.items():
        facts = task.facts or {}
        minutes = f"{facts['cpu_seconds'] / 60:.1f}" if facts else "–"
        note = facts.get("note", done.failed.get((variant, seed), ""))
        where = facts.get("device", "–")
        cells = [esc(variant), seed, task.identity, minutes, esc(str(where)), esc(str(note))]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return [
        *lines,
        "",
        "Identity: a hash of the whole configuration, the seed and the data. CPU minutes: of the "
        "host, where a GPU computed.",
    ]


def _forest(effects: Effects, path: Path) -> list[Path]:
    frame, headline = effects.differences, effects.ablation.headline
    rows: list[tuple[str, str, float, float, float]] = []
    stems = [stem for metric, stem in table_columns(effects.ablation) if metric == headline]
    for variant in expand(effects.ablation)[1:]:
        for stem in stems:
            row = _difference(effects, variant.name, stem)
            if row and _number(row, "low") is not None:
                rows.append((variant.name, stem, row["difference"], row["low"], row["high"]))
    if not rows or frame.empty:
        return []
    base = expand(effects.ablation)[0].name
    name = display(headline, effects.traits)
    figure = figures.grouped_forest_figure(
        rows,
        label=f"difference in {name} to “{base}”, paired by song (95 % bootstrap interval)",
        title=effects.ablation.title,
    )
    return figures.save(figure, path)
