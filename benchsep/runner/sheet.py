"""The results of one system on one track as columns, for fast reading of large runs.

A run of 1,000 tracks and 8 systems has half a million cells. Creating objects
(:class:`~benchsep.runner.record.Cell`) takes longer than parsing. Columns can be used for a table
directly, and columns of texts, equal in most records, share one object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsep.runner.record import (
    Draw,
    SystemFacts,
    TrackFacts,
    columns_from_json,
    facts_from_json,
)
from benchsep.runner.texts import texts_back

Frames = list[float | None] | None


@dataclass(frozen=True, slots=True)
class Columns:
    """The cells of a record as columns; the fields are those of a cell."""

    metric: tuple[str, ...]
    metric_version: tuple[str, ...]
    metric_id: tuple[str, ...]
    stem: tuple[str, ...]
    draw: tuple[int, ...]
    status: tuple[str, ...]
    value: NDArray[np.float64]
    """NaN: no value; likewise in ``seconds``."""
    seconds: NDArray[np.float64]
    frames: tuple[Frames, ...] = ()
    """Empty if not requested; likewise ``key``."""
    key: tuple[str, ...] = ()
    device: tuple[str, ...] = ()

    @property
    def places(self) -> list[tuple[str, str, int]]:
        """Metric, stem and draw of each cell."""
        return list(zip(self.metric, self.stem, self.draw, strict=True))

    def take(self, rows: Sequence[int]) -> Columns:
        """The cells of some rows, in their order."""
        return Columns(**{f.name: _taken(getattr(self, f.name), rows) for f in fields(self)})

    def sorted(self) -> Columns:
        """The cells sorted by metric, stem and draw, as in records that benchsep wrote."""
        order = _order(self.metric, self.stem, self.draw)
        return self if order is None else self.take(order)

    def with_absent(self, row: int, stem: str, status: str) -> Columns:
        """The cells and an additional copy of ``row`` for a stem without a value."""
        copy = self.take([row])
        nothing = np.full(1, np.nan)
        absent = replace(
            copy, stem=(stem,), status=(status,), value=nothing, seconds=nothing,
            frames=(None,) * len(copy.frames), key=("",) * len(copy.key),
            device=("",) * len(copy.device),
        )  # fmt: skip
        joined: dict[str, Any] = {}
        for name in (field.name for field in fields(self)):
            one, other = getattr(self, name), getattr(absent, name)
            is_array = isinstance(one, np.ndarray)
            joined[name] = np.concatenate((one, other)) if is_array else one + other
        return Columns(**joined)


def _taken(column: Any, rows: Sequence[int]) -> Any:
    if isinstance(column, np.ndarray):
        return column[list(rows)]
    return tuple(column[row] for row in rows) if column else column


@dataclass(frozen=True, slots=True)
class Sheet:
    """All results of one system on one track; the fields are those of a record."""

    system: SystemFacts
    track: TrackFacts
    input_stamp: str
    draws: dict[int, Draw]
    cells: Columns

    @classmethod
    def from_json(cls, content: Mapping[str, Any], *, whole: bool = True) -> Sheet:
        """Reads the same content as :meth:`benchsep.runner.record.Record.from_json`; raises as it
        does.

        Without ``whole`` it has no frames and no keys.
        """
        content = texts_back(content)
        columns: dict[str, Any] = {**columns_from_json(content)}
        for name in ("value", "seconds"):
            columns[name] = np.array(columns[name], np.float64)
        for name in ("frames", "key"):
            columns[name] = columns[name] if whole else ()
        columns["draw"] = _held_once(columns["draw"])
        return cls(*facts_from_json(content), Columns(**columns))

    @property
    def draw_numbers(self) -> set[int]:
        """Numbers of the draws with a cell or a cost."""
        return set(self.cells.draw) | self.draws.keys()


@lru_cache(maxsize=4096)
def _order(
    metric: tuple[str, ...], stem: tuple[str, ...], draw: tuple[int, ...]
) -> list[int] | None:
    """The order of rows by metric, stem and draw; ``None``: already sorted. Cached: the same in
    most records.
    """
    places = list(zip(metric, stem, draw, strict=True))
    order = sorted(range(len(places)), key=places.__getitem__)
    return None if order == list(range(len(places))) else order


@lru_cache(maxsize=4096)
def _held_once(column: tuple[Any, ...]) -> tuple[Any, ...]:
    return column
