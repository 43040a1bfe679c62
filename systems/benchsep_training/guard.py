"""Handles gradients that are not finite: single steps are skipped; many in a row end the
training.
"""

from __future__ import annotations

import math

from benchsep.errors import TrainingError

PATIENCE = 50
"""Consecutive steps without a finite gradient after which a training ends."""


class NonFiniteGuard:
    """Decides for one optimizer whether a step may be taken.

    It checks the norm of the gradient: with several processes, the averaged gradient is equal on
    all, so the decision is too; the loss differs between processes.

    Parameters
    ----------
    what : name of the training for the error, e.g. its folder.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.skipped_in_a_row = 0

    def accepts(self, norm: float, step: int) -> bool:
        """Whether the gradient of step ``step`` (from 1), of this norm, is finite.

        Raises
        ------
        TrainingError
            The gradient was not finite for :data:`PATIENCE` consecutive steps.
        """
        self.skipped_in_a_row = 0 if math.isfinite(norm) else self.skipped_in_a_row + 1
        if self.skipped_in_a_row >= PATIENCE:
            raise TrainingError(
                f"{self.what}: the gradients of {PATIENCE} steps in a row, up to step {step}, hold "
                "NaN or infinity; start in another folder with a lower learning rate or "
                "precision: no"
            )
        return not self.skipped_in_a_row
