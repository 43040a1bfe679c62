"""Finds differences between averages over stems that come mostly from bass.

Rule
----
lead      difference of two systems in the average over stems, in the better direction, at the
          printed precision. Pairs: systems that are compared in the column, and each of them with
          the mixture
share     of bass in a lead, over ``n`` stems: ``1 - (n - 1) / n * lead without bass / lead``. For a
          mean over songs this is the difference on bass, over ``n``, as a share of the lead
carries   bass carries a lead if its share is more than one half; above one, the order without bass
          is reversed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from typing import TYPE_CHECKING

from benchsep.report.tables.columns import display
from benchsep.report.tables.fill import compared, of_column
from benchsep.stats.songs import AVERAGE, WITHOUT_BASS

if TYPE_CHECKING:
    from benchsep.report.tables.edition import Edition
    from benchsep.report.tables.model import Column


@dataclass(frozen=True)
class Lead:
    """A lead that bass carries."""

    system: str
    over: str
    share: float
    """Share of bass in the lead; more than one half."""


def share_of_bass(lead: float, lead_without: float, stems: int) -> float:
    """The share of bass in ``lead``, the difference of two averages over ``stems`` stems.

    Parameters
    ----------
    lead
        Positive; in the metric's unit.
    lead_without
        The same difference of the averages over the other stems.
    """
    return 1.0 - (stems - 1) / stems * lead_without / lead


def carried_by_bass(edition: Edition, column: Column) -> list[Lead]:
    """The leads that bass carries in a column of averages, the largest share first."""
    if column.stem != AVERAGE or not column.direction:
        return []
    averages = _values(edition, column)
    others = _values(edition, replace(column, stem=WITHOUT_BASS))
    stems, found = len(edition.stems(column.metric)), []
    for system, over in _pairs(edition, column):
        if {system, over} <= averages.keys() & others.keys():
            lead = column.direction * (averages[system] - averages[over])
            if round(lead, column.digits) > 0:
                rest = column.direction * (others[system] - others[over])
                found.append(Lead(system, over, share_of_bass(lead, rest, stems)))
    carried = [lead for lead in found if lead.share > 0.5]
    return sorted(carried, key=lambda lead: (-lead.share, lead.system, lead.over))


def _values(edition: Edition, column: Column) -> dict[str, float]:
    summaries = of_column(edition, column)
    return {label: s.value for label, s in summaries.items() if s.value is not None}


def _pairs(edition: Edition, column: Column) -> Iterator[tuple[str, str]]:
    """Pairs ``(system, over)``: within the compared groups, and each system over the mixture."""
    mixtures = [label for label, family in edition.families.items() if label == family == "mixture"]
    for group in compared(edition, column, of_column(edition, column)):
        yield from permutations(group, 2)
        yield from ((system, mixture) for system in group for mixture in mixtures)


def columns_without(columns: Sequence[Column], edition: Edition) -> list[Column]:
    """Averages without bass, for the columns in which bass carries a lead."""
    return [
        replace(column, stem=WITHOUT_BASS, head=_head(column, edition), axis="", spread=False)
        for column in columns
        if carried_by_bass(edition, column)
    ]


def _head(column: Column, edition: Edition) -> str:
    name = "" if column.in_title else display(column.metric, edition.traits)
    return f"{name} without bass".lstrip()


def clause(columns: Iterable[Column], edition: Edition) -> list[str]:
    """A clause for the caption with the number of leads that bass carries; empty without any."""
    leads = sum(len(carried_by_bass(edition, column)) for column in columns)
    if not leads:
        return []
    words = (
        "difference between averages comes" if leads == 1 else "differences between averages come"
    )
    return [f"{leads} {words} mostly from bass"]


def sentence(columns: Iterable[Column], edition: Edition) -> str:
    """A warning that lists the leads that bass carries; empty without any."""
    parts = []
    for column in columns:
        if leads := carried_by_bass(edition, column):
            most = f"{leads[0].system} over {leads[0].over} {100 * leads[0].share:.0f} %"
            name = display(column.metric, edition.traits)
            pairs = "1 pair" if len(leads) == 1 else f"{len(leads)} pairs"
            parts.append(f"{name}: {pairs}, the largest share is {most}")
    if not parts:
        return ""
    return (
        "Bass makes more than half of the difference between the averages of two systems "
        f"({'; '.join(parts)}). Above 100 % the two change their order without bass. The mean "
        "without bass, on the same songs, stands beside the average."
    )
