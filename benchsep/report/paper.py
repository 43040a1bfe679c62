"""Published values of arXiv 2604.09371, beside ours and never among ours.

Conventions
-----------
source  "Discrete Token Modeling for Multi-Stem Music Source Separation with Language Models"
        (Lyu et al., v2, 17 April 2026), as far as its tables could be recovered: ``first`` from
        the authors' own text, ``second`` from a summary of it. What was not seen is blank;
        nothing has been filled in by guess
data    MUSDB18-HQ, 50 test songs, the authors' tools; no intervals were published. Ours differ
        in data, training budget or both, so that the two are never ranked together
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchsep.report.model import Cell, Column, Row, Table
from benchsep.stats import AVERAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = "arXiv 2604.09371v2"


@dataclass(frozen=True)
class Published:
    """A value as published: exact, or a range or bound in words."""

    system: str
    metric: str
    stem: str
    value: float | None
    text: str = ""
    grade: str = "second"


BASELINE_DRUMS = "3.77–3.88"

PUBLISHED = (
    Published("HTDemucs", "visqol", AVERAGE, 3.71),
    Published("HTDemucs", "visqol", "drums", None, BASELINE_DRUMS),
    Published("HTDemucs", "nisqa.mos", "vocals", None, "< 2.50"),
    Published("BS-RoFormer", "visqol", AVERAGE, 3.71),
    Published("BS-RoFormer", "visqol", "drums", None, BASELINE_DRUMS),
    Published("BS-RoFormer", "nisqa.mos", "vocals", None, "< 2.50"),
    Published("SCNet", "nisqa.mos", "vocals", None, "< 2.50"),
    Published("proposed", "visqol", AVERAGE, 3.55),
    Published("proposed", "visqol", "drums", 3.44),
    Published("proposed", "nisqa.mos", "vocals", 2.50),
    Published("proposed, HuBERT encoder", "visqol", AVERAGE, 3.37),
)
"""Every value seen. 3.77 to 3.88 is the range of the baselines together."""

_COLUMNS = (
    *((("visqol", stem)) for stem in ("vocals", "drums", "bass", "other", AVERAGE)),
    ("nisqa.mos", "vocals"),
)


def published_table(tables: Sequence[Table], edition: str) -> Table | None:
    """The published rows over the run's own values of the same quantities.

    Parameters
    ----------
    tables
        The run's tables; the values are taken from them, so that the same number never has two
        versions.

    Returns
    -------
    Table or None
        ``None`` if the run has none of the paper's quantities.
    """
    ours = [t for t in tables if t.edition == edition]
    rows = [_row(name) for name in dict.fromkeys(p.system for p in PUBLISHED)]
    systems = [(r.system, r.family, r.group) for r in ours[0].rows] if ours else []
    mine = [Row(s, f, g, tuple(_mine(ours, s, *c) for c in _COLUMNS)) for s, f, g in systems]
    if not any(cell.value is not None for row in mine for cell in row.cells):
        return None
    number = len(tables) + 1
    rows = [_with_ids(row, f"t{number}", i) for i, row in enumerate([*rows, *mine], 1)]
    return Table(
        id=f"t{number}",
        title=f"Beside the published values of {SOURCE}",
        columns=tuple(_head(metric, stem) for metric, stem in _COLUMNS),
        rows=tuple(rows),
        caption=(
            f"Published rows: {SOURCE}, MUSDB18-HQ, 50 songs, no intervals published; drums of "
            "the baselines are given as one range. Values from a second-hand summary, except "
            "that 'best NISQA' is first-party; what was not seen is blank.",
            f"Our rows: {edition}, as in the tables above; trained on other data at another scale.",
        ),
        warnings=(
            "Other data and other tools: compare the order and the distances within the "
            "published rows with those within ours, not the values across.",
        ),
        edition=edition,
    )


def _row(system: str) -> Row:
    known = {(p.metric, p.stem): p for p in PUBLISHED if p.system == system}
    cells = []
    for key in _COLUMNS:
        found = known.get(key)
        cells.append(
            Cell("", found.value if found else None, 0, 0, found.text if found else "not seen")
        )
    return Row(system, "published", "published", tuple(cells))


def _mine(tables: Sequence[Table], system: str, metric: str, stem: str) -> Cell:
    for table in tables:
        cell = table.cell(system, metric, stem)
        if cell is not None:
            # Bold belongs to a table whose rows compete; here the rows only stand side by side.
            return replace(cell, best=False, letters="", low=None, high=None)
    return Cell("", None, 0, 0)


def _head(metric: str, stem: str) -> Column:
    name = "NISQA MOS" if metric == "nisqa.mos" else "ViSQOL"
    return Column(metric, stem, f"{name}, {stem}", "", 2, 1)


def _with_ids(row: Row, table: str, number: int) -> Row:
    cells = (replace(c, id=f"{table}.r{number}c{i}") for i, c in enumerate(row.cells, 1))
    return replace(row, cells=tuple(cells))
