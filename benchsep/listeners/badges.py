"""The badges of a metric: its agreement with listeners in published studies, per question.

The table ``validity_badges.json`` holds shares and intervals (no ratings), made by
:mod:`benchsep.listeners.verdicts` from the studies that it names (``benchmarks/badges.py``).

Conventions
-----------
headline   of a column: its badge from the study that compares families (scope ``across``)
verdict    ``holds`` if the interval of the share is above .50, ``fails`` if below, else ``unclear``
disagree   two studies of one question give a column different verdicts in the same scope

Functions
---------
badge         the headline of a column
badges_of     all badges of a column
shown         the badge to print beside a column
disagreement  a sentence on studies that disagree
fails_across  whether a metric is misleading in comparisons of generative with discriminative
              systems
warning       the line for a table that makes such comparisons
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep.listeners.scopes import FAMILIES, SCOPES, share_text, short_share
from benchsep.metrics.catalog import columns_by_alias

if TYPE_CHECKING:
    from benchsep.listeners.verdicts import Verdict
    from benchsep.metrics.metric import ValueTraits


ENDS = ("", "_low", "_high")


@dataclass(frozen=True)
class Share:
    """One scope of a badge; NaN if a study has no such pairs."""

    share: float = math.nan
    low: float = math.nan
    high: float = math.nan

    @property
    def known(self) -> bool:
        """Whether the study has such pairs."""
        return not math.isnan(self.share)

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``unclear``: the interval against .50."""
        if not self.known or math.isnan(self.low):
            return "unclear"
        return "fails" if self.high < 0.5 else "holds" if self.low > 0.5 else "unclear"

    @property
    def short(self) -> str:
        """``.84``."""
        return short_share(self.share)

    def __str__(self) -> str:
        return share_text(self.share, self.low, self.high)


@dataclass(frozen=True)
class Badge:
    """Agreement of one of benchsep's columns with listeners in one study and question."""

    column: str
    study: str
    question: str
    source: str
    """The study in a line."""
    discriminative: Share
    generative: Share
    across: Share
    listeners: Share
    """Number of listeners that the metric is worth (``inf``: more than the study can show)."""

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``unclear`` in the scope of :attr:`main`."""
        return self.main.verdict

    @property
    def scope(self) -> str:
        """``across`` if the study compares families, else its family."""
        return next(s for s in ("across", *FAMILIES) if getattr(self, s).known)

    @property
    def main(self) -> Share:
        """The share of :attr:`scope`."""
        share: Share = getattr(self, self.scope)
        return share

    def __str__(self) -> str:
        scopes = [
            f"{getattr(self, s)} {s if s == 'across' else f'within {s}'}"
            for s in SCOPES
            if getattr(self, s).known
        ]
        return f"{self.question}: {', '.join(scopes)} ({self.study})"


@cache
def _table() -> dict[str, Any]:
    text = resources.files("benchsep.listeners").joinpath("validity_badges.json").read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


@cache
def all_badges() -> dict[str, tuple[Badge, ...]]:
    """The built-in table by column (``validity_badges.json``; figures only, no ratings)."""
    studies = _table()["studies"]
    return {
        column: tuple(
            Badge(
                column,
                row["study"],
                row["question"],
                studies[row["study"]],
                **{s: _share(row.get(s)) for s in (*SCOPES, "listeners")},
            )
            for row in rows
        )
        for column, rows in _table()["columns"].items()
    }


def _share(values: Sequence[float | str | None] | None) -> Share:
    """Numbers of the file; ``"inf"`` is infinite, ``null`` is unknown."""
    return Share(*(math.nan if v is None else float(v) for v in values or ()))


def badges_of(column: str) -> tuple[Badge, ...]:
    """All badges of a column, the study that compares families first."""
    return all_badges().get(column, ())


def badge(column: str) -> Badge | None:
    """The headline of a column; ``None`` if no study compares families with it."""
    return next((b for b in badges_of(column) if b.across.known), None)


def shown(column: str) -> Badge | None:
    """The badge to print beside a column: the headline, else the one with the largest share."""
    found = badges_of(column)
    return badge(column) or max(found, key=lambda b: b.main.share, default=None)


def disagreement(column: str) -> str:
    """A sentence on studies with different verdicts on a column; empty without any.

    Studies are compared for the same question and in common scopes.
    """
    found = badges_of(column)
    for n, one in enumerate(found):
        for other in found[n + 1 :]:
            for scope in SCOPES:
                a, b = getattr(one, scope), getattr(other, scope)
                known = a.known and b.known and one.question == other.question
                if known and a.verdict != b.verdict:
                    within = scope if scope == "across" else f"within {scope}"
                    return (
                        f"studies disagree on {one.question} {within}: {a} ({one.study}), "
                        f"{b} ({other.study})"
                    )
    return ""


def fails_across(column: str, traits: ValueTraits) -> bool:
    """Whether comparisons of families with this metric are misleading, by listening data or by
    design.

    Listening data decide, if they exist. Without them, a waveform-matching metric counts as
    failing, because generated audio is not sample-aligned.
    """
    known = badge(column)
    return known.verdict == "fails" if known else traits.waveform_matching


def warning(
    columns: Sequence[str], traits: Mapping[str, ValueTraits], families: Iterable[str]
) -> str:
    """The warning for a table that compares families with metrics that fail across them.

    Empty if the table has only one family, or no metric fails.
    """
    failing = [c for c in columns if c in traits and fails_across(c, traits[c])]
    if not failing or not set(FAMILIES) <= set(families):
        return ""
    names = ", ".join(traits[c].display or c for c in failing)
    shares = sorted({short_share(known.across.share) for c in failing if (known := badge(c))})
    span = " to ".join(dict.fromkeys((shares[0], shares[-1]))) if shares else ""
    measured = f" (listeners agree on {span} of such pairs; .50 is chance)" if span else ""
    return (
        f"{names} cannot compare generative with discriminative systems{measured}: these metrics "
        "compare waveforms, and generated audio is not aligned with the reference to the sample. "
        "Compare their values within one family only."
    )


def write_badges(verdicts: Sequence[tuple[str, str, str, Verdict]], path: str | Path) -> None:
    """Write the badge table for the columns of benchsep.

    Parameters
    ----------
    verdicts
        ``(study, question, the study in a line, verdict)``; the study that compares families
        first.
    """
    names = {**columns_by_alias(), **{c: c for c in _own_columns()}}
    columns: dict[str, list[dict[str, Any]]] = {}
    for study, question, _, verdict in verdicts:
        for row in verdict.table.to_dict("records"):
            if (column := names.get(row["metric"])) is None:
                continue
            entry: dict[str, Any] = {"study": study, "question": question}
            for scope in SCOPES:
                if row[f"{scope}_pairs"]:
                    entry[scope] = [
                        _number(row[f"{scope}{end}"], 3) for end in ("", "_low", "_high")
                    ]
            entry["listeners"] = [
                _number(row[f"listeners{end}"], 1) for end in ("", "_low", "_high")
            ]
            columns.setdefault(column, []).append(entry)
    studies = {study: line for study, _, line, _ in verdicts}
    lines = [
        f"    {json.dumps(column)}: [\n      "
        + ",\n      ".join(map(json.dumps, columns[column]))
        + "\n    ]"
        for column in sorted(columns)
    ]
    head = json.dumps(studies, indent=4, ensure_ascii=False).replace("\n}", "\n  }")
    body = ",\n".join(lines)
    text = f'{{\n  "studies": {head},\n  "columns": {{\n{body}\n  }}\n}}\n'
    Path(path).write_text(text, "utf-8")


def _own_columns() -> Iterable[str]:
    from benchsep import registry
    from benchsep.metrics.catalog import traits_of
    from benchsep.metrics.combined import COMBINED

    ours = tuple(n for n in registry.names("metric") if registry.is_ours("metric", n))
    return [*traits_of(ours), *COMBINED]


def _number(value: float, digits: int) -> float | str | None:
    """A number that strict JSON holds."""
    if math.isnan(value):
        return None
    return "inf" if math.isinf(value) else round(float(value), digits)
