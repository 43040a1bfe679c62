"""The questions and scopes of agreement with listeners, and the format of a share."""

from __future__ import annotations

import math
from typing import Literal

Question = Literal["quality", "interference"]
QUESTIONS: tuple[Question, ...] = ("quality", "interference")
"""Questions to listeners: how good is it, and how little of the other sources is audible?"""
FAMILIES = ("discriminative", "generative")
SCOPES = (*FAMILIES, "across")
"""``discriminative``, ``generative``: both systems of a pair are of this family; ``across``: one of
each."""


def share_text(value: float, low: float, high: float) -> str:
    """``.87 [.82, .93]``, ``-`` without a value."""
    if math.isnan(value):
        return "-"
    limits = "" if math.isnan(low) else f" [{short_share(low)}, {short_share(high)}]"
    return short_share(value) + limits


def short_share(value: float) -> str:
    """``.84``."""
    return f"{value:.2f}".removeprefix("0") if 0 <= value < 0.995 else f"{value:.2f}"
