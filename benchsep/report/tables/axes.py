"""The first two columns of an overview: quality and interference.

Each is the run's column that agrees best with listeners on the question, by the rule of
:mod:`benchsep.listeners.judges`, for the families in the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchsep.listeners.judges import Judge, axes, metric_to_add, scope_of
from benchsep.listeners.scopes import QUESTIONS, short_share
from benchsep.report.tables.columns import display

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchsep.listeners.scopes import Question
    from benchsep.report.tables.edition import Edition


def axes_of(edition: Edition) -> dict[Question, Judge]:
    """The first columns of an edition's overview, with their badges."""
    return axes(edition.metrics, edition.traits, _scope(edition))


def _scope(edition: Edition) -> str:
    return scope_of(edition.families.values())


def axis_head(question: str, judge: Judge, scope: str, name: str) -> str:
    """``Quality: ViSQOL (.71)``; a share of another scope has an asterisk."""
    star = "" if judge.scope == scope else "*"
    return f"{question.title()}: {name} ({short_share(judge.share)}{star})"


def heads(edition: Edition, names: Mapping[str, str]) -> dict[str, tuple[Question, str]]:
    """Column to its question and head; ``names`` are the columns' names as printed."""
    scope = _scope(edition)
    return {
        judge.column: (question, axis_head(question, judge, scope, names[judge.column]))
        for question, judge in axes_of(edition).items()
    }


def sentence(edition: Edition) -> str:
    """A note on the numbers in the heads: intervals, other scopes, ties; empty without axes."""
    scope, parts = _scope(edition), []
    for question, judge in axes_of(edition).items():
        text = f"{question} {judge} {_in_words(judge.scope)} ({', '.join(judge.studies)}"
        if judge.scope != scope:
            text += f"; *: no study of this metric has pairs {_in_words(scope)}"
        if judge.ties:
            names = ", ".join(display(c, edition.traits) for c in judge.ties)
            text += f"; {names} agrees equally"
        parts.append(f"{text})")
    if not parts:
        return ""
    return (
        "The first columns answer the questions of listeners. Each shows the metric of this run "
        "that agrees best with listeners (share of pairs of systems in the listeners' order): "
        f"{'; '.join(parts)}. Rule: docs/listeners.md#two-axes."
    )


def missing(edition: Edition) -> list[str]:
    """A note on the metric to add for a question that no metric of the run answers."""
    if edition.name == "mixtures":
        return []  # songs without true stems: no judge applies
    scope, found, lines = _scope(edition), axes_of(edition), []
    for question in QUESTIONS:
        if question not in found:
            name = metric_to_add(question, scope)
            add = f" Add the metric {name}." if name else ""
            lines.append(
                "No metric of this run is known to agree with listeners on "
                f"{question} {_in_words(scope)}.{add}"
            )
    return lines


def _in_words(scope: str) -> str:
    return "across families" if scope == "across" else f"within {scope} systems"
