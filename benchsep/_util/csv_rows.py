"""Rows of a CSV file whose fields are under the names that they belong to."""

from __future__ import annotations

import csv
from typing import Any


def no_more_fields(row: dict[Any, Any]) -> dict[Any, Any]:
    """A row of :class:`csv.DictReader`, if it has no more fields than the header.

    More of them, empty ones at the end excepted, mean that a field holds a separator without
    quotes, and that all fields after it are under a wrong name.

    Raises
    ------
    csv.Error
        with the numbers of fields.
    """
    more = row.get(None) or ()
    if any(more):
        names = len(row) - 1
        raise csv.Error(
            f"a row has {names + len(more)} fields, the header {names}: is a separator inside a "
            f"field without quotes? It begins with {next(iter(row.values()), '')!r}"
        )
    return row
