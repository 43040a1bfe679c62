"""Folders of prepared training data: made once, and never taken for those of other data.

Conventions
-----------
``source.json`` in the folder says what it was made from; a folder is complete when it holds an
index as well. A complete folder is used again only for the same facts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchsep._util.atomic import sweep, write_atomically
from tokensep.errors import DataError

INDEX, SOURCE = "index.json", "source.json"


def is_ready(folder: Path, facts: dict[str, Any]) -> bool:
    """Whether ``folder`` is complete; False if it is still to be made.

    Raises
    ------
    DataError
        it is complete, and made from something else.
    """
    if not (folder / INDEX).exists():
        return False
    try:
        found = json.loads((folder / SOURCE).read_text())
    except (OSError, ValueError):
        found = {}
    found = found if isinstance(found, dict) else {}
    if found == facts:
        return True
    differs = [key for key in facts if found.get(key) != facts[key]] or sorted(found)
    raise DataError(
        f"{folder} was made from other data or settings ({', '.join(differs)} differ"
        f"{'s' if len(differs) == 1 else ''}); give what it was made from, choose another run "
        "folder, or delete it to have it made anew"
    )


def declare(folder: Path, facts: dict[str, Any]) -> None:
    """Say what the folder is about to be made from; before its index is written."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep([folder])
    write_atomically(folder / SOURCE, json.dumps(facts, indent=1, sort_keys=True))


def mark_of(files: Iterable[tuple[Any, ...]]) -> str:
    """A digest of rows of labels and paths, of which names and sizes count."""
    content = [
        [
            [x.name, x.stat().st_size if x.is_file() else -1] if isinstance(x, Path) else x
            for x in row
        ]
        for row in files
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
