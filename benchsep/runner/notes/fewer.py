"""A note on songs with missing draws of a system; their values are means over the available draws.

The cause is an interrupted run, or a run with more draws than an earlier one in its folder. A mean
over fewer draws is a valid value, but with more noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def fewer_draws(cells: pd.DataFrame, manifest: Mapping[str, Any]) -> list[str]:
    """A sentence for each system that lacks draws of some songs, by label.

    Parameters
    ----------
    cells
        Cells without pseudo stems. Without a column ``draw`` there is no note.
    manifest
        Has the requested number of draws. For a system that it does not describe, the largest
        number of draws of any song is expected.
    """
    asked = int((manifest.get("suite") or {}).get("draws") or 1)
    if "draw" not in cells or (asked == 1 and cells["draw"].nunique() < 2):
        return []
    found = []
    for label, rows in cells.groupby("system"):
        expected = _expected(str(label), manifest, asked, int(rows["draw"].nunique()))
        if expected > 1 and (sentence := _sentence(str(label), rows, expected)):
            found.append(sentence)
    return found


def _expected(label: str, manifest: Mapping[str, Any], asked: int, most: int) -> int:
    """Expected draws per song; ``most``: the largest number of any song of the system."""
    info = (manifest.get("systems") or {}).get(label, {}).get("info")
    if not isinstance(info, dict) or "deterministic" not in info:
        return most
    return 1 if info["deterministic"] else asked


def _sentence(label: str, rows: pd.DataFrame, expected: int) -> str:
    """Only for songs with a value; a song without one has its own reason."""
    valued = rows[rows["status"] == "ok"]
    counts = valued.groupby(["track", "metric", "stem"])["draw"].nunique()
    least = counts.groupby("track").min()
    fewer = least[least < expected].sort_values(kind="stable")
    if fewer.empty:
        return ""
    song, number = fewer.index[0], int(fewer.iloc[0])
    return (
        f"{label}: {len(fewer)} of {len(least)} songs have fewer than {expected} draws "
        f"({song}: {number}). Their values are means over the draws that are there; run the suite "
        "again to complete them."
    )
