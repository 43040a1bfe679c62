"""JSON from outside: strict, bounded in depth before anything is built, and parsed quickly.

The parser is pydantic's (Rust). It takes half of the time of :mod:`json`, and its numbers are the
same to the last bit. It refuses what :mod:`json` lets through: NaN and infinity, halves of a
character, and more than :data:`MAX_DEPTH` levels.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

MAX_DEPTH = 200
"""Levels of arrays and objects; a bound of the parser."""


def parse_json(data: bytes | str) -> Any:
    """The value that ``data`` (UTF-8) holds.

    A number beyond any float (``1e999``) becomes infinite, as in :mod:`json`.

    Raises
    ------
    ValueError
        not strict JSON, not UTF-8, or nested more than :data:`MAX_DEPTH` levels deep.
    """
    return from_json(data, allow_inf_nan=False, cache_strings="keys")
