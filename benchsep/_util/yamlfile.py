"""YAML that strangers may have written, read without a trap.

PyYAML's safe loader runs no code, but it looks 1024 characters ahead of every token and, inside
brackets, walks all open levels for each: a hundred kilobytes of ``[`` keep it busy for minutes.
Nobody nests a suite or a model configuration that deep.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

MOST_LEVELS = 100


def read_yaml(path: Path, loader: Any = None) -> Any:
    """The content of a YAML file; ``loader`` is a subclass of PyYAML's ``SafeLoader``.

    Raises
    ------
    ValueError
        whatever is wrong with it: not text, not YAML, nested too deep.
    OSError
        a file that cannot be read.
    """
    import yaml

    text = path.read_text(encoding="utf-8")
    check_nesting(text)
    try:
        return yaml.load(text, Loader=loader or yaml.SafeLoader)  # a SafeLoader either way
    except Exception as error:  # `!!timestamp x`, `!!bool x`: it raises whatever it likes
        raise ValueError(_in_words(error)) from error


def _in_words(error: Exception) -> str:
    """Where a text is no YAML and what is wrong there, without the parser's names."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return str(error) or type(error).__name__
    where = f"line {mark.line + 1}, column {mark.column + 1}"
    return f"{where}: {problem}; look at brackets, quotes and indentation"


def check_nesting(text: str) -> None:
    """Brackets open at once, counted without parsing (those in quotes count as well)."""
    level = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        level += 1 if bracket in "[{" else -1
        if level > MOST_LEVELS:
            raise ValueError(f"nested more than {MOST_LEVELS} levels deep")
