"""Values that a metric cannot have: another unit, scale or sign in results of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchsep.metrics.metric import ValueTraits

SLACK = 0.25
"""Share of a range by which a value may lie outside: networks exceed their scales a little."""
ROUNDING = 1e-6
"""The same for ranges with one end, relative to the end where that exceeds 1."""


def out_of_range(value: float, traits: ValueTraits) -> str:
    """What is expected, in words; empty for a value that the metric may have."""
    low, high = traits.low, traits.high
    if low is not None and high is not None:
        slack = SLACK * (high - low)
    else:
        slack = ROUNDING * max(1.0, abs(low or 0.0), abs(high or 0.0))
    below = low is not None and value < low - slack
    if not below and not (high is not None and value > high + slack):
        return ""
    if low is None:
        return f"expected at most {high:g}"
    return f"expected {low:g} to {high:g}" if high is not None else f"expected at least {low:g}"
