"""Published values of arXiv 2604.09371 in a table with ours, never ranked with ours.

Conventions
-----------
source  "Discrete Token Modeling for Multi-Stem Music Source Separation with Language Models"
        (Lyu et al., v2, 17 April 2026), as far as its tables could be recovered: grade ``first``
        from the authors' own text, ``second`` from a summary of it. A value in no text at hand
        is ``not seen``; none is guessed
data    MUSDB18-HQ, 50 test songs, the authors' tools; no intervals were published. Ours differ
        in data, training budget or both, so that the two are never ranked together
last    column: the companion of ViSQOL in our ViSQOL table (an interference measure), which the
        paper does not report
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchsep.report.tables import captions
from benchsep.report.tables.model import Cell, Column, Row, Table, numbered
from benchsep.stats.songs import AVERAGE

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
        The run's tables; our values are taken from them, so that a number has one version.
    edition
        Edition of the data whose tables are used.

    Returns
    -------
    Table or None
        ``None`` if the run has none of the paper's quantities.
    """
    ours = [t for t in tables if t.edition == edition]
    published_rows = [_published_row(name) for name in dict.fromkeys(p.system for p in PUBLISHED)]
    systems = [(r.system, r.family, r.group) for r in ours[0].rows] if ours else []
    our_rows = [
        Row(system, family, group, tuple(_our_cell(ours, system, *key) for key in _COLUMNS))
        for system, family, group in systems
    ]
    if not any(cell.value is not None for row in our_rows for cell in row.cells):
        return None
    columns = [_column(*key) for key in _COLUMNS]
    companion = _companion_column(ours)
    if companion is not None:
        columns.append(companion)
        metric, stem = companion.metric, companion.stem
        published_rows = [
            _append(row, Cell("", None, 0, 0, "not reported")) for row in published_rows
        ]
        our_rows = [_append(r, _our_cell(ours, r.system, metric, stem)) for r in our_rows]
    table = Table(
        id="",
        title=f"Beside the published values of {SOURCE}",
        columns=tuple(columns),
        rows=(*published_rows, *our_rows),
        caption=(
            f"Published rows: {SOURCE}, MUSDB18-HQ, 50 songs, no intervals published; of the "
            "baselines' drums only the range over all of them is known. Values from a second-hand "
            "summary, except that 'best NISQA' is first-party; 'not seen': in the paper, but in "
            "no text at hand; 'not reported': not in the paper.",
            f"Our rows: {captions.EDITIONS.get(edition, edition)}, as in the tables above; the "
            "label names the weights. Which tools and excerpts the paper scored with is not known.",
        ),
        warnings=(
            "Other data, other tools and other training: compare the order and the distances "
            "within the published rows with those within ours, not the values across.",
        ),
        edition=edition,
    )
    return numbered(table, len(tables) + 1)


def _companion_column(tables: Sequence[Table]) -> Column | None:
    """The companion of ViSQOL in the run's ViSQOL table, if it has one."""
    for table in tables:
        scores = [column for column in table.columns if column.kind == "score"]
        if scores and scores[0].metric == "visqol" and scores[0].in_title:
            return next((column for column in scores if column.metric != "visqol"), None)
    return None


def _append(row: Row, cell: Cell) -> Row:
    return replace(row, cells=(*row.cells, cell))


def _published_row(system: str) -> Row:
    known = {(p.metric, p.stem): p for p in PUBLISHED if p.system == system}
    cells = []
    for key in _COLUMNS:
        entry = known.get(key)
        cells.append(
            Cell("", entry.value if entry else None, 0, 0, entry.text if entry else "not seen")
        )
    return Row(system, "published", "published", tuple(cells))


def _our_cell(tables: Sequence[Table], system: str, metric: str, stem: str) -> Cell:
    for table in tables:
        cell = table.cell(system, metric, stem)
        if cell is not None:
            # Bold and letters belong to a table whose rows are ranked.
            return replace(cell, best=False, letters="", low=None, high=None)
    return Cell("", None, 0, 0)


def _column(metric: str, stem: str) -> Column:
    name = "NISQA MOS" if metric == "nisqa.mos" else "ViSQOL"
    return Column(metric, stem, f"{name}, {stem}", "", 2, 1)
