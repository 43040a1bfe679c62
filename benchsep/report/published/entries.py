"""Published values as data: the YAML files of this folder.

Conventions
-----------
file      one source on one data set: edition, split, number of songs
values    one metric as defined there, named by the column of ours that comes nearest;
          ``same_definition`` only where it is that column's definition
system    the name there; ``aggregation`` is over songs. A value may be a text (``< 2.50``)
agreement a value stands in a table of ours only where edition, split, number of songs, definition
          and aggregation agree (:func:`agreeing`)
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
    """A file: where values were published, and on which data."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str
    short: str
    """Behind a system's name in a table."""
    edition: str
    split: str
    songs: int
    values: tuple[Values, ...]


@dataclass(frozen=True)
class Agreeing:
    """Values that may stand beside ours."""

    source: Source
    values: Values


@cache
def sources() -> dict[str, Source]:
    """File name without suffix to its content.

    Raises
    ------
    UsageError
        a file that is damaged or lacks a key.
    """
    return {
        path.stem: validated(Source, read_mapping(path), path.name)
        for path in sorted(FOLDER.glob("*.yaml"))
    }


def agreeing(cells: pd.DataFrame, traits: Mapping[str, ValueTraits], split: str) -> list[Agreeing]:
    """The published values of the same quantities on the same songs.

    Parameters
    ----------
    cells
        Of one edition; their column ``split``, where there is one, decides.
    traits
        Of the run, with the aggregation that its tables have.
    split
        The split that was asked for.
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
