"""The status of one value: whether it is a number to use, and if not, why.

Conventions
-----------
ok                the value is finite and counts in every statistic
ref_silent        no value: the reference is silent
est_silent        no value: the estimate is silent
too_short         no value: the signal is shorter than the metric's window
ill_conditioned   a value that is numerical noise: shown, never ranked
not_finite        no value: a perfect or an infinite score
unavailable       no value: this machine, track or system lacks what the metric needs
failed            no value: an error

The text form is ``kind`` or ``kind: reason``; stores, tables and :class:`~benchsep.metrics.metric.
Score` hold this text. :meth:`Status.parse` is the one place that takes the text apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

StatusKind = Literal[
    "ok",
    "ref_silent",
    "est_silent",
    "too_short",
    "ill_conditioned",
    "not_finite",
    "unavailable",
    "failed",
]
KINDS: tuple[str, ...] = get_args(StatusKind)


_OF_THE_SIGNALS = re.compile(
    r"no (mixture|onset)\b|logWMSE needs the mixture|\w+ is silent$|the reference is never silent"
    r"|the (system gives|track has) no\b"
)
"""Reasons that follow from track and system alone: the same inputs give the same answer again."""


@dataclass(frozen=True, slots=True)
class Status:
    """``kind`` and the reason for it, if any. ``str(status)`` is the text form."""

    kind: StatusKind
    reason: str = ""

    @classmethod
    def parse(cls, text: str) -> Status:
        """The status that a text form names.

        Raises
        ------
        ValueError
            the text starts with no known kind.
        """
        kind, _, reason = text.partition(":")
        if kind not in KINDS:
            raise ValueError(f"unknown status {text!r}; expected one of {', '.join(KINDS)}")
        return cls(cast("StatusKind", kind), reason.removeprefix(" "))

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}" if self.reason else self.kind

    @property
    def may_become_available(self) -> bool:
        """Whether it is ``unavailable`` for a reason that another machine may not have."""
        return self.kind == "unavailable" and not _OF_THE_SIGNALS.match(self.reason)
