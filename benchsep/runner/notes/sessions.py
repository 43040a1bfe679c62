"""Systems whose separations were not timed in one call of ``benchsep run``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def sessions_of(costs: pd.DataFrame, systems: Collection[str]) -> dict[str, frozenset[str]]:
    """The sessions behind the real-time factors of each system; of ``load_costs``."""
    if "session" not in costs:
        return {}
    timed = costs[costs["rtf"].notna() & costs["system"].isin(list(systems))]
    return {
        str(label): frozenset(map(str, rows["session"])) for label, rows in timed.groupby("system")
    }


def timed_apart(sessions: Mapping[str, frozenset[str]], systems: Iterable[str]) -> list[str]:
    """A sentence that says which of the systems were timed together, if not all were."""
    together: dict[frozenset[str], list[str]] = {}
    for label in systems:
        if found := sessions.get(label):
            together.setdefault(found, []).append(label)
    if len(frozenset[str]().union(*together)) < 2:
        return []
    words = "; ".join(", ".join(labels) for labels in together.values())
    return [
        f"RTF was measured in several calls of `benchsep run`; measured in one call: {words}. The "
        "load of the machine, or the machine, may differ between calls; to compare RTF, run the "
        "systems in one call."
    ]
