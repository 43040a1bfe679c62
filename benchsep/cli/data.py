"""``benchsep data``: data sets by name, where they are fetched, and whether a folder is whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from benchsep._util.suggest import did_you_mean
from benchsep.cli.options import Format, Root
from benchsep.cli.output import message, print_rows
from benchsep.errors import UsageError


def data(
    name: Annotated[str | None, typer.Argument(help="a data set; without one, list them")] = None,
    root: Root = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="decode all; mixture against the sum of stems")
    ] = False,
    format: Format = "terminal",
) -> None:
    """List data sets and where they are fetched, or check a folder: benchsep data musdb18hq."""
    from benchsep.datasets.inspect import inspect
    from benchsep.datasets.known import KNOWN

    if name is not None and name not in KNOWN:
        raise UsageError(f"no data set {name!r}{did_you_mean(name, list(KNOWN))}")
    variable = "MOISESDB_PATH" if name == "moisesdb" else "MUSDB_PATH"
    folder = root or (os.environ.get(variable) if name else None)
    if name is None or not folder:
        if root:
            raise UsageError("--root needs the name of a data set: benchsep data musdb18hq --root")
        rows = [
            (k.name, k.terms, k.address, k.how, k.checksum or None, k.layout)
            for k in KNOWN.values()
            if name in (None, k.name)
        ]
        print_rows(("data set", "terms", "from", "how", "checksum", "layout"), rows, format)
        return
    found = inspect(KNOWN[name], Path(folder).expanduser(), deep=deep)
    print_rows(("state", "where", "what"), [(f.state, f.where, f.what) for f in found], format)
    faults = sum(f.state == "fault" for f in found)
    if faults:
        known = KNOWN[name]
        message(f"{faults} faults; {known.how} ({known.address})")
        raise typer.Exit(1)
