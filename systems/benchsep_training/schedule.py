"""Learning rate: linear warm-up over steps, then half a cosine over the budget."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class WarmupCosine:
    """``peak * min(1, (step + 1) / warmup) * (floor + (1 - floor) * (1 + cos(pi * p)) / 2)``.

    Parameters
    ----------
    peak : highest learning rate.
    warmup : steps of the linear warm-up; the first step already has ``peak / warmup``.
    floor : rate at the end of the budget, as a share of ``peak``.
    """

    peak: float
    warmup: int = 1
    floor: float = 0.0

    def at(self, step: int, progress: float) -> float:
        """Rate of step ``step`` (from 0) when ``progress`` (0 to 1) of the budget is used.

        The warm-up is in steps and the cosine follows the budget, so a training with a time limit
        also ends at ``floor``.
        """
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.peak * warm * (self.floor + (1 - self.floor) * cosine)
