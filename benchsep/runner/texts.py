"""Stores each long reason once per record, even if many cells have it.

Conventions
-----------
long       more than :data:`LONG` characters
on disk    ``texts`` is the list of them, and a cell says ``failed: text #0 of this record``; a
           record without long reasons has no such list
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

LONG = 100
_REFERENCE = re.compile(r"text #(\d+) of this record")


def texts_once(content: dict[str, Any]) -> dict[str, Any]:
    """A record's content in its stored form."""
    texts: dict[str, int] = {}

    def short(text: str) -> str:
        if len(text) <= LONG and not _REFERENCE.fullmatch(text):
            return text
        return f"text #{texts.setdefault(text, len(texts))} of this record"

    replaced = _replaced(content, short)
    return {**replaced, "texts": list(texts)} if texts else content


def texts_back(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inverse of :func:`texts_once`.

    Raises
    ------
    ValueError
        a text is missing.
    """
    texts = content.get("texts")
    if texts is None:
        return content

    def whole(text: str) -> str:
        found = _REFERENCE.fullmatch(text)
        return str(texts[int(found[1])]) if found else text

    try:
        return _replaced(content, whole)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"texts of a record: {error!r}") from error


def _replaced(content: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The content with each reason changed: of cells, of draws and of their stems."""
    cells = []
    for cell in content["cells"]:
        kind, colon, reason = cell["status"].partition(": ")
        cells.append({**cell, "status": f"{kind}{colon}{change(reason)}"})
    draws = {}
    for number, draw in content["draws"].items():
        faults = {stem: change(text) for stem, text in draw.get("faults", {}).items()}
        shown = {"faults": faults} if faults else {}
        draws[number] = {**draw, "error": change(draw["error"]), **shown}
    return {**content, "cells": cells, "draws": draws}
