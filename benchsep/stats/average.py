"""The mean over stems as an additional stem.

Conventions
-----------
average        pseudo stem :data:`~benchsep.stats.songs.AVERAGE`: mean over the stems of the set
               that the metric was scored on, if all have a value; never over other targets
               (``accompaniment``)
without bass   pseudo stem: the same songs as the average, mean over the stems other than bass
block          one metric: a row for each (system, family, edition, track, draw), a column for each
               stem
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchsep.stats.keys import Groups, coded
from benchsep.stats.songs import AVERAGE, BASS, ILL_CONDITIONED, WITHOUT_BASS, averaged_stems

if TYPE_CHECKING:
    import pandas as pd

KEYS = ["system", "family", "edition", "metric", "track", "draw"]


def with_average(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with rows of the pseudo stem ``average`` for metrics of several stems.

    A song without a value on any one stem has none in the average: a missing stem cannot
    raise a mean.
    """
    return Averages(frame).with_average()


def without_bass(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of the pseudo stem ``average without bass``, for metrics scored on bass and other stems.

    A song without an average has no value here either, so that both means are over the same songs.
    """
    return Averages(frame).rows(WITHOUT_BASS)


class Averages:
    """Both pseudo stems of a frame; the blocks of cells are computed once."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame
        self._groups = Groups.by(frame, KEYS)
        self._blocks = list(_blocks(frame, self._groups))

    def with_average(self) -> pd.DataFrame:
        """As :func:`with_average`."""
        import pandas as pd

        rows = self.rows(AVERAGE)
        return pd.concat([self._frame, rows], ignore_index=True) if len(rows) else self._frame

    def rows(self, pseudo: str) -> pd.DataFrame:
        """The rows of a pseudo stem, sorted by :data:`KEYS`."""
        import pandas as pd

        numbers: list[NDArray[np.int64]] = []
        values: list[float] = []
        statuses: list[str] = []
        for block in self._blocks:
            stems = [s for s in block.stems if pseudo == AVERAGE or s != BASS]
            if len(stems) == 1 or (pseudo == WITHOUT_BASS and len(stems) == len(block.stems)):
                continue
            numbers.append(block.groups)
            means, reasons = block.means(stems)
            values += means
            statuses += reasons
        joint = np.concatenate([np.empty(0, np.int64), *numbers])
        order = np.argsort(joint, kind="stable").tolist()
        groups = joint[order].tolist()
        columns: dict[str, list[Any]] = {
            name: [entries[group] for group in groups]
            for name, entries in zip(KEYS, self._groups.entries, strict=True)
        }
        columns |= {"stem": [pseudo] * len(order), "value": [values[at] for at in order]}
        return pd.DataFrame({**columns, "status": [statuses[at] for at in order]})


@dataclass(frozen=True)
class _Block:
    """The cells of one metric for an average."""

    stems: list[str]
    groups: NDArray[np.int64]
    """Index of each row's group in the frame, ``[rows]``, ascending."""
    values: NDArray[np.float64]
    """``[rows, stems]``; NaN: no cell."""
    statuses: NDArray[np.object_]
    """``[rows, stems]``."""

    def means(self, stems: Sequence[str]) -> tuple[list[float], list[str]]:
        """The exactly rounded mean over ``stems`` of each row, and the status of all its cells."""
        columns = [self.stems.index(stem) for stem in stems]
        rows = self.values[:, columns].tolist()
        is_ok = (self.statuses == "ok").all(axis=1)
        values = [
            math.fsum(row) / len(columns) if ok else math.nan
            for row, ok in zip(rows, is_ok.tolist(), strict=True)
        ]
        statuses = ["ok"] * len(rows)
        for at in np.flatnonzero(~is_ok).tolist():
            mean = mean_or_reason(rows[at], self.statuses[at].tolist())
            values[at], statuses[at] = mean["value"], mean["status"]
        return values, statuses


def _blocks(frame: pd.DataFrame, groups: Groups) -> Iterator[_Block]:
    """A block for each metric with several stems; rows without any of its stems are left out."""
    stem, stem_names = coded(frame["stem"])
    metric, metric_names = coded(frame["metric"])
    value = frame["value"].to_numpy(dtype=float)
    status = frame["status"].to_numpy(dtype=object)
    for name, stems in _stems_of_metrics(frame).items():
        column_of = np.array([stems.index(s) if s in stems else -1 for s in stem_names])
        rows = np.flatnonzero((metric == metric_names.index(name)) & (column_of[stem] >= 0))
        if len(stems) < 2 or not len(rows):
            continue
        numbers, place = np.unique(groups.of_row[rows], return_inverse=True)
        values = np.full((len(numbers), len(stems)), math.nan)
        statuses = np.full(values.shape, "no_stem", dtype=object)
        values[place, column_of[stem[rows]]] = value[rows]
        statuses[place, column_of[stem[rows]]] = status[rows]
        yield _Block(stems, numbers, values, statuses)


def _stems_of_metrics(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Metric to the stems that its average is over, sorted by name."""
    stems: dict[str, set[str]] = {}
    different = frame[["metric", "stem"]].drop_duplicates()
    for metric, stem in zip(different["metric"], different["stem"], strict=True):
        stems.setdefault(metric, set()).add(stem)
    return {metric: sorted(averaged_stems(names)) for metric, names in stems.items()}


def mean_or_reason(values: Sequence[float], statuses: Sequence[str]) -> dict[str, Any]:
    """``value`` and ``status`` of a mean over cells.

    The mean of ill-conditioned cells is ill-conditioned; if a cell has no value, the mean is NaN
    with the first such status.
    """
    missing = [status for status in statuses if status not in ("ok", ILL_CONDITIONED)]
    if missing:
        return {"value": math.nan, "status": missing[0]}
    status = "ok" if all(s == "ok" for s in statuses) else ILL_CONDITIONED
    return {"value": math.fsum(values) / len(values), "status": status}
