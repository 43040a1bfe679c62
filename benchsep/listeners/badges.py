"""The badge of a metric: its agreement with listeners in published data.

The table ``validity_badges.json`` holds shares and intervals (no ratings) from
:func:`benchsep.listeners.agreement.agreement`; :func:`write_badges` writes it.

Functions
---------
badge         the badge of a column
fails_across  whether a metric misleads in comparisons of generative with discriminative systems
warning       the line for a table that makes such comparisons
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from benchsep.listeners.scopes import FAMILIES, SCOPES, share_text, short_share
from benchsep.metrics.catalog import columns_by_alias

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.metrics.metric import ValueTraits


@dataclass(frozen=True)
class Share:
    """One scope of a badge."""

    share: float
    low: float
    high: float

    @property
    def short(self) -> str:
        """``.84``."""
        return short_share(self.share)

    def __str__(self) -> str:
        return share_text(self.share, self.low, self.high)


@dataclass(frozen=True)
class Badge:
    """Agreement of one of benchsep's columns with listeners in published data."""

    column: str
    source: str
    discriminative: Share
    generative: Share
    across: Share

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``unclear`` across families: the interval against .50."""
        if self.across.high < 0.5:
            return "fails"
        return "holds" if self.across.low > 0.5 else "unclear"

    def __str__(self) -> str:
        return (
            f"{self.discriminative} within discriminative, {self.generative} within generative, "
            f"{self.across} across"
        )


@cache
def badges() -> dict[str, Badge]:
    """The built-in table by column (``validity_badges.json``; figures only, no ratings)."""
    text = resources.files("benchsep.listeners").joinpath("validity_badges.json").read_text("utf-8")
    content = json.loads(text)
    return {
        column: Badge(column, content["source"], **{s: Share(*row[s]) for s in SCOPES})
        for column, row in content["columns"].items()
    }


def badge(column: str) -> Badge | None:
    """The badge of a column; ``None`` where no listening data judge it."""
    return badges().get(column)


def fails_across(column: str, traits: ValueTraits) -> bool:
    """Whether comparing families by this metric is known to mislead, or is built to.

    Listening data decide where there are any; elsewhere a metric that matches waveforms counts
    as failing, since generated audio is not sample-aligned.
    """
    known = badge(column)
    return known.verdict == "fails" if known else traits.waveform_matching


def warning(
    columns: Sequence[str], traits: Mapping[str, ValueTraits], families: Iterable[str]
) -> str:
    """The line that a table needs which compares families by metrics that fail across them.

    Empty where the table holds one family, or every metric holds or is unjudged.
    """
    failing = [c for c in columns if c in traits and fails_across(c, traits[c])]
    if not failing or not set(FAMILIES) <= set(families):
        return ""
    names = ", ".join(traits[c].display or c for c in failing)
    shares = sorted({short_share(known.across.share) for c in failing if (known := badge(c))})
    span = " to ".join(dict.fromkeys((shares[0], shares[-1]))) if shares else ""
    measured = f" (listeners agree on {span} of such pairs; .50 is chance)" if span else ""
    return (
        f"{names} cannot compare generative with discriminative systems{measured}: waveforms are "
        "matched, and generated audio is not sample-aligned. Read within a family."
    )


def write_badges(agreement: pd.DataFrame, path: str | Path, source: str) -> None:
    """Write the badge table from an agreement table, for the columns that benchsep has."""
    rows = {row["metric"]: row for row in agreement.to_dict("records")}
    columns = {}
    for name, column in sorted(columns_by_alias().items(), key=lambda item: item[1]):
        if row := rows.get(name):
            columns[column] = {
                scope: [round(float(row[f"{scope}{end}"]), 3) for end in ("", "_low", "_high")]
                for scope in SCOPES
            }
    lines = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in columns.items())
    head = f'{{\n  "source": {json.dumps(source)},\n  "columns": {{\n'
    Path(path).write_text(f"{head}{lines}\n  }}\n}}\n", "utf-8")
