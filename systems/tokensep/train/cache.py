"""Cached training data: each folder is made once and is refused for any other data.

Conventions
-----------
``source.json`` in the folder says what it was made from; a folder is complete when it holds an
index as well. A complete folder is used again only for the same source.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchsep._util.atomic import sweep, write_atomically
from benchsep._util.strict_json import parse_json
from tokensep.errors import DataError

INDEX, SOURCE = "index.json", "source.json"


def is_ready(folder: Path, source: dict[str, Any]) -> bool:
    """Whether ``folder`` is complete; False if it must still be made.

    Raises
    ------
    DataError
        It is complete, and was made from something else.
    """
    if not (folder / INDEX).exists():
        return False
    try:
        stored = parse_json((folder / SOURCE).read_text())
    except (OSError, ValueError):
        stored = {}
    stored = stored if isinstance(stored, dict) else {}
    if stored == source:
        return True
    different = [key for key in source if stored.get(key) != source[key]] or sorted(stored)
    raise DataError(
        f"{folder} was made from other data or settings ({', '.join(different)} differ"
        f"{'s' if len(different) == 1 else ''}); give what it was made from, choose another run "
        "folder, or delete it to make it again"
    )


def declare(folder: Path, source: dict[str, Any]) -> None:
    """Write what the folder will be made from; the index is written when the folder is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    sweep([folder])
    write_atomically(folder / SOURCE, json.dumps(source, indent=1, sort_keys=True))


def fingerprint(files: Iterable[tuple[Any, ...]]) -> str:
    """A digest of rows of labels and paths; a path is represented by its file name and size."""
    content = [
        [
            [x.name, x.stat().st_size if x.is_file() else -1] if isinstance(x, Path) else x
            for x in row
        ]
        for row in files
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
