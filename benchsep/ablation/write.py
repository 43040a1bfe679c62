"""The report files of an ablation.

Conventions
-----------
``NAME.md``    both tables, conclusions, the figure, and the origin of each variant
``NAME.tex``   the tables (booktabs, siunitx)
``NAME.html``  the tables (a fragment)
``NAME.csv``   every difference at full precision, all stems and metrics
``NAME.pdf .png``  paired differences per stem with their intervals
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchsep._util import escape
from benchsep._util.atomic import write_atomically
from benchsep.ablation.conclusions import sentences
from benchsep.ablation.effects import Effects
from benchsep.ablation.grid import expand
from benchsep.ablation.tables import (
    difference,
    differences_table,
    finite,
    headline_stems,
    values_table,
)
from benchsep.report.figures.forest import grouped_forest_figure
from benchsep.report.figures.style import save
from benchsep.report.tables.columns import display
from benchsep.report.tables.render import render

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.ablation.execute import Executed
    from benchsep.ablation.training import Task
    from benchsep.report.tables.model import Table


def write(name: str, done: Executed, effects: Effects, out: Path) -> list[Path]:
    """Write the report files of one ablation into ``out``."""
    tables = [values_table(done, effects), differences_table(effects)]
    image = _write_forest(effects, out / name)
    texts = {
        "md": _markdown(name, done, effects, tables, bool(image)),
        "tex": render(tables, "tex"),
        "html": render(tables, "html"),
        "csv": _csv_safe(effects.differences).to_csv(index=False),
    }
    for format, text in texts.items():
        write_atomically(out / f"{name}.{format}", text)
    return [*(out / f"{name}.{format}" for format in texts), *image]


def _csv_safe(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its texts escaped for spreadsheets."""
    texts = ("variant", "base", "stem", "metric", "verdict")
    return frame.assign(**{c: [escape.csv_cell(str(v)) for v in frame[c]] for c in texts})


def _markdown(name: str, done: Executed, effects: Effects, tables: list[Table], image: bool) -> str:
    esc, ablation = escape.markdown, effects.ablation
    lines = [f"# {esc(ablation.title)}", "", render(tables, "md"), "## What may be concluded", ""]
    lines += [f"- {esc(sentence)}" for sentence in sentences(done, effects)]
    if ablation.caveat:
        lines += ["", esc(ablation.caveat.strip())]
    lines += _factor_lines(effects)
    if image:
        lines += ["", f"![Paired differences per stem]({name}.png)"]
    lines += ["", "## How each variant was made", "", *_origin_lines(done), ""]
    return "\n".join(lines)


def _factor_lines(effects: Effects) -> list[str]:
    if effects.factors.empty:
        return []
    esc = escape.markdown
    rows = [
        f"| {esc(str(row.effect))} ({row.kind}) | {row.difference:+.2f} | "
        f"[{row.low:+.2f}, {row.high:+.2f}] | {row.p_holm:.3f} |"
        for row in effects.factors.itertuples()
    ]
    name = display(effects.ablation.headline, effects.traits)
    return [
        "",
        "## Main effects and interactions",
        "",
        "| effect | difference | 95 % | p (Holm) |",
        "|:--|--:|:--|--:|",
        *rows,
        "",
        f"On the average over stems of {esc(name)}, paired by song.",
    ]


def _origin_lines(done: Executed) -> list[str]:
    """The origin of each variant: its system, or the training of each seed."""
    if not done.tasks:
        rows = [f"- {escape.markdown(name)}: `{label}`" for (name, _), label in done.labels.items()]
        return ["Nothing was trained: the variants are options of one checkpoint.", "", *rows]
    head = ["variant", "seed", "identity", "CPU minutes", "computed on", "validation"]
    return [
        f"| {' | '.join(head)} |",
        "|:--|--:|:--|--:|:--|:--|",
        *(
            _training_line(variant, seed, task, done.failed.get((variant, seed), ""))
            for (variant, seed), task in done.tasks.items()
        ),
        "",
        "Identity: a hash of the whole configuration, the seed and the data. CPU minutes: of the "
        "host, where a GPU computed.",
    ]


def _training_line(variant: str, seed: int, task: Task, failure: str) -> str:
    esc, facts = escape.markdown, task.facts or {}
    minutes = f"{facts['cpu_seconds'] / 60:.1f}" if facts else "–"
    note, device = facts.get("note", failure), facts.get("device", "–")
    cells = [esc(variant), seed, task.identity, minutes, esc(str(device)), esc(str(note))]
    return f"| {' | '.join(map(str, cells))} |"


def _write_forest(effects: Effects, path: Path) -> list[Path]:
    """Write the figure of differences per stem; no file without intervals."""
    base, *variants = expand(effects.ablation)
    rows: list[tuple[str, str, float, float, float]] = []
    for variant in variants:
        for stem in headline_stems(effects):
            record = difference(effects, variant.name, stem)
            if record and finite(record, "low") is not None:
                interval = (record["difference"], record["low"], record["high"])
                rows.append((variant.name, stem, *interval))
    if not rows:
        return []
    name = display(effects.ablation.headline, effects.traits)
    figure = grouped_forest_figure(
        rows,
        label=f"difference in {name} to “{base.name}”, paired by song (95 % bootstrap interval)",
        title=effects.ablation.title,
    )
    return save(figure, path)
