"""Values of a table in another unit, scale or sign than those of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep.errors import UsageError
from benchsep.metrics.catalog import traits_of_columns
from benchsep.metrics.ranges import out_of_range

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

PERCENT = (0.0, 100.0)
"""A range whose values others write as shares of one."""


def check_ranges(frame: pd.DataFrame, path: Path) -> list[str]:
    """Notes on the scale of values.

    Raises
    ------
    UsageError
        a value out of the range of its metric.
    """
    said = []
    for metric, traits in traits_of_columns(sorted(set(frame["metric"]))).items():
        part = frame[(frame["metric"] == metric) & frame["value"].notna()]
        for row in part.to_dict("records"):
            if expected := out_of_range(row["value"], traits):
                raise UsageError(
                    f"{path}: {metric} of {row['system']}, {row['track']!r}, {row['stem']} is "
                    f"{row['value']:g}; {expected}. Correct the value if it has another unit; if "
                    "it is another quantity, give it another name"
                )
        if (traits.low, traits.high) == PERCENT and not part.empty and 0 < part["value"].max() <= 1:
            said.append(f"all values of {metric} are at most 1, its range is 0 to 100: fractions?")
    return said
