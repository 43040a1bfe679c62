"""The status of one value: usable, or the reason why not.

Conventions
-----------
ok                the value is finite and counts in every statistic
ref_silent        no value: the reference is silent
est_silent        no value: the estimate is silent
too_short         no value: the signal is shorter than the metric's window
ill_conditioned   a value that is numerical noise: shown, never ranked
not_finite        no value: a perfect or an infinite score
undefined         no value: it is not defined for these signals (no onset, no such stem); final
unavailable       no value: weights or a package are not installed here; computed again once they
                  are
failed            no value: an error; computed again by the next run

A metric that cannot return the last two in a :class:`~benchsep.metrics.metric.Score` raises
:class:`~benchsep.errors.Undefined` or :class:`~benchsep.errors.Unavailable`, which
:meth:`Status.raised` turns into a status.

The text form is ``kind`` or ``kind: reason``; stores, tables and :class:`~benchsep.metrics.metric.
Score` hold this text. Only :meth:`Status.parse` parses this text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from benchsep._util.reason import message_of
from benchsep.errors import Unavailable, Undefined

StatusKind = Literal[
    "ok",
    "ref_silent",
    "est_silent",
    "too_short",
    "ill_conditioned",
    "not_finite",
    "undefined",
    "unavailable",
    "failed",
]
KINDS: tuple[str, ...] = get_args(StatusKind)


IN_WORDS: tuple[StatusKind, ...] = ("undefined", "unavailable", "failed")
"""Kinds whose reason tables print in a sentence."""

NoValue = (Undefined, Unavailable)
"""Exceptions that a metric may raise instead of returning a status."""


@dataclass(frozen=True, slots=True)
class Status:
    """``kind`` and the reason for it, if any. ``str(status)`` is the text form."""

    kind: StatusKind
    reason: str = ""

    @classmethod
    def parse(cls, text: str) -> Status:
        """The status of a text form.

        Raises
        ------
        ValueError
            the text starts with no known kind.
        """
        kind, _, reason = text.partition(":")
        if kind not in KINDS:
            raise ValueError(f"unknown status {text!r}; expected one of {', '.join(KINDS)}")
        return cls(cast("StatusKind", kind), reason.removeprefix(" "))

    @classmethod
    def raised(cls, error: Undefined | Unavailable) -> Status:
        """The status of the values of a metric that raised."""
        kind: StatusKind = "undefined" if isinstance(error, Undefined) else "unavailable"
        return cls(kind, message_of(error))

    def __str__(self) -> str:
        return f"{self.kind}: {self.reason}" if self.reason else self.kind
