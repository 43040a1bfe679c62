"""Finds the state dict inside a checkpoint of any training program.

Conventions
-----------
state     a dict of tensors by name; anything else in the file (optimiser, metrics, arguments) is
          no state
path      the keys that lead to it: ``state_dict``, ``ema/shadow``; empty for the file's own
prefix    text that a wrapper puts before all names of a model (``module.`` of DataParallel,
          ``model.`` of Lightning, ``_orig_mod.`` of torch.compile); names without it then belong to
          other objects, such as a loss
averaged  averaged weights of a training (EMA, SWA). If a file has both, these are used, because
          they are usually the evaluated ones

Rule: all states in the file are compared with and without the known prefixes. The first state with
exactly the model's names and shapes is used; averaged states come first, then those with the fewest
nesting levels. Nothing is padded, renamed or left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsep.errors import CheckpointError

PREFIXES = (
    "module.",
    "model.",
    "_orig_mod.",
    "ema_model.",
    "online_model.",
    "averaged_model.",
    "net.",
    "network.",
    "separator.",
    "generator.",
)
AVERAGED = ("ema", "shadow", "averaged", "swa")
MOST_LEVELS = 4
"""Most nesting levels that are searched."""
NEVER = ("optim", "scheduler", "hyper_parameters", "config", "args")
"""Prefixes of keys whose tensors are not weights."""


@dataclass(frozen=True)
class State:
    """One state of a checkpoint."""

    path: str
    """Keys and prefixes that lead to it."""
    tensors: dict[str, Any]

    @property
    def averaged(self) -> bool:
        return any(word in part for part in self.path.lower().split("/") for word in AVERAGED)


def states(package: Any, path: Path) -> list[State]:
    """All states of a checkpoint, averaged ones first, then by depth.

    Raises
    ------
    CheckpointError
        it is not a dict, or has no named tensors.
    """
    if not isinstance(package, dict):
        raise CheckpointError(f"{path}: found a {type(package).__name__}, expected a state dict")
    found = [view for state in _nested(package, "", 0) for view in _views(state)]
    if not found:
        keys = ", ".join(repr(str(key)[:40]) for key in list(package)[:5]) or "nothing"
        raise CheckpointError(
            f"{path}: found no named weights (its keys: {keys}); expected a state dict, bare or "
            "under a key such as state_dict, model_state_dict or ema"
        )
    return sorted(found, key=lambda state: not state.averaged)  # a stable sort keeps the depth


def _nested(value: Mapping[Any, Any], path: str, depth: int) -> Iterator[State]:
    tensors = {k: v for k, v in value.items() if isinstance(k, str) and _is_tensor(v)}
    if tensors:
        yield State(path, tensors)
    if depth == MOST_LEVELS:
        return
    for key, inner in value.items():
        if isinstance(inner, Mapping) and not str(key).lower().startswith(NEVER):
            yield from _nested(inner, f"{path}/{key}".lstrip("/"), depth + 1)


def _views(state: State) -> Iterator[State]:
    """The state itself, and with known prefixes removed, repeatedly."""
    yield state
    for prefix in PREFIXES:
        inner = {
            key.removeprefix(prefix): value
            for key, value in state.tensors.items()
            if key.startswith(prefix)
        }
        if inner:
            yield from _views(State(f"{state.path}/{prefix}".lstrip("/"), inner))


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "untyped_storage")


def chosen(found: list[State], expected: Mapping[str, Any]) -> State:
    """The first state with exactly the names and shapes of ``expected``, else the nearest one."""

    def fits(state: State) -> int:
        return sum(
            key in state.tensors and state.tensors[key].shape == tensor.shape
            for key, tensor in expected.items()
        )

    for state in found:
        if len(state.tensors) == len(expected) and fits(state) == len(expected):
            return state
    return max(found, key=lambda state: (fits(state), -len(state.tensors)))


def elements(found: list[State]) -> int:
    """Numbers in the largest state, an upper bound for the size of its model."""
    return max(sum(int(t.numel()) for t in state.tensors.values()) for state in found)
