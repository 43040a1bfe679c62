"""A run as one long table: a row for each cell, for statistics, tables and figures alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep.runner.store import Store

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "system",
    "family",
    "track",
    "stem",
    "metric",
    "draw",
    "value",
    "status",
    "edition",
    "frames",
    "seconds",
    "key",
    "metric_version",
    "metric_id",
    "estimate_id",
    "checkpoint_sha256",
    "reference_sha256",
    "mixture_sha256",
    "mixture_source",
    "split",
)
COST_COLUMNS = (
    "system",
    "family",
    "track",
    "draw",
    "seconds",
    "audio_seconds",
    "rtf",
    "peak_memory_mb",
)


def load_run(path: str | Path) -> pd.DataFrame:
    """All cells of a run, sorted by system, track, metric, stem, draw.

    ``value`` is float (NaN where there is none), ``frames`` a list or ``None``; the columns are
    :data:`COLUMNS`.

    Raises
    ------
    StoreError
        if the folder is no run folder.
    """
    import pandas as pd

    store = Store(Path(path))
    store.manifest()
    rows = [_row(record, cell) for record in store.records() for cell in record["cells"]]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["value"] = frame["value"].astype(float)
    order = ["system", "track", "metric", "stem", "draw"]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


def _row(record: dict[str, Any], cell: dict[str, Any]) -> dict[str, Any]:
    own = {key: record.get(key) for key in COLUMNS if key in record}
    draw = record["draws"].get(str(cell["draw"]), {})
    return {
        **own,
        **{key: cell.get(key) for key in cell if key in COLUMNS},
        "estimate_id": draw.get("estimate_id", ""),
        "reference_sha256": record["reference_sha256"].get(cell["stem"], ""),
    }


def load_costs(path: str | Path) -> pd.DataFrame:
    """What each separation took: seconds, real-time factor, peak memory."""
    import pandas as pd

    rows = [
        _cost(record, int(draw), cost)
        for record in Store(Path(path)).records()
        for draw, cost in sorted(record["draws"].items())
    ]
    return pd.DataFrame(rows, columns=list(COST_COLUMNS))


def _cost(record: dict[str, Any], draw: int, cost: dict[str, Any]) -> dict[str, Any]:
    seconds, audio = cost.get("seconds"), record["audio_seconds"]
    return {
        "system": record["system"],
        "family": record["family"],
        "track": record["track"],
        "draw": draw,
        "seconds": seconds,
        "audio_seconds": audio,
        "rtf": seconds / audio if seconds is not None and audio else None,
        "peak_memory_mb": cost.get("peak_memory_mb"),
    }
