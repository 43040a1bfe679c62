"""Fast grouping of large frames: columns of texts as integer codes.

Conventions
-----------
code    index of a row's entry in the sorted distinct entries of its column
group   rows with the same entries in several columns; groups are in the order of those entries

numpy sorts codes a hundred times faster than pandas iterates rows of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Ints = NDArray[np.int64]


def coded(column: pd.Series) -> tuple[Ints, list[Any]]:
    """The code of each row, and the sorted distinct entries."""
    import pandas as pd

    codes, different = pd.factorize(column, use_na_sentinel=False)
    found: list[Any] = list(different)
    order = sorted(range(len(found)), key=found.__getitem__)
    places = np.empty(len(found), np.int64)
    places[order] = np.arange(len(found))
    return places[codes], [found[at] for at in order]


@dataclass(frozen=True)
class Groups:
    """The groups of a frame's rows."""

    of_row: Ints
    """Index of each row's group, ``[rows]``."""
    entries: list[list[Any]]
    """For each column: its entry in each group."""

    @classmethod
    def by(cls, frame: pd.DataFrame, columns: Sequence[str]) -> Groups:
        """Group the rows of a frame by the entries of some columns."""
        columns_coded = [coded(frame[column]) for column in columns]
        joint = np.zeros(len(frame), np.int64)
        for codes, different in columns_coded:
            joint = joint * max(1, len(different)) + codes
        _, first, of_row = np.unique(joint, return_index=True, return_inverse=True)
        entries = [
            [different[code] for code in codes[first].tolist()]
            for codes, different in columns_coded
        ]
        return cls(of_row, entries)


def last_of_each(frame: pd.DataFrame, key: str, column: str) -> dict[str, Any]:
    """Each distinct entry of ``key``, in the order of the rows, to its last value in ``column``."""
    last = frame[[key, column]].drop_duplicates(key, keep="last")
    found = dict(zip(last[key].tolist(), last[column].tolist(), strict=True))
    return {entry: found[entry] for entry in frame[key].unique().tolist()}
