"""Numbers for JSON."""

from __future__ import annotations

import math


def float_or_none(value: float | None) -> float | None:
    """``value`` as a float, or ``None`` if it is ``None``, NaN or infinite."""
    return None if value is None or not math.isfinite(value) else float(value)
