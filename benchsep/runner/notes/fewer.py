"""Songs that lack a draw of a system: their values are means over the draws that are there.

A run that was ended half way, or that asks for more draws than an earlier one in its folder, leaves
such songs. A mean over fewer draws is an honest value of the song, with more noise in it, and a
reader has to know.
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
        Cells without pseudo stems. Without a column ``draw`` nothing is known and nothing is said.
    manifest
        It says how many draws were asked for. Of a system that it does not describe, as many are
        expected as its best song has.
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
    """Draws of each song; ``most``: those that the system has of any song."""
    info = (manifest.get("systems") or {}).get(label, {}).get("info")
    if not isinstance(info, dict) or "deterministic" not in info:
        return most
    return 1 if info["deterministic"] else asked


def _sentence(label: str, rows: pd.DataFrame, expected: int) -> str:
    """Of the songs that have a value; a song that lacks one has a reason of its own."""
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
