"""Reference systems: they bound what a separator can score and are never ranked.

The mixture as every stem shows what doing nothing scores; the oracles know the true stems and show
what the best mask, or a perfect result, scores.
"""

from __future__ import annotations

REFERENCE_FAMILIES = ("mixture", "oracle")
"""Families (:data:`benchsep.systems.contract.Family`) of reference systems, in table order."""

REFERENCE_SYSTEMS = ("mixture", "reference", "oracle-irm", "oracle-mwf")
"""The reference systems that a run includes unless ``yardsticks`` is off."""

WRONG_SONG = "wrong-song"
"""The stems of another song: included likewise where the data set has two songs or more."""
