"""Checks imported values against the range of their metric: wrong unit, scale or sign."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep.errors import UsageError
from benchsep.metrics.catalog import traits_of_columns

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

ROUNDING = 1e-6
"""Relative tolerance, because rounded values may slightly exceed the range."""
PERCENT = (0.0, 100.0)
"""A range whose values are sometimes given as fractions of one."""


def check_ranges(frame: pd.DataFrame, path: Path) -> list[str]:
    """Notes on the scale of values.

    Raises
    ------
    UsageError
        a value is outside of the range of its metric.
    """
    said = []
    for metric, traits in traits_of_columns(sorted(set(frame["metric"]))).items():
        part = frame[(frame["metric"] == metric) & frame["value"].notna()]
        low, high = traits.low, traits.high
        margin = ROUNDING * max(abs(low or 0.0), abs(high or 0.0), 1.0)
        for row in part.to_dict("records"):
            below = low is not None and row["value"] < low - margin
            above = high is not None and row["value"] > high + margin
            if below or above:
                raise UsageError(
                    f"{path}: {metric} of {row['system']}, {row['track']!r}, {row['stem']} is "
                    f"{row['value']:g}; {_range(low, high)}. Is it in another unit, or another "
                    "quantity? Correct it, or give it a name of its own"
                )
        if (low, high) == PERCENT and not part.empty and 0 < part["value"].max() <= 1:
            said.append(f"all values of {metric} are at most 1, its range is 0 to 100: fractions?")
    return said


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"expected at most {high:g}"
    return f"expected {low:g} to {high:g}" if high is not None else f"expected at least {low:g}"
