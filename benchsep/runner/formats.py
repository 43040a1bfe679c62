"""The format versions of records and manifests: which are read, which is written, and their
differences.

Conventions
-----------
2   a value that is not defined for the signals is ``undefined``; missing software is
    ``unavailable``
1   until version 0.2: both were ``unavailable`` (:mod:`benchsep.metrics.old_status`); the rest is
    as in 2
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchsep.metrics.old_status import meaning
from benchsep.runner.texts import texts_back

FORMAT = 2
"""The format that is written."""

READ = (1, FORMAT)


def format_of(content: Mapping[str, Any]) -> Any:
    """The format version of a file; 1 if the entry is missing."""
    return content.get("format", 1)


def as_now(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of a record of any known format, converted to :data:`FORMAT`.

    Raises
    ------
    ValueError
        it is not a record.
    """
    if format_of(content) == FORMAT:
        return content
    try:
        content = texts_back(content)
        cells = [
            {**cell, "status": meaning(cell["status"])}
            if cell["status"].startswith("unavailable")
            else cell
            for cell in content["cells"]
        ]
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not a cell: {type(error).__name__}: {error}") from error
    rest = {key: value for key, value in content.items() if key != "texts"}
    return {**rest, "cells": cells}
