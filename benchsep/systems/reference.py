"""Reference systems: they bound what a separator can score and are never ranked.

The mixture as the estimate of every stem is the score of doing nothing. The oracles use the true
stems: they give the score of the best mask, and of a perfect result.
"""

from __future__ import annotations

REFERENCE_FAMILIES = ("mixture", "oracle")
"""Families (:data:`benchsep.systems.contract.Family`) of reference systems, in table order."""

REFERENCE_SYSTEMS = ("mixture", "reference", "oracle-irm", "oracle-mwf")
"""The reference systems that a run includes unless ``yardsticks`` is off."""

WRONG_SONG = "wrong-song"
"""The stems of another song; also included, if the data set has two songs or more."""
