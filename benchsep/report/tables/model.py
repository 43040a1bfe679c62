"""The model of a table, independent of the output format.

Conventions
-----------
ids      a table is ``t1``, ``t2`` …; a cell is ``t2.r3c4``, rows and columns from 1 in the order
         of the output; a gain over the mixture has the id of its value plus ``g``, so that gains do
         not change other ids. The same run gives the same ids; ``benchsep explain RUN t2.r3c4``
         prints the songs behind one
ranked   reference systems (mixture, true stems, oracles) have their own group and are never best
values   float or ``None``; ``note`` is the reason of a cell without a value
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchsep.stats.aggregate import NO_SHARED_SONG
from benchsep.systems.reference import REFERENCE_FAMILIES, WRONG_SONG

GROUPS = {
    "published": "Published elsewhere (not ranked)",
    "generative": "Generative",
    "discriminative": "Discriminative",
    "unknown": "Undeclared family",
    "pair": "Pairs of systems",
    "variant": "Variants",
    "control": "Control (must come out worse)",
    "yardstick": "Reference systems (not ranked)",
}
"""Groups of rows in their order, with headings."""


_ARROWS = {1: "↑", -1: "↓", 0: ""}


@dataclass(frozen=True)
class Column:
    """A column of numbers. ``stem`` is ``"average"`` for the mean over stems, empty for costs."""

    metric: str
    stem: str
    head: str
    unit: str
    digits: int
    direction: int
    kind: str = "score"
    """``score``, ``gain`` (over the mixture), ``cost``; ``draws``, ``tail``, ``failures`` of
    :mod:`benchsep.report.tables.spread`; or ``text``, whose cells hold words in ``note``."""
    in_title: bool = False
    """Whether the table's title already has unit and direction."""
    spread: bool = False
    """Whether the interval is printed after the value; CSV and JSON always have it."""
    axis: str = ""
    """The listeners' question that the column answers, if it is an axis of the overview."""


@dataclass(frozen=True)
class Cell:
    """One number: its value, its number of songs, and whether it is the best."""

    id: str
    value: float | None
    n: int
    total: int
    note: str = ""
    best: bool = False
    ill_conditioned: bool = False
    low: float | None = None
    high: float | None = None
    letters: str = ""

    @property
    def partial(self) -> bool:
        """Whether songs are missing, so that ``n/N`` is shown."""
        return self.total > 0 and self.n < self.total


@dataclass(frozen=True)
class Row:
    """The cells of a system, or of a system and a metric if there is a row per metric."""

    system: str
    family: str
    group: str
    cells: tuple[Cell, ...]
    label: str = ""
    metric: str = ""
    source: str = ""
    """Source of a published or imported row."""
    mark: str = ""
    """Marks of a system that was trained on songs of the table
    (:mod:`benchsep.runner.notes.seen`)."""

    @property
    def head(self) -> str:
        """The text at the left of the row."""
        return f"{self.label or self.system} {self.mark}".rstrip()

    @property
    def ranked(self) -> bool:
        return self.group not in ("yardstick", "published")


@dataclass(frozen=True)
class Table:
    """A grid with title, caption, notes and warnings."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: tuple[str, ...]
    """A line that describes the numbers, with a link to the explanation."""
    notes: tuple[str, ...] = ()
    """Notes below all tables: data, agreement with listeners, versions, marks."""
    warnings: tuple[str, ...] = ()
    edition: str = ""

    def groups(self) -> list[tuple[str, list[Row]]]:
        """``(heading, rows)`` for each group that has rows, in order."""
        groups = [(head, [r for r in self.rows if r.group == key]) for key, head in GROUPS.items()]
        return [(head, rows) for head, rows in groups if rows]

    def cell(self, system: str, metric: str, stem: str, kind: str = "score") -> Cell | None:
        """The cell of a system and a column, or ``None``."""
        wanted = (system, metric, stem, kind)
        for row in self.rows:
            for column, cell in zip(self.columns, row.cells, strict=True):
                if (row.system, column.metric, column.stem, column.kind) == wanted:
                    return cell
        return None


def shared_notes(tables: Iterable[Table]) -> list[str]:
    """The notes of all tables, each once, in order."""
    return list(dict.fromkeys(note for table in tables for note in table.notes))


def group_of(family: str) -> str:
    """The group of rows a family belongs to."""
    if family in REFERENCE_FAMILIES:
        return "yardstick"
    return family if family in GROUPS else "unknown"


def is_reference(label: str) -> bool:
    """Whether a label is the reference system that returns the true stem."""
    return label.split("@")[0].split(":")[0] == "reference"


def reference_rank(label: str, family: str) -> int:
    """Order: the mixture, the stems of another song, the true stems, then the oracles."""
    if family == "mixture":
        return 0
    return 1 if label == WRONG_SONG else 2 if is_reference(label) else 3


def format_value(cell: Cell, column: Column) -> str:
    """The number as text; the minus is an ASCII hyphen, so that the number can be copied."""
    if cell.value is None:
        return cell.note or ("" if column.kind == "text" else "–")
    sign = "+" if column.kind == "gain" and cell.value >= 0 else ""
    text = f"{cell.value:.{column.digits}f}"
    zero = f"{0:.{column.digits}f}"
    return sign + (zero if text == f"-{zero}" else text)


def head(column: Column) -> str:
    """``vocals ↑``, with the unit if there is one."""
    if column.in_title:
        return column.head
    unit = f" [{column.unit}]" if column.unit not in ("", "MOS") else ""
    arrow = _ARROWS[column.direction] if column.kind == "score" else ""
    return f"{column.head}{unit} {arrow}".rstrip()


def suffix(cell: Cell, column: Column) -> str:
    """The text after the number: dagger, letters, the interval of an average, ``n/N``."""
    dagger = "†" if cell.ill_conditioned else ""
    letters = f" {cell.letters}" if cell.letters else ""
    form = f"{'+' if column.kind == 'gain' else ''}.{column.digits}f"
    spread = (
        f" [{cell.low:{form}}, {cell.high:{form}}]"
        if column.spread and cell.low is not None and cell.high is not None
        else ""
    )
    counted = cell.value is not None or cell.note == NO_SHARED_SONG
    coverage = f" {cell.n}/{cell.total}" if cell.partial and counted else ""
    return dagger + letters + spread + coverage


def numbered(table: Table, number: int) -> Table:
    """The table as ``t<number>``, its cells with their ids."""
    name, count, names = f"t{number}", 0, []
    for column in table.columns:
        count += column.kind != "gain"
        names.append(f"c{count}{'g' if column.kind == 'gain' else ''}")
    rows = tuple(
        replace(
            row,
            cells=tuple(
                replace(cell, id=f"{name}.r{r}{c}")
                for c, cell in zip(names, row.cells, strict=True)
            ),
        )
        for r, row in enumerate(table.rows, 1)
    )
    return replace(table, id=name, rows=rows)
