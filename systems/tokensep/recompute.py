"""Activation checkpointing (arXiv 1604.06174): less memory at the cost of a second forward pass.

A :class:`Stack` stores only the inputs of its blocks; the activations inside a block are computed
again in the backward pass, with the same dropout. Loss and gradients are unchanged.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, is_grad_enabled, nn
from torch.utils.checkpoint import checkpoint


class Stack(nn.ModuleList):
    """Blocks that follow one another, each ``x -> x``; its state is that of a ``ModuleList``."""

    recomputing = False

    def run(self, x: Tensor, *others: Tensor) -> Tensor:
        """``x`` through all blocks, which get ``others`` too."""
        again = self.recomputing and self.training and is_grad_enabled()
        for block in self:
            run = partial(checkpoint, block, use_reentrant=False) if again else block
            x = run(x, *others)
        return x


def recompute(module: nn.Module, active: bool) -> None:
    """Switch activation checkpointing on or off in every stack of ``module``.

    A block with batch norm is not recomputed, because its running statistics would be updated
    twice.
    """
    for part in module.modules():
        if isinstance(part, Stack):
            norms = (nn.modules.batchnorm._BatchNorm,)
            part.recomputing = active and not any(isinstance(m, norms) for m in part.modules())


def recomputed_blocks(module: nn.Module) -> list[nn.Module]:
    """The blocks of ``module`` that are computed twice in a training step."""
    stacks = (part for part in module.modules() if isinstance(part, Stack) and part.recomputing)
    return [block for stack in stacks for block in stack]
