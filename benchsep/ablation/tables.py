"""The two tables of an ablation's report: values of every variant, differences to the base.

Conventions
-----------
value       mean over songs of the mean over seeds; each variant over its own songs
difference  paired by song, from :func:`benchsep.ablation.effects.measure`
base        the first variant of the grid
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep._util.numbers import float_or_none
from benchsep.ablation.effects import Effects, table_columns
from benchsep.ablation.grid import expand
from benchsep.report.tables.captions import warnings
from benchsep.report.tables.columns import display, is_speech_model
from benchsep.report.tables.model import Cell, Column, Row, Table
from benchsep.stats import AVERAGE, aggregate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchsep.ablation.execute import Executed
    from benchsep.ablation.grid import Variant
    from benchsep.metrics.metric import ValueTraits

    Means = dict[tuple[str, str, str], tuple[float, int]]
    """``(system, stem, metric)`` to the mean over songs and the number of songs."""

ALPHA = 0.05


def values_table(done: Executed, effects: Effects) -> Table:
    """Every variant's values, then those of the reference systems on the same songs."""
    ablation, columns = effects.ablation, table_columns(effects.ablation)
    total = int(effects.cells["track"].nunique())
    rows = _value_rows(done, effects, columns, total)
    warning_lines = warnings(
        list(dict.fromkeys(metric for metric, _ in columns)),
        effects.traits,
        families=frozenset(effects.cells["family"]),
        labels=frozenset(s.system for s in effects.references),
        stems=frozenset(
            stem for metric, stem in columns if is_speech_model(metric, effects.traits)
        ),
    )
    return Table(
        "t1",
        f"{ablation.title}: values",
        tuple(_value_heads(effects, columns)),
        tuple(rows),
        _caption(effects, total),
        warnings=tuple(warning_lines),
        edition=effects.edition,
    )


def _value_heads(effects: Effects, columns: Sequence[tuple[str, str]]) -> list[Column]:
    heads = [_column(metric, stem, effects.traits) for metric, stem in columns]
    if effects.ablation.published:
        headline = effects.ablation.headline
        heads.append(Column(headline, "published", "published (other data)", "", 2, 0, "cost"))
    return heads


def _column(metric: str, stem: str, traits: Mapping[str, ValueTraits]) -> Column:
    value = traits.get(metric)
    unit, direction = (value.unit, value.direction) if value else ("", 0)
    digits = 1 if unit == "dB" else 2
    name = display(metric, traits) if value else metric
    return Column(metric, stem, f"{name} {stem}", unit, digits, direction)


def _value_rows(
    done: Executed, effects: Effects, columns: Sequence[tuple[str, str]], total: int
) -> list[Row]:
    means = _means(effects)
    rows = [
        _variant_row(number, variant, means, done, effects, columns, total)
        for number, variant in enumerate(expand(effects.ablation), 1)
    ]
    labels = dict.fromkeys(s.system for s in effects.references)
    for number, label in enumerate(labels, len(rows) + 1):
        cells = _mean_cells(number, label, means, columns, total)
        if effects.ablation.published:
            cells.append(Cell(f"t1.r{number}c{len(cells) + 1}", None, 0, 0))
        rows.append(Row(label, "oracle", "yardstick", tuple(cells)))
    return rows


def _means(effects: Effects) -> Means:
    """Mean over a system's own songs, and their number, for variants and references."""
    variants = aggregate(effects.cells, effects.traits, coverage="own", statistic="mean")
    summaries = [*variants, *effects.references]
    return {s.key: (s.value, s.n) for s in summaries if s.own and s.value is not None}


def _variant_row(
    number: int,
    variant: Variant,
    means: Means,
    done: Executed,
    effects: Effects,
    columns: Sequence[tuple[str, str]],
    total: int,
) -> Row:
    ablation = effects.ablation
    missing = "not trained" if failure_reason(done, variant.name) else "–"
    cells = _mean_cells(number, variant.name, means, columns, total, missing)
    if ablation.published:
        value = next((p.value for p in ablation.published if p.variant == variant.name), None)
        cells.append(Cell(f"t1.r{number}c{len(cells) + 1}", value, 0, 0))
    group = "control" if variant.name == ablation.control else "variant"
    return Row(variant.name, "variant", group, tuple(cells))


def failure_reason(done: Executed, variant: str) -> str:
    """Why the first failed seed of a variant has no result; empty if none failed."""
    return next((reason for (name, _), reason in done.failed.items() if name == variant), "")


def _mean_cells(
    number: int,
    system: str,
    means: Means,
    columns: Sequence[tuple[str, str]],
    total: int,
    missing: str = "–",
) -> list[Cell]:
    cells = []
    for i, (metric, stem) in enumerate(columns, 1):
        mean, songs = means.get((system, stem, metric), (None, 0))
        note = missing if mean is None else ""
        cells.append(Cell(f"t1.r{number}c{i}", mean, songs, total, note=note))
    return cells


def _caption(effects: Effects, total: int) -> tuple[str, ...]:
    ablation = effects.ablation
    seeds = len(ablation.seeds)
    kind = "training seeds" if ablation.trainer else "draws"
    repeats = f", {ablation.draws} draws of each song averaged" if ablation.draws > 1 else ""
    lines = [
        f"Means over {total} songs ({effects.edition}) of means over {seeds} {kind}{repeats}; "
        "the first row is the base."
    ]
    if ablation.published:
        lines.append(
            f"Published: {ablation.source}; other data, another scale and other tools, so the two "
            "columns must not be compared with each other, only the direction of their differences."
        )
    return tuple(lines)


# -- differences ----------------------------------------------------------------------------------


def differences_table(effects: Effects) -> Table:
    """Differences to the base in the headline metric: per stem, average, p, seed range."""
    ablation, variants = effects.ablation, expand(effects.ablation)
    stems = headline_stems(effects)
    name = display(ablation.headline, effects.traits)
    return Table(
        "t2",
        f"{ablation.title}: {name} against “{variants[0].name}”, paired by song",
        tuple(_difference_heads(ablation.headline, stems)),
        tuple(
            _difference_row(number, variant, effects, stems)
            for number, variant in enumerate(variants[1:], 1)
        ),
        (
            "Differences to the base on the same songs, each song averaged over seeds; in brackets "
            "the 95 % interval of a bootstrap over songs (not adjusted); * p < .05 by a paired "
            "exact sign-flip test, Holm-adjusted over the variants of the column.",
            "Seed spread: the largest difference between the means of the variant's own seeds; "
            "it measures what another training of the same variant changes.",
        ),
        edition=effects.edition,
    )


def headline_stems(effects: Effects) -> list[str]:
    """Stems of the headline metric in the table of values, the average last."""
    headline = effects.ablation.headline
    return [stem for metric, stem in table_columns(effects.ablation) if metric == headline]


def _difference_heads(headline: str, stems: Sequence[str]) -> list[Column]:
    return [
        *(Column(headline, stem, f"Δ {stem}", "", 2, 0, "gain", spread=True) for stem in stems),
        Column("p_holm", AVERAGE + " p", "p (Holm)", "", 3, 0, "cost"),
        Column("spread", AVERAGE + " spread", "seed spread", "", 2, 0, "cost"),
    ]


def _difference_row(number: int, variant: Variant, effects: Effects, stems: Sequence[str]) -> Row:
    records = [difference(effects, variant.name, stem) for stem in stems]
    average = records[stems.index(AVERAGE)]
    cells = [_difference_cell(f"t2.r{number}c{i}", record) for i, record in enumerate(records, 1)]
    for key in ("p_holm", "spread"):
        cells.append(Cell(f"t2.r{number}c{len(cells) + 1}", finite(average, key), 0, 0))
    group = "control" if variant.name == effects.ablation.control else "variant"
    return Row(variant.name, "variant", group, tuple(cells))


def _difference_cell(id: str, record: Mapping[str, Any]) -> Cell:
    return Cell(
        id,
        finite(record, "difference"),
        int(record.get("n", 0)),
        int(record.get("total", 0)),
        letters="*" if record.get("p_holm", 1.0) < ALPHA else "",
        low=finite(record, "low"),
        high=finite(record, "high"),
    )


def difference(effects: Effects, variant: str, stem: str) -> dict[str, Any]:
    """The row of ``effects.differences`` in the headline metric; empty if there is none."""
    frame = effects.differences
    rows = frame[
        (frame["variant"] == variant)
        & (frame["stem"] == stem)
        & (frame["metric"] == effects.ablation.headline)
    ]
    return {str(k): v for k, v in rows.iloc[0].items()} if len(rows) else {}


def finite(record: Mapping[str, Any], key: str) -> float | None:
    """A number of a record; ``None`` if it is missing or not finite."""
    return float_or_none(record.get(key))
