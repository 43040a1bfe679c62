"""The torch device for the value of ``--device``."""

from __future__ import annotations

import re
from typing import Any

from benchsep.errors import Unavailable, UsageError


def torch_device(device: str, option: str = "--device") -> Any:
    """``torch.device`` for ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Parameters
    ----------
    option
        Name of the command-line option, for messages.

    Raises
    ------
    UsageError
        the name is unknown.
    Unavailable
        this machine or this build of torch has no such device.
    """
    import torch

    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise UsageError(f"device {device!r}: expected cpu, cuda or mps")
    kind, _, number = device.partition(":")
    counts = {"cpu": 1, "cuda": _cuda_count(), "mps": int(torch.backends.mps.is_available())}
    if not counts[kind]:
        raise Unavailable(
            f"device {device!r}: torch {torch.__version__} finds no such device on this machine; "
            f"use {option} cpu, or install a torch build for the device"
        )
    if int(number or 0) >= counts[kind]:
        names = (f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(counts[kind]))
        raise Unavailable(
            f"device {device!r}: this machine has only {', '.join(names)}; give one of them to "
            f"{option}"
        )
    return torch.device(device)


def _cuda_count() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
