"""A note on duplicate songs of a run: links or copies with another name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 3
"""Most groups that the note names."""


def same_songs(manifest: Mapping[str, Any]) -> list[str]:
    """A sentence if tracks have mixtures with equal samples.

    ``manifest``: of a finished run, with the hash of each mixture.
    """
    by_hash: dict[str, list[str]] = {}
    for song, sha256 in sorted((manifest.get("mixtures") or {}).items()):
        by_hash.setdefault(sha256, []).append(song)
    groups = [songs for sha256, songs in by_hash.items() if sha256 and len(songs) > 1]
    if not groups:
        return []
    named = "; ".join(" = ".join(songs) for songs in groups[:MOST])
    more = f" and {len(groups) - MOST} more" if len(groups) > MOST else ""
    return [
        f"One mixture has several song names, and each name counts as a song: {named}{more}. So "
        "this mixture has more weight than others, and intervals are too narrow; leave out the "
        "links or copies."
    ]
