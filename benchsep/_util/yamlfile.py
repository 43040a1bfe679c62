"""Reads untrusted YAML safely.

PyYAML's safe loader runs no code. But for each token it looks 1024 characters ahead and, inside
brackets, visits all open levels: 100 kB of ``[`` take minutes. Suites and model configurations
never have such deep nesting, so it is an error.
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
        the content is not text, not YAML, or nested too deeply.
    OSError
        the file cannot be read.
    """
    import yaml

    text = path.read_text(encoding="utf-8")
    check_nesting(text)
    try:
        return yaml.load(text, Loader=loader or yaml.SafeLoader)  # always a SafeLoader
    except Exception as error:  # `!!timestamp x`, `!!bool x` raise other types of errors
        raise ValueError(_in_words(error)) from error


def _in_words(error: Exception) -> str:
    """The position and the reason of a YAML error, without the parser's names."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or not problem:
        return str(error) or type(error).__name__
    where = f"line {mark.line + 1}, column {mark.column + 1}"
    return f"{where}: {problem}; look at brackets, quotes and indentation"


def check_nesting(text: str) -> None:
    """Raise if too many brackets are open at once; counted without parsing, including brackets in
    quotes.
    """
    level = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        level += 1 if bracket in "[{" else -1
        if level > MOST_LEVELS:
            raise ValueError(f"nested more than {MOST_LEVELS} levels deep")
