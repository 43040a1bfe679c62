"""The position of a decoding step: a Python integer, or a tensor that a CUDA graph can read.

A graph repeats the same operations on the same addresses. So values that depend on the position
must be looked up with a tensor, and values for the next step must stay at their address. Both
classes have the same interface, so that one step function works with both.

Conventions
-----------
index     from 0; :meth:`advance` is called once a step
stored    what a step may see of a cache: positions 0 … index
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Position(Protocol):
    """What a step asks of its position."""

    def take(self, x: Tensor, dim: int) -> Tensor:
        """The entry of this position, without the dimension."""

    def put(self, x: Tensor, dim: int, value: Tensor) -> None:
        """Write the entry of this position."""

    def stored(self, x: Tensor, dim: int) -> Tensor:
        """At least the entries up to this position."""

    def mask(self) -> Tensor | None:
        """Bool ``[1, n]``: which of :meth:`stored` count; None: all."""

    def holds(self, flags: list[bool]) -> bool:
        """Whether a step must do what only some positions need (``flags`` says which)."""

    def keep(self, old: Tensor, new: Tensor) -> Tensor:
        """What the next step finds as ``new``, in place of ``old``."""

    def advance(self) -> None:
        """On to the next position."""

    def move(self, index: int) -> None:
        """To a position."""


class HostPosition:
    """An integer: views instead of look-ups, and the cache as far as it is filled."""

    def __init__(self, index: int = 0) -> None:
        self.index = index

    def take(self, x: Tensor, dim: int) -> Tensor:
        return x.select(dim, self.index)

    def put(self, x: Tensor, dim: int, value: Tensor) -> None:
        x.select(dim, self.index).copy_(value)

    def stored(self, x: Tensor, dim: int) -> Tensor:
        return x.narrow(dim, 0, self.index + 1)

    def mask(self) -> Tensor | None:
        return None

    def holds(self, flags: list[bool]) -> bool:
        return flags[self.index]

    def keep(self, old: Tensor, new: Tensor) -> Tensor:
        return new

    def advance(self) -> None:
        self.index += 1

    def move(self, index: int) -> None:
        self.index = index


class DevicePosition:
    """A tensor ``[1]``: nothing that is computed depends on Python.

    ``end`` bounds what is stored: it may be set before a step, and a recorded step keeps it.
    """

    def __init__(self, length: int, device: torch.device, index: int = 0) -> None:
        self.index = torch.full((1,), index, device=device)
        self.end = length
        self.visible = torch.ones(length, length, dtype=torch.bool, device=device).tril()

    def take(self, x: Tensor, dim: int) -> Tensor:
        return x.index_select(dim, self.index).squeeze(dim)

    def put(self, x: Tensor, dim: int, value: Tensor) -> None:
        x.index_copy_(dim, self.index, value.unsqueeze(dim))

    def stored(self, x: Tensor, dim: int) -> Tensor:
        return x.narrow(dim, 0, self.end)

    def mask(self) -> Tensor | None:
        return self.visible.index_select(0, self.index)[:, : self.end]

    def holds(self, flags: list[bool]) -> bool:
        return any(flags)

    def keep(self, old: Tensor, new: Tensor) -> Tensor:
        return old.copy_(new)

    def advance(self) -> None:
        self.index.add_(1)

    def move(self, index: int) -> None:
        self.index.fill_(index)
