"""Exponential moving average of a model's parameters, used for validation and export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """``average <- d * average + (1 - d) * parameters`` after every optimizer step.

    ``d = min(decay, (1 + step) / (warmup + step))`` reduces the influence of the random initial
    weights: at step 1 it is 2/11 for a warm-up of 10. Buffers (codebooks, statistics of norms) are
    not averaged; the model's own are used.

    Parameters
    ----------
    module : the model; its parameters initialise the average.
    decay : upper limit of ``d``.
    warmup : larger values let the average follow the parameters more closely for longer.
    """

    def __init__(self, module: nn.Module, decay: float, warmup: int = 10) -> None:
        self.decay, self.warmup = decay, warmup
        self.shadow = {k: v.detach().clone() for k, v in module.named_parameters()}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move the average towards ``module`` after step ``step`` (from 1)."""
        decay = min(self.decay, (1 + step) / (self.warmup + step))
        for name, value in module.named_parameters():
            self.shadow[name].lerp_(value.detach(), 1 - decay)

    def restore(self, shadow: dict[str, Tensor]) -> None:
        """Continue from a stored average, on the device of the present one.

        Raises
        ------
        KeyError
            The stored average belongs to another model.
        """
        self.shadow = {k: shadow[k].to(v.device) for k, v in self.shadow.items()}

    def state_dict(self, module: nn.Module) -> dict[str, Tensor]:
        """State of ``module`` with averaged parameters."""
        return {**module.state_dict(), **self.shadow}

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Context in which ``module`` has the averaged parameters; its own ones are restored at the
        end.
        """
        own = {k: v.detach().clone() for k, v in module.named_parameters()}
        _copy(self.shadow, module)
        try:
            yield
        finally:
            _copy(own, module)


@torch.no_grad()
def _copy(values: dict[str, Tensor], module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        parameter.copy_(values[name])
