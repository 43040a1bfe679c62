"""The formats of records and manifests: which are read, which is written, and what changed.

Conventions
-----------
2   a value that the signals do not have is ``undefined``, what a machine lacks ``unavailable``
1   until version 0.2: both were ``unavailable`` (:mod:`benchsep.metrics.old_status`); the rest is
    as in 2
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchsep.metrics.old_status import meaning
from benchsep.runner.texts import texts_back

FORMAT = 2
"""What is written."""

READ = (1, FORMAT)


def format_of(content: Mapping[str, Any]) -> Any:
    """The format that a file names; one without the entry is of the first."""
    return content.get("format", 1)


def as_now(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of a record of any format that is read, as :data:`FORMAT` has it.

    Raises
    ------
    ValueError
        it is no record.
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
