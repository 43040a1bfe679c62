"""Energies and ratios of energies in dB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def energy(values: NDArray[np.float64]) -> float:
    """Sum of squares over all entries."""
    flat = np.ravel(values)
    return float(np.dot(flat, flat))


def ratio_db(above: float, below: float) -> float:
    """``10 log10(above / below)`` of two energies.

    ``inf`` if ``below`` is zero (also for 0 / 0), ``-inf`` if only ``above`` is zero.
    """
    if below <= 0.0:
        return float("inf")
    if above <= 0.0:
        return float("-inf")
    return float(10.0 * np.log10(above / below))
