"""One or several processes: the parts of ``accelerate`` that trainers need, and a path without it.

Several processes are data-parallel (torch's DDP): each holds the whole model and its optimizer's
state, and gradients are averaged. Sharded states (FSDP, DeepSpeed) are not supported, because
clipping, the moving average and checkpoints need whole parameters.

``accelerate`` is used instead of ``lightning-fabric``, because it has the same launcher for one
CPU, one GPU and many nodes, configures bf16, and is already installed with ``transformers``. It is
imported only for several processes, a GPU or bf16, so the training of the mini needs only torch.

Conventions
-----------
Each process draws its own crops (seed, rank); gradients are averaged; rank 0 writes files.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from benchsep.errors import Unavailable
from benchsep_training.bf16 import keep_in_float32

T = TypeVar("T")

PATIENCE = timedelta(hours=1)
"""Timeout of collective calls, e.g. while rank 0 writes a checkpoint to a slow disk."""
SHARDED = ("FSDP", "DEEPSPEED", "MEGATRON_LM")
"""Unsupported distribution types of ``accelerate``."""


class Processes:
    """Placement, wrapping and gradient averaging.

    Parameters
    ----------
    precision : "no" (float32) or "bf16".
    alone : train in this process on the CPU, even if there is a GPU.

    Raises
    ------
    Unavailable
        Several processes or bf16 are requested and ``accelerate`` is not installed, or it is
        configured for sharded states.
    """

    def __init__(self, precision: str = "no", *, alone: bool = False) -> None:
        self.accelerator: Any = None
        if alone:
            return
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if several or precision != "no" or torch.cuda.is_available():
            try:
                from accelerate import Accelerator
                from accelerate.utils import InitProcessGroupKwargs
            except ImportError as e:
                raise Unavailable(
                    "training on several processes, on a GPU or in bf16 needs accelerate: "
                    "pip install 'benchsep[train]'"
                ) from e
            # Its functions have the group of this moment as a default: imported later (by DDP),
            # they would keep the group, and gloo's threads, beyond leave_group().
            import_module("torch.distributed.nn.functional")
            patience = InitProcessGroupKwargs(timeout=PATIENCE)
            self.accelerator = Accelerator(
                mixed_precision=precision,
                cpu=not torch.cuda.is_available(),
                kwargs_handlers=[patience],
            )
            kind = self.accelerator.distributed_type.name
            if kind in SHARDED:
                raise Unavailable(
                    f"accelerate is configured for {kind}; these trainers support DDP only; start "
                    f"them with torchrun, or choose multi-GPU without {kind} in `accelerate "
                    "config`"
                )

    @property
    def rank(self) -> int:
        """Index of this process."""
        return int(self.accelerator.process_index) if self.accelerator else 0

    @property
    def count(self) -> int:
        """Number of processes."""
        return int(self.accelerator.num_processes) if self.accelerator else 1

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return torch.device(self.accelerator.device if self.accelerator else "cpu")

    def wrap(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """The module to call and the optimizer to step.

        DDP's broadcast of buffers before each forward pass is disabled, because codebooks are large
        and equal on all processes (their statistics are summed over them). It stays enabled only
        for models with batch norm, whose statistics differ. On a CPU, convolutions with faulty bf16
        kernels stay in float32 (:mod:`benchsep_training.bf16`).
        """
        if self.accelerator is None:
            return module, optimizer
        if self.accelerator.mixed_precision == "bf16" and self.device.type == "cpu":
            keep_in_float32(module)
        wrapped, stepped = self.accelerator.prepare(module, optimizer)
        if isinstance(wrapped, DistributedDataParallel):
            norms = nn.modules.batchnorm._BatchNorm
            wrapped.broadcast_buffers = any(isinstance(m, norms) for m in module.modules())
        return wrapped, stepped

    @contextmanager
    def accumulating(self, module: nn.Module, *, last: bool) -> Iterator[None]:
        """Context for forward and backward passes of one of several accumulated batches.

        Gradients are averaged over the processes once per step, with the ``last`` batch.
        """
        no_sync = getattr(module, "no_sync", None)  # only DDP has it
        with nullcontext() if last or no_sync is None else no_sync():
            yield

    def backward(self, loss: Tensor) -> None:
        """Accumulate (averaged) gradients."""
        if self.accelerator is None:
            loss.backward()
        else:
            self.accelerator.backward(loss)

    def gather(self, item: T) -> list[T]:
        """``item`` of every process, by rank. Slow (pickled), only for checkpoints."""
        if self.count == 1:
            return [item]
        items: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(items, item)
        return items

    def from_first(self, item: T) -> T:
        """``item`` of rank 0, on every rank. Slow (pickled), not for every step."""
        if self.count == 1:
            return item
        items: list[Any] = [item]
        torch.distributed.broadcast_object_list(items, src=0)
        return items[0]  # type: ignore[no-any-return]

    def tensor_from_first(self, tensor: Tensor) -> Tensor:
        """``tensor`` of rank 0, on every rank; on other ranks, ``tensor`` only gives shape and
        type.
        """
        if self.count == 1:
            return tensor
        sent = tensor.to(self.device, copy=True)
        torch.distributed.broadcast(sent, src=0)
        return sent.to(tensor.device)

    def total(self, tensor: Tensor) -> Tensor:
        """Sum of ``tensor`` over the processes."""
        if self.count == 1:
            return tensor
        summed = tensor.to(self.device, copy=True)
        torch.distributed.all_reduce(summed)
        return summed.to(tensor.device)

    def totals(self, values: dict[str, float]) -> dict[str, float]:
        """Sums over the processes, by name; a missing name counts as 0."""
        if self.count == 1:
            return values
        names = sorted(set().union(*self.gather(list(values))))
        own = torch.tensor([values.get(name, 0.0) for name in names], dtype=torch.float64)
        return dict(zip(names, self.total(own).tolist(), strict=True))

    def wait(self) -> None:
        """Wait for all processes."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


def leave_group() -> None:
    """Wait for the other processes and leave their group: the last call of a training program.

    A process that ends while others still work, or before gloo's threads have ended, may abort
    ("terminate called without an active exception"). The threads end with the last reference to the
    group, so DDP modules must be deleted before. Does nothing in a single process.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        gc.collect()
        torch.distributed.destroy_process_group()
