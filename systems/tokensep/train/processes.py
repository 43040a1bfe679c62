"""One process or many: what the trainers need of ``accelerate``, and a plain path without it.

``accelerate`` rather than ``lightning-fabric``: it is launched the same way on one CPU, one GPU or
many nodes, brings FSDP and bf16 by configuration, and ``transformers`` users have it already. It is
imported only when there is something to distribute or to cast, so training the mini needs torch
alone.

Conventions
-----------
Each process draws its own crops (seed, rank); gradients are averaged; rank 0 writes files.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn

from tokensep.errors import Unavailable


class Processes:
    """Placement, wrapping and gradient averaging.

    Parameters
    ----------
    precision : "no" (float32) or "bf16".

    Raises
    ------
    Unavailable
        Several processes or bf16 are asked for and ``accelerate`` is absent.
    """

    def __init__(self, precision: str = "no") -> None:
        self.accelerator: Any = None
        several = int(os.environ.get("WORLD_SIZE", "1")) > 1
        if several or precision != "no" or torch.cuda.is_available():
            try:
                from accelerate import Accelerator
            except ImportError as e:
                raise Unavailable(
                    "training on several processes, on a GPU or in bf16 needs accelerate: "
                    "pip install 'benchsep[train]'"
                ) from e
            self.accelerator = Accelerator(
                mixed_precision=precision, cpu=not torch.cuda.is_available()
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
        """Where this process computes."""
        return self.accelerator.device if self.accelerator else torch.device("cpu")

    def wrap(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
        """The module to call and the optimizer to step."""
        if self.accelerator is None:
            return module, optimizer
        return self.accelerator.prepare(module, optimizer)

    def backward(self, loss: Tensor) -> None:
        """Accumulate (averaged) gradients."""
        if self.accelerator is None:
            loss.backward()
        else:
            self.accelerator.backward(loss)

    def gather(self, item: Any) -> list[Any]:
        """``item`` of every process, by rank."""
        if self.count == 1:
            return [item]
        out: list[Any] = [None] * self.count
        torch.distributed.all_gather_object(out, item)
        return out

    def wait(self) -> None:
        """Until every process is here."""
        if self.accelerator is not None:
            self.accelerator.wait_for_everyone()


def leave_group() -> None:
    """Wait for the other processes and leave their group: the last call of a training program.

    A process that goes while its peers still work makes gloo abort, "terminate called without
    an active exception", in about half of all runs. Does nothing in a single process.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
