"""Converts values of windows in a table to cells of songs.

Conventions
-----------
value    the median over the windows with a value (museval's rule, and ours)
windows  BSSEval uses 1 s. Values of other window lengths are not comparable; nor is the median over
         windows of a metric that the run computes over the whole song. Both get their own column
hop      the smallest distance between two windows of a metric in the file (windows without a value
         may be missing); 1 s if each song has one window
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from benchsep.imported.museval import WINDOW, column_of_windows, over_windows
from benchsep.metrics.catalog import traits_of_columns
from benchsep.runner.traits import IMPORTED

Values = Mapping[float, float | None]
"""Start of a window in seconds to its value."""


def in_windows(rows: Sequence[dict[str, Any]], windows: Sequence[Values]) -> list[dict[str, Any]]:
    """Rows with the median over their windows, and the resulting metric name.

    ``windows``: the windows of each row.
    """
    times: dict[str, list[list[float]]] = {}
    for row, values in zip(rows, windows, strict=True):
        times.setdefault(row["metric"], []).append(sorted(values))
    names = {metric: (_named(metric, of), _hop(of)) for metric, of in times.items()}
    return [
        {**row, "metric": names[row["metric"]][0], **_cell(values, names[row["metric"]][1])}
        for row, values in zip(rows, windows, strict=True)
    ]


def _cell(values: Values, hop: float) -> dict[str, Any]:
    value, status = over_windows(list(values.values()))
    return {"value": value, "status": status, "frames": _frames(values, hop)}


def _frames(values: Values, hop: float) -> list[float | None]:
    """A value for each window from the start of the song; ``None`` for missing ones."""
    if hop != WINDOW or not _on_grid(values, hop):
        return [values[time] for time in sorted(values)]
    by_number = {round(time / hop): value for time, value in values.items()}
    return [by_number.get(i) for i in range(max(by_number, default=-1) + 1)]


def _named(metric: str, times: Sequence[Sequence[float]]) -> str:
    if metric.startswith(IMPORTED):
        return metric
    traits = traits_of_columns([metric]).get(metric)
    if traits is None or traits.window_s is None:
        return f"{IMPORTED}{metric.replace('.', ' ')}, median over windows"
    hop = _hop(times)
    name = metric.rpartition(".")[2].upper()
    return column_of_windows(name, hop if all(_on_grid(song, hop) for song in times) else 0.0)


def _hop(times: Sequence[Sequence[float]]) -> float:
    gaps = [round(b - a, 6) for song in times for a, b in itertools.pairwise(song)]
    return min(gaps, default=WINDOW)


def _on_grid(times: Values | Sequence[float], hop: float) -> bool:
    return all(math.isclose(time / hop, round(time / hop), abs_tol=1e-6) for time in times)
