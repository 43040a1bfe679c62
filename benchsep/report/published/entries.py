"""Published values as data: the YAML files of this folder.

Conventions
-----------
file      one source on one data set: edition, split, number of songs
values    one metric as defined there, named after our most similar column; ``same_definition`` only
          if the definitions are equal
system    the name there; ``aggregation`` is over songs. A value may be a text (``< 2.50``)
agreement our tables show a published value only if edition, split, number of songs, definition and
          aggregation agree (:func:`agreeing`)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from benchsep._util.config import read_mapping, validated

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits

FOLDER = Path(__file__).parent


class Values(BaseModel):
    """The values of one metric."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: str
    definition: str
    same_definition: bool
    aggregation: Literal["mean", "median", "unknown"]
    tolerance: float | None = None
    """Largest difference of a reproduced value, in the metric's unit."""
    systems: dict[str, dict[str, float | str]]
    """System to stem (or ``average``) to value."""
    trained_on: dict[str, tuple[str, ...]] = {}
    """Training data of a system, as in :class:`benchsep.SystemInfo`; absent: unknown."""


class Source(BaseModel):
    """One file: the source of values and their data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    short: str
    """Short form of the source, shown after a system's name in tables."""
    edition: str
    split: str
    songs: int
    values: tuple[Values, ...]


@dataclass(frozen=True)
class Agreeing:
    """Values that our tables may show."""

    source: Source
    values: Values


@cache
def sources() -> dict[str, Source]:
    """File name without suffix to its content.

    Raises
    ------
    UsageError
        a file is damaged or lacks a key.
    """
    return {
        path.stem: validated(Source, read_mapping(path), path.name)
        for path in sorted(FOLDER.glob("*.yaml"))
    }


def agreeing(cells: pd.DataFrame, traits: Mapping[str, ValueTraits], split: str) -> list[Agreeing]:
    """The published values with the same definition on the same songs.

    Parameters
    ----------
    cells
        Cells of one edition; their column ``split`` is used if it exists.
    traits
        Traits of the run, with the aggregation of its tables.
    split
        The split of the suite.
    """
    edition = next(map(str, cells["edition"]), "")
    splits = set(map(str, cells["split"].unique())) if "split" in cells else {split}
    songs = cells["track"].nunique()
    return [
        Agreeing(source, values)
        for source, values in _all()
        if (source.edition, {source.split}, source.songs) == (edition, splits, songs)
        and values.same_definition
        and values.metric in traits
        and traits[values.metric].aggregate == values.aggregation
    ]


def _all() -> Iterator[tuple[Source, Values]]:
    for source in sources().values():
        for values in source.values:
            yield source, values
