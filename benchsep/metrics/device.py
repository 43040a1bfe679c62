"""The device on which metrics compute: compiled engines on the CPU, or torch on a device.

Conventions
-----------
device     ``cpu``: the compiled engines. ``cuda``, ``cuda:1``: torch on that GPU. ``torch-cpu``:
           the torch code on the CPU. It is slow; it is a test of the GPU code without a GPU
engine     a metric with torch code has ``device_tolerance``, the largest difference to the CPU
           engine's value, in the value's unit; all other metrics always compute on the CPU
precision  float64 on every device, so that values of two devices differ by the order of sums only
memory     signals stay in the host's memory and go to the device in blocks
current    the device of the code inside :func:`scoring_on`; a context variable, so that threads
           may use several

torch is imported only if a device is requested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.errors import UsageError

if TYPE_CHECKING:
    from benchsep.metrics.metric import Metric

CPU = "cpu"
"""The compiled engines."""
TORCH_CPU = "torch-cpu"
"""The torch engines, on the CPU."""

OPTION = "--metric-device"

_current: ContextVar[Any] = ContextVar("metric_device", default=None)


def check_name(device: str) -> str:
    """``device``, if metrics can compute on it.

    Raises
    ------
    UsageError
        the name is unknown, or ``mps``, which has no float64.
    """
    if device == "mps":
        raise UsageError(
            "metric device 'mps': BSSEval, MR-STFT and ViSQOL compute in float64 there, and mps "
            "has float32 only; use cpu"
        )
    if not re.fullmatch(rf"{CPU}|{TORCH_CPU}|cuda(:\d+)?", device):
        raise UsageError(f"metric device {device!r}: expected cpu, cuda, cuda:1 or torch-cpu")
    return device


def resolved(device: str) -> Any:
    """``torch.device``; ``None`` for the compiled engines.

    Raises
    ------
    UsageError
        as :func:`check_name`.
    Unavailable
        this machine, or this build of torch, has no such device.
    """
    if check_name(device) == CPU:
        return None
    from benchsep._util.device import torch_device

    return torch_device("cpu" if device == TORCH_CPU else device, OPTION)


def described(device: str) -> str:
    """The device as a cell stores it: ``cuda:0 (NVIDIA H200)``; empty for the CPU engines.

    Raises as :func:`resolved` does.
    """
    found = resolved(device)
    if found is None or found.type != "cuda":
        return "" if found is None else device
    import torch

    index = torch.cuda.current_device() if found.index is None else found.index
    return f"cuda:{index} ({torch.cuda.get_device_name(index)})"


@contextmanager
def scoring_on(device: str) -> Iterator[None]:
    """Context in which metrics compute on ``device``, if they have code for it.

    Raises as :func:`resolved` does.
    """
    found = resolved(device)
    token = _current.set(found)
    try:
        yield
    finally:
        _current.reset(token)
        if found is not None and found.type == "cuda":
            import torch

            torch.cuda.empty_cache()  # other workers share the GPU


def current() -> Any:
    """The ``torch.device`` to compute on; ``None``: the compiled engines."""
    return _current.get()


def device_tolerance(metric: Metric) -> float | None:
    """The metric's ``device_tolerance``; ``None``: it always computes on the CPU."""
    found: float | None = getattr(metric, "device_tolerance", None)
    return found


def uploaded(signals: Sequence[Any], start: int, length: int, device: Any) -> Any:
    """Samples ``start`` to ``start + length`` of each vector, float64 ``[signals, length]``.

    Samples outside of the signals are zero.
    """
    import torch

    block = np.zeros((len(signals), length), signals[0].dtype)
    first, stop = max(start, 0), min(start + length, len(signals[0]))
    if stop > first:
        for row, signal in zip(block, signals, strict=True):
            row[first - start : stop - start] = signal[first:stop]
    # float32 halves the bytes to copy.
    return torch.from_numpy(block).to(device).double()
