"""Where a model computes, by the name that ``--device`` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchsep.errors import Unavailable, UsageError


def torch_device(device: str) -> Any:
    """``torch.device`` for ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises
    ------
    UsageError
        for any other name.
    Unavailable
        where this machine, or this build of torch, has no such device.
    """
    import torch

    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device {device!r}: expected cpu, cuda or mps")
    present: dict[str, Callable[[], bool]] = {
        "cpu": lambda: True,
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
    }
    if not present[kind]():
        raise Unavailable(
            f"device {device!r}: torch {torch.__version__} sees none on this machine; use "
            "--device cpu, or install a torch build for it"
        )
    return torch.device(device)
