"""Checks that the rows of a CSV file do not have more fields than the header."""

from __future__ import annotations

import csv
from typing import Any


def no_more_fields(row: dict[Any, Any]) -> dict[Any, Any]:
    """Returns a row of :class:`csv.DictReader` if it has no more fields than the header.

    More fields (except empty ones at the end) mean that a field has an unquoted separator, so all
    later fields are in the wrong column.

    Raises
    ------
    csv.Error
        the row has more fields; the message has both numbers.
    """
    more = row.get(None) or ()
    if any(more):
        names = len(row) - 1
        raise csv.Error(
            f"a row has {names + len(more)} fields and the header has {names}; put quotes around "
            "a field that contains a separator. The row begins with "
            f"{next(iter(row.values()), '')!r}"
        )
    return row
