"""Systems of a run or a board that are one system under several labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from benchsep._util.digest import canonical
from benchsep.runner.done import IDENTITY
from benchsep.systems.reference import REFERENCE_FAMILIES


def same_systems(manifest: Mapping[str, Any], shown: Collection[str]) -> list[str]:
    """A sentence, if several of the systems ``shown`` have the same weights and options.

    Folders and programs are not known by what they declare, and reference systems are not ranked.
    """
    groups: dict[str, list[str]] = {}
    for label, entry in sorted((manifest.get("systems") or {}).items()):
        info = entry.get("info") if isinstance(entry, Mapping) else None
        if label not in shown or not isinstance(info, Mapping) or not info.get("checkpoint_sha256"):
            continue
        outside = info.get("from_files") or info.get("from_program")
        if not outside and info.get("family") not in REFERENCE_FAMILIES:
            key = canonical([info.get(name) for name in IDENTITY])
            groups.setdefault(key, []).append(label)
    same = [" = ".join(labels) for labels in groups.values() if len(labels) > 1]
    if not same:
        return []
    return [
        f"One system has several names (same weights and options): {'; '.join(same)}. Each name "
        "counts in ranks and in the corrections of tests; leave out all but one."
    ]
