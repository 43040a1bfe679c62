"""Steps whose gradient is not finite: a few are skipped, many in a row end the training."""

from __future__ import annotations

import math

from benchsep.errors import TrainingError

PATIENCE = 50
"""Steps in a row that may lack a finite gradient before a training gives up."""


class NonFiniteGuard:
    """Decides for one optimizer whether a step may be taken.

    The norm of the gradient is what it looks at: under several processes the averaged gradient is
    the same everywhere, and so is the decision; the loss differs from process to process.

    Parameters
    ----------
    what : names the training in the error, e.g. its folder.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.skipped_in_a_row = 0

    def accepts(self, norm: float, step: int) -> bool:
        """Whether the gradient of step ``step`` (from 1), of this norm, is finite.

        Raises
        ------
        TrainingError
            After :data:`PATIENCE` steps in a row whose gradient is not.
        """
        self.skipped_in_a_row = 0 if math.isfinite(norm) else self.skipped_in_a_row + 1
        if self.skipped_in_a_row >= PATIENCE:
            raise TrainingError(
                f"{self.what}: the gradients of {PATIENCE} steps in a row, up to step {step}, hold "
                "NaN or infinity; start in another folder with a lower learning rate or "
                "precision: no"
            )
        return not self.skipped_in_a_row
