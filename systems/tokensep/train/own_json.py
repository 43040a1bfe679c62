"""JSON files that one step of data preparation writes for the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchsep._util.reason import without_path
from benchsep._util.strict_json import parse_json
from tokensep.errors import DataError


def read_json(path: Path) -> Any:
    """What the file holds.

    Raises
    ------
    DataError
        It does not exist, is not JSON, or is nested deeper than any file that tokensep writes.
    """
    try:
        return parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({without_path(error)}); delete its folder and make it again"
        ) from error
