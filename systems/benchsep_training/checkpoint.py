"""Checkpoints of a training: tensors in safetensors, everything else in JSON, no pickle.

Conventions
-----------
A checkpoint is a folder ``step-N`` with ``tensors.safetensors`` (names ``part/key``) and
``state.json``. It is written under a temporary name and renamed, so a killed process leaves no
damaged one. The newest complete one is resumed. The two newest are kept.
"""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchsep._util.tensors import check_header
from benchsep.errors import CheckpointError


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state split into tensors and JSON."""
    state = optimizer.state_dict()
    tensors = {f"{i}.{k}": v for i, entry in state["state"].items() for k, v in entry.items()}
    return tensors, {"groups": state["param_groups"]}


def load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], meta: dict[str, Any]
) -> None:
    """Inverse of :func:`optimizer_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    groups = [{**g, "betas": tuple(g["betas"])} if "betas" in g else g for g in meta["groups"]]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def rng_state(rng: np.random.Generator | None) -> dict[str, Any]:
    """Random state of torch (on the CPU) and of ``rng`` as JSON."""
    raw = torch.get_rng_state().numpy().tobytes()
    numpy = None if rng is None else rng.bit_generator.state
    return {"torch": base64.b64encode(raw).decode(), "numpy": numpy}


def load_rng(state: dict[str, Any], rng: np.random.Generator | None) -> None:
    """Inverse of :func:`rng_state`."""
    raw = np.frombuffer(base64.b64decode(state["torch"]), np.uint8).copy()
    torch.set_rng_state(torch.from_numpy(raw))
    if rng is not None:
        rng.bit_generator.state = state["numpy"]


def save(
    folder: Path, step: int, parts: dict[str, dict[str, Tensor]], state: dict[str, Any]
) -> Path:
    """Write ``folder/step-N`` atomically, and delete all but the two newest.

    Raises
    ------
    CheckpointError
        The disk is full or the folder cannot be written; older checkpoints are kept.
    """
    target, temporary = folder / f"step-{step}", folder / f".step-{step}"
    shutil.rmtree(temporary, ignore_errors=True)
    flat = {
        f"{part}/{key}": value.detach().contiguous().clone()
        for part, tensors in parts.items()
        for key, value in tensors.items()
    }
    try:
        temporary.mkdir(parents=True)
        save_file(flat, temporary / "tensors.safetensors")
        (temporary / "state.json").write_text(json.dumps({"step": step, **state}))
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except (OSError, SafetensorError) as e:
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"{target}: cannot be written ({e}); the checkpoint before it is intact. Free some "
            "space, then run again to continue from there"
        ) from e
    for old in checkpoints(folder)[:-2]:
        shutil.rmtree(old)
    return target


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    complete = [p for p in folder.glob("step-*") if (p / "state.json").exists()]
    return sorted(complete, key=lambda p: int(p.name.removeprefix("step-")))


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Parts and state of one checkpoint folder.

    Raises
    ------
    CheckpointError
        A file is missing or corrupt.
    """
    try:
        check_header(path / "tensors.safetensors")
        flat = load_file(path / "tensors.safetensors")
        state = json.loads((path / "state.json").read_text())
        parts: dict[str, dict[str, Tensor]] = {}
        for name, value in flat.items():
            part, key = name.split("/", 1)
            parts.setdefault(part, {})[key] = value
        return parts, dict(state)
    except Exception as e:
        raise CheckpointError(
            f"{path} is not a complete training checkpoint ({e}); delete it to continue from an "
            "older one"
        ) from e
