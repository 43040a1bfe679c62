"""Runs decoding steps as recorded CUDA graphs: one launch per step instead of a hundred.

On a GPU, kernel launches dominate the time of a step of a small model. A CUDA graph launches all
kernels at once. Its addresses and shapes are fixed, so the attention reads the whole cache and
masks positions that are not filled yet; several recordings for increasing parts of the cache halve
this overhead.

Recording needs CUDA. Without it, or if it fails (with a warning in the log), the step is called
directly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from tokensep.decode.position import DevicePosition
from tokensep.decode.step import DecodingStep

LOG = logging.getLogger(__name__)
PARTS = 4
"""Recordings for a quarter of the positions each."""
WARM_UPS = 2
"""Steps before a recording: libraries allocate what they need, which cannot be recorded."""
Recorder = Callable[[Callable[[], None]], Callable[[], object]]
"""Runs a function until it can be recorded, records it, and returns what repeats it."""


def run_steps(step: DecodingStep, count: int) -> None:
    """Decode ``count`` positions; recorded if the step's positions are on a CUDA device."""
    recorder = recorder_for(step.given.device)
    repeat = None
    if recorder is not None and isinstance(step.state.position, DevicePosition):
        repeat = _recorded(step, count, recorder)
    for index in range(count):
        if step.noise is not None:
            step.noise.prepare(index)
        if repeat is None:
            step()
        else:
            repeat[index * len(repeat) // count]()
    if repeat is not None and step.given.is_cuda:
        torch.cuda.synchronize(step.given.device)  # recordings go now: none may be running


def recorder_for(device: torch.device) -> Recorder | None:
    """What records a step on this device; None where nothing can."""
    return CudaRecorder(device) if device.type == "cuda" else None


class CudaRecorder:
    """CUDA graphs that share one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], None]) -> Callable[[], object]:
        with torch.cuda.device(self.device):
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    run()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                run()
        return graph.replay


def _recorded(
    step: DecodingStep, count: int, recorder: Recorder
) -> list[Callable[[], object]] | None:
    """What repeats the step in each part of the positions; None where recording fails.

    Recording runs steps: what they changed is put back, so that the first position comes next.
    """
    cache = step.state.decoder.position
    assert isinstance(cache, DevicePosition)
    length, carried = cache.end, step.carried()
    kept = [tensor.clone() for tensor in carried]
    repeat: list[Callable[[], object]] = []
    try:
        for part in range(PARTS):
            # the last position of the part is stored, and the prefix before the first
            cache.end = length - count + -(-count * (part + 1) // PARTS)
            repeat.append(recorder(step))
            _put_back(carried, kept)
    except Exception as error:
        LOG.warning(
            "a CUDA graph of the decoding step is not possible, so its kernels are launched one "
            "by one: %s",
            error,
        )
        _put_back(carried, kept)
        repeat = []
    cache.end = length
    return repeat or None


def _put_back(tensors: list[Tensor], kept: list[Tensor]) -> None:
    for tensor, value in zip(tensors, kept, strict=True):
        tensor.copy_(value)
