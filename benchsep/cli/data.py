"""``benchsep data``: lists data sets and their addresses, and checks a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from benchsep._util.suggest import did_you_mean
from benchsep._util.words import amount
from benchsep.cli.options import Format, Root
from benchsep.cli.output import message, print_rows
from benchsep.errors import UsageError

if TYPE_CHECKING:
    from benchsep.datasets.inspect import Finding


def data(
    name: Annotated[
        str | None,
        typer.Argument(
            help="musdb18hq, musdb18, ... or folder:PATH; without a name, all are listed"
        ),
    ] = None,
    root: Root = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="also decode all files, and check that the mixture is the sum of the stems",
        ),
    ] = False,
    format: Format = "terminal",
) -> None:
    """List data sets and where to get them; or check a folder for missing and wrong files."""
    from benchsep.datasets.inspect import inspect, inspect_folder
    from benchsep.datasets.known import KNOWN

    if name is not None and name.partition(":")[0] == "folder":
        path = name.partition(":")[2] or root
        if not path:
            raise UsageError("folder: needs a path, for example: benchsep data folder:my-songs")
        _print(list(inspect_folder(Path(path).expanduser(), deep=deep)), format)
        return
    if name is not None and name not in KNOWN:
        known_names = [*KNOWN, "folder:PATH"]
        raise UsageError(f"unknown data set {name!r}{did_you_mean(name, known_names)}")
    variable = "MOISESDB_PATH" if name == "moisesdb" else "MUSDB_PATH"
    folder = root or (os.environ.get(variable) if name else None)
    if name is None or not folder:
        if root:
            raise UsageError(
                "--root needs the name of a data set, for example: benchsep data musdb18hq --root"
            )
        rows = [
            (k.name, k.terms, k.address, k.how, k.checksum or None, k.layout)
            for k in KNOWN.values()
            if name in (None, k.name)
        ]
        print_rows(("data set", "terms", "from", "how", "checksum", "layout"), rows, format)
        return
    known = KNOWN[name]
    found = inspect(known, Path(folder).expanduser(), deep=deep)
    _print(found, format, f"; to get the whole data set: {known.how} ({known.address})")


def _print(found: list[Finding], format: str, cure: str = "") -> None:
    """Print the findings; exit 1 if there are faults."""
    print_rows(("state", "where", "what"), [(f.state, f.where, f.what) for f in found], format)
    if faults := sum(f.state == "fault" for f in found):
        message(f"{amount(faults, 'fault')}{cure}")
        raise typer.Exit(1)
