"""Chooses the metric that answers a listeners' question best, by the badges.

Rule
----
scope     of the compared systems: ``across`` if both families or neither are among them, else their
          family
evidence  the studies of the question in this scope. A metric without them may be judged by studies
          of another scope, unless it fails across families, by listening data or by design
supports  at least one study's 95 % interval is above chance (.50), none is below, and the mean
          share over studies is above chance
order     first metrics with evidence in the scope, then by mean share, then by the order of tables.
          Equal shares are a tie, which is reported
never     metrics without a better direction, and quality networks trained on speech
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchsep.listeners import badges
from benchsep.listeners.scopes import FAMILIES, QUESTIONS, Question, share_text, short_share
from benchsep.metrics.catalog import default_metrics, traits_of_columns
from benchsep.metrics.names import metric_of

if TYPE_CHECKING:
    from benchsep.listeners.badges import Share
    from benchsep.metrics.metric import ValueTraits


@dataclass(frozen=True)
class Judge:
    """A metric that answers the question, with its agreement with listeners."""

    column: str
    scope: str
    """Scope of the evidence; it differs from that of the comparison if no study has this."""
    shares: Mapping[str, Share]
    """Study to the share of pairs on which metric and listeners agree."""
    ties: tuple[str, ...] = ()
    """Other columns with the same share."""

    @property
    def share(self) -> float:
        """Mean over the studies."""
        return math.fsum(s.share for s in self.shares.values()) / len(self.shares)

    @property
    def studies(self) -> tuple[str, ...]:
        return tuple(self.shares)

    def __str__(self) -> str:
        """``.71 [.67, .75]``; for several studies the mean and each share."""
        if len(self.shares) == 1:
            (share,) = self.shares.values()
            return share_text(share.share, share.low, share.high)
        return f"{short_share(self.share)} ({', '.join(s.short for s in self.shares.values())})"


def scope_of(families: Iterable[str]) -> str:
    """The scope for a comparison of systems of these families."""
    known = [family for family in FAMILIES if family in set(families)]
    return known[0] if len(known) == 1 else "across"


def judges(
    columns: Iterable[str], traits: Mapping[str, ValueTraits], question: Question, scope: str
) -> list[Judge]:
    """The columns that answer the question in ``scope``, best first."""
    found = [_judge(column, traits, question, scope) for column in columns]
    return sorted(
        (judge for judge in found if judge is not None),
        key=lambda judge: (*_merit(judge, scope), *_place(judge.column, traits)),
    )


def axes(
    columns: Iterable[str], traits: Mapping[str, ValueTraits], scope: str
) -> dict[Question, Judge]:
    """The best judge of each question; a question that no column answers is left out.

    The two questions contradict each other, so no column answers both: it keeps the question with
    the larger share.
    """
    found = {question: judges(columns, traits, question, scope) for question in QUESTIONS}
    heads = [ranked[0] for ranked in found.values() if ranked]
    if len(heads) == 2 and heads[0].column == heads[1].column:
        weaker = min(QUESTIONS, key=lambda q: found[q][0].share)
        found[weaker] = found[weaker][1:]
    return {q: _with_ties(ranked, scope) for q, ranked in found.items() if ranked}


def metric_to_add(question: Question, scope: str) -> str:
    """The metric with the best judge, preferably of the default suite; empty without a judge.

    Metrics whose weights the user must download come last.
    """
    known = badges.all_badges()
    found = judges(known, traits_of_columns(known), question, scope)
    names = [metric_of(judge.column) for judge in found]
    return next((name for name in names if name in default_metrics()), next(iter(names), ""))


def _judge(
    column: str, traits: Mapping[str, ValueTraits], question: Question, scope: str
) -> Judge | None:
    own = traits.get(column)
    if own is None or not own.direction or own.speech_model:
        return None
    tolerant = not badges.fails_across(column, own)
    if scope == "across" and not tolerant:
        return None
    for tried in dict.fromkeys((scope, *(FAMILIES if tolerant else ()))):
        shares = {
            b.study: getattr(b, tried)
            for b in badges.badges_of(column)
            if b.question == question and getattr(b, tried).known
        }
        if shares:
            judge = Judge(column, tried, shares)
            return judge if _supports(judge) else None
    return None


def _supports(judge: Judge) -> bool:
    verdicts = {share.verdict for share in judge.shares.values()}
    return "holds" in verdicts and "fails" not in verdicts and judge.share > 0.5


def _merit(judge: Judge, scope: str) -> tuple[bool, float]:
    return judge.scope != scope, -round(judge.share, 3)


def _place(column: str, traits: Mapping[str, ValueTraits]) -> tuple[float, str]:
    rank = traits[column].rank
    return math.inf if rank is None else rank, column


def _with_ties(ranked: list[Judge], scope: str) -> Judge:
    first = ranked[0]
    ties = [j.column for j in ranked[1:] if _merit(j, scope) == _merit(first, scope)]
    return Judge(first.column, first.scope, first.shares, tuple(ties))
