"""The identity of a run's inputs: edition, audio, checkpoints, metric versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from benchsep.errors import DriftError

if TYPE_CHECKING:
    import pandas as pd

    from benchsep.gate.cells import CellKey

HASH = 16
"""Kept hexadecimal digits of a hash."""

FACTS = ("edition", "metric_version", "checkpoint_sha256", "mixture_sha256", "reference_sha256")
"""Columns of a run that :func:`input_facts` reads."""


def input_facts(frame: pd.DataFrame, cells: Iterable[CellKey]) -> dict[str, Any]:
    """The identity of the inputs: edition, references, metric versions, checkpoints.

    Raises
    ------
    DriftError
        the run has two editions, or two values of one fact.
    """
    editions = sorted(set(frame["edition"].astype(str)))
    if len(editions) != 1:
        raise DriftError(f"a baseline holds one edition of the data, found {', '.join(editions)}")
    frame = frame[frame["metric"].isin({key.metric for key in cells})]
    references: dict[str, dict[str, str]] = {}
    for (track, stem), sha in _unique(frame, ["track", "stem"], "reference_sha256").items():
        references.setdefault(track, {})[stem] = sha
    return {
        "edition": editions[0],
        "metric_versions": _unique(frame, ["metric"], "metric_version"),
        "checkpoints": _unique(frame, ["system"], "checkpoint_sha256"),
        "mixtures": _unique(frame, ["track"], "mixture_sha256"),
        "references": references,
    }


def metric_settings(frame: pd.DataFrame, cells: Iterable[CellKey]) -> dict[str, str]:
    """Metric to its identity (version, settings such as a hash of weights, packages), for metrics
    with values; empty if the run does not say.

    Raises
    ------
    DriftError
        a metric has two identities in the run.
    """
    if "metric_id" not in frame:
        return {}
    asked = frame["metric"].isin({key.metric for key in cells}) & frame["value"].notna()
    return _unique(frame[asked], ["metric"], "metric_id")


def _unique(frame: pd.DataFrame, by: list[str], column: str) -> dict[Any, str]:
    """The value of ``column`` for each key; two different values are an error.

    Empty values are ignored, because failed cells may have none.
    """
    values: dict[Any, str] = {}
    short = HASH if column.endswith("sha256") else None
    # dict.fromkeys removes duplicates, because a run has thousands of them.
    for *key, value in dict.fromkeys(zip(*(frame[c] for c in (*by, column)), strict=True)):
        text = "" if value is None or value != value else str(value)[:short]
        name = key[0] if len(by) == 1 else tuple(key)
        if text and values.get(name) and values[name] != text:
            raise DriftError(
                f"{name} has two values of {column} in one run: {values[name]}, {text}"
            )
        values[name] = text or values.get(name, "")
    return dict(sorted(values.items()))
