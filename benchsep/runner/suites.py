"""The suites that ship with benchsep: ``benchsep run demo``.

They are the YAML files in ``configs/``, without sub-folders. The wheel has a copy in
``benchsep/configs``; an editable installation reads the folder of the checkout.
"""

from __future__ import annotations

from pathlib import Path

from benchsep import registry
from benchsep._util.shipped import shipped_folder
from benchsep._util.suggest import did_you_mean
from benchsep.errors import UsageError


def suites_folder() -> Path:
    """The folder of the shipped suites: in the installed package, or in the checkout."""
    return shipped_folder("configs")


def shipped_suites() -> dict[str, Path]:
    """Name and file of every shipped suite."""
    return {path.stem: path for path in sorted(suites_folder().glob("*.yaml"))}


def find_suite(name: Path) -> Path:
    """The file ``name``, or the shipped suite of this name.

    Raises
    ------
    UsageError
        there is neither; for the name of a system, the message suggests ``--systems``.
    """
    if name.exists() and not name.is_dir():
        return name
    shipped = shipped_suites()
    if str(name) in shipped:
        return shipped[str(name)]
    if str(name).partition(":")[0] in registry.names("system"):
        raise UsageError(f"{name} is a system, not a suite; did you mean --systems {name}?")
    if name.suffix in (".yaml", ".yml"):
        raise UsageError(
            f"{name}: no such suite file{did_you_mean(name.stem, list(shipped))}"
            " (benchsep suites lists those that ship)"
        )
    near = did_you_mean(str(name), list(shipped))
    raise UsageError(f"{name}: no such file and no shipped suite{near}")


def find_ablation(name: Path) -> Path:
    """The file ``name``, or the shipped ablation of this name.

    Raises
    ------
    UsageError
        there is neither.
    """
    if name.exists() and not name.is_dir():
        return name
    shipped = {path.stem: path for path in sorted((suites_folder() / "ablations").glob("*.yaml"))}
    if str(name) not in shipped:
        near = did_you_mean(name.stem, list(shipped))
        raise UsageError(f"{name}: no such file and no shipped ablation{near}")
    return shipped[str(name)]


def describe(path: Path) -> str:
    """The first sentence of the comment at the top of a suite."""
    comment: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment).split(". ")[0].rstrip(".")
