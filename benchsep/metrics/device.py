"""Where metrics compute: with the compiled engines on the CPU, or with torch on a device.

Conventions
-----------
device     ``cpu``: the compiled engines. ``cuda``, ``cuda:1``: torch on that GPU. ``torch-cpu``:
           torch's code on the CPU, which is slow: it shows without a GPU what a GPU computes
engine     a metric with code for torch has ``device_tolerance``, the largest difference of a value
           from the CPU engine's in the value's unit; all others compute on the CPU always
precision  float64 on every device, so that values of two devices differ by the order of sums only
memory     signals stay in the host's memory and go to the device in blocks
current    the device of the code inside :func:`scoring_on`; a context variable, so that threads
           may use several

Nothing here imports torch before a device is asked for.
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
    """The name itself, if metrics can compute on such a device.

    Raises
    ------
    UsageError
        another name; ``mps``, which has no float64.
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
    """What a cell says of the device that scored it: ``cuda:0 (NVIDIA H200)``; empty: the CPU's.

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
    """Metrics inside compute on a device, if they have code for it.

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
    """The metric's largest difference between devices; ``None``: it computes on the CPU always."""
    found: float | None = getattr(metric, "device_tolerance", None)
    return found


def uploaded(signals: Sequence[Any], start: int, length: int, device: Any) -> Any:
    """Samples ``start`` to ``start + length`` of each vector, float64 ``[signals, length]``.

    What lies outside of the signals is zero.
    """
    import torch

    block = np.zeros((len(signals), length), signals[0].dtype)
    first, stop = max(start, 0), min(start + length, len(signals[0]))
    if stop > first:
        for row, signal in zip(block, signals, strict=True):
            row[first - start : stop - start] = signal[first:stop]
    # Half the bytes travel as float32.
    return torch.from_numpy(block).to(device).double()
