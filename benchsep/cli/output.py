"""What commands print: results on stdout in the chosen format, messages on stderr.

Text from outside (track names, reasons of failures) cannot control the terminal: tables escape
it (:mod:`benchsep._util.text_table`), messages replace control characters.
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
    """One message on stderr, ``benchsep: `` in front."""
    notify(printable(text, keep="\n"))


def print_error(error: Exception) -> None:
    """An error as a message; one of the file system with the path that it concerns."""
    if isinstance(error, OSError):
        path = f"{error.filename}: " if error.filename else ""
        message(f"{path}{error.strerror or error}")
    else:
        message(str(error))


def print_table(table: pd.DataFrame, format: str) -> None:
    """A DataFrame; in the terminal a blank line follows it."""
    print(text_table.render(table, format), end="\n" if format == "terminal" else "")


def print_rows(
    names: Sequence[str], rows: Sequence[Sequence[Any]], format: str, *, rule: bool = True
) -> None:
    """Rows of values under the names of their columns; ``rule``: a line under these."""
    print(text_table.render_rows(names, rows, format, rule=rule), end="")


def print_files(paths: Iterable[Path], format: str) -> None:
    """The files that a command wrote: a path a line, or a table with the column ``file``."""
    names = [str(path) for path in paths]
    if format == "terminal":
        for name in names:
            print(name)
    else:
        print_rows(["file"], [[name] for name in names], format)
