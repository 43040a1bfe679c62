"""Output of commands: results on stdout in the chosen format, messages on stderr.

External text (track names, reasons of failures) cannot control the terminal: tables escape it
(:mod:`benchsep._util.text_table`), and messages replace control characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util import text_table
from benchsep._util.escape import printable
from benchsep._util.notify import notify

if TYPE_CHECKING:
    import pandas as pd


def message(text: str) -> None:
    """Print a message on stderr with the prefix ``benchsep: ``."""
    notify(printable(text, keep="\n"))


def print_error(error: Exception) -> None:
    """Print an error as a message; an error of the file system with its path."""
    if isinstance(error, OSError):
        path = f"{error.filename}: " if error.filename else ""
        message(f"{path}{error.strerror or error}")
    else:
        message(str(error))


def print_table(table: pd.DataFrame, format: str) -> None:
    """Print a DataFrame; in the terminal, a blank line follows."""
    print(text_table.render(table, format), end="\n" if format == "terminal" else "")


def print_rows(
    names: Sequence[str], rows: Sequence[Sequence[Any]], format: str, *, rule: bool = True
) -> None:
    """Print rows of values with column names; ``rule``: a line below the names."""
    print(text_table.render_rows(names, rows, format, rule=rule), end="")


def print_files(paths: Iterable[Path], format: str) -> None:
    """Print the written files: a path per line, or a table with the column ``file``."""
    names = [str(path) for path in paths]
    if format == "terminal":
        for name in names:
            print(name)
    else:
        print_rows(["file"], [[name] for name in names], format)
