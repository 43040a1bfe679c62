"""One table per question of a study: the agreement of each metric, and the number of listeners it
is worth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchsep.errors import UsageError
from benchsep.listeners import agreement as judge
from benchsep.listeners.scopes import SCOPES
from benchsep.listeners.worth import Worth, curves, worth

if TYPE_CHECKING:
    import pandas as pd

WORTH = ("listeners", "listeners_low", "listeners_high")


@dataclass(frozen=True)
class Verdict:
    """The agreement of the metrics with listeners for one question."""

    title: str
    table: pd.DataFrame
    """:func:`benchsep.listeners.agreement.agreement`, best first in :attr:`scope`, with
    ``listeners listeners_low listeners_high`` (NaN: not known)."""
    scope: str
    """The scope that orders the table: ``across`` if there are such pairs."""
    curve: tuple[float, ...]
    """Agreement of 1, 2, 3 … listeners with the others, in the same scope."""


def verdict(
    title: str,
    ratings: pd.DataFrame,
    clips: pd.DataFrame,
    *,
    metrics: Sequence[str] | None = None,
    directions: Mapping[str, int] | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge the metrics in the columns of ``clips`` (a row per clip) by ``ratings`` (per rating).

    Raises
    ------
    UsageError
        see :func:`benchsep.listeners.agreement.agreement`.
    """
    table = judge.agreement(clips, metrics=metrics, directions=directions, seed=seed)
    skipped = table.attrs.get("skipped")
    pairs = {scope: int(table[f"{scope}_pairs"].max()) for scope in SCOPES}
    scope = "across" if pairs["across"] else max(SCOPES, key=lambda s: pairs[s])
    table = table.sort_values([scope, "metric"], ascending=[False, True], ignore_index=True)
    found, curve = _worth(ratings, clips, table, scope, seed)
    for name in WORTH:
        part = name.removeprefix("listeners_")
        table[name] = [getattr(w, part) if w is not None else math.nan for w in found]
    table.attrs["skipped"] = skipped
    return Verdict(title, table, scope, curve)


def _worth(
    ratings: pd.DataFrame, clips: pd.DataFrame, table: pd.DataFrame, scope: str, seed: int
) -> tuple[list[Worth | None], tuple[float, ...]]:
    """The worth of each metric of the table; empty if the ratings have no raters."""
    columns = dict(zip(table["metric"], table["direction"], strict=True))
    keys = ["song", *(["stem"] if "stem" in clips.columns else []), "system"]
    plain = ratings[[*keys, "family", "rater", "rating"]]
    if "stem" not in plain.columns:
        plain = plain.assign(stem="")
    joined = plain.merge(clips[[*keys, *columns]], on=keys, how="left")
    try:
        found = curves(joined, columns, scope=scope, seed=seed)
    except UsageError:
        return [None] * len(table), ()
    return (
        [worth(found, metric, seed=seed) for metric in table["metric"]],
        tuple(found.agreement(n) for n in found.counts),
    )


def _worth_text(row: Mapping[Any, Any], found: Verdict) -> str:
    listeners, low, high = (float(row[name]) for name in WORTH)
    return str(Worth(listeners, low, high, len(found.curve)))


def render(found: Verdict) -> str:
    """The table for a terminal, under its title."""
    from benchsep._util import text_table
    from benchsep.listeners.scopes import share_text

    scopes = [s for s in SCOPES if found.table[f"{s}_pairs"].max()] or list(SCOPES)
    head = ["metric", *scopes, "pairs", *(["listeners"] if found.curve else [])]
    body = [
        [
            f"{row['metric']}{'' if row['direction'] > 0 else ' (lower is better)'}",
            *(share_text(row[s], row[f"{s}_low"], row[f"{s}_high"]) for s in scopes),
            "/".join(str(row[f"{s}_pairs"]) for s in scopes),
            *([_worth_text(row, found)] if found.curve else []),
        ]
        for row in found.table.to_dict("records")
    ]
    notes = [
        "share of same-song pairs ordered as by listeners (.50 is chance), 95 % song bootstrap"
    ]
    if found.curve:
        shares = ", ".join(f"{share:.2f}".removeprefix("0") for share in found.curve[:4])
        notes.append(
            f"listeners: how many listeners order the pairs ({found.scope}) as well as the metric; "
            f"1, 2, 3 … agree with the others in {shares}"
        )
    if skipped := found.table.attrs.get("skipped"):
        notes.append(f"direction unknown, left out: {', '.join(skipped)}")
    return "\n".join([found.title, *text_table.lines(head, body), "", *notes]) + "\n"
