"""Batches of a stream: prefetched by worker processes, and equal for any number of workers.

Conventions
-----------
Each batch is a function of the numbers of its crops, so a worker needs no state. ``DataLoader``
returns batches in order: batch ``b`` of a process is made by worker ``b mod workers``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

import torch
from benchsep_training.batches import Stateless, Turn
from torch.utils.data import DataLoader, Dataset

B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)
ENDLESS = 1 << 60
"""A number of batches that no training reaches."""


class Crops(Protocol[B_co]):
    """What a stream reads its batches from."""

    def batch(self, numbers: range) -> B_co:
        """The crops of these numbers as one batch."""


class _Numbered(Dataset[B]):
    """Batch ``j`` of one process, for :class:`torch.utils.data.DataLoader`."""

    def __init__(self, stream: StreamBatches[B], rank: int, ranks: int) -> None:
        self.stream, self.rank, self.ranks = stream, rank, ranks

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, j: int) -> B:
        step, piece = divmod(j, self.stream.accumulate)
        return self.stream.make(Turn(step, piece, self.rank, self.ranks))


class StreamBatches(Stateless, Generic[B]):
    """A source of batches with ``workers`` processes that read ahead (0: none).

    Parameters
    ----------
    size : crops of a batch.
    accumulate : batches of a step of one process.
    prefetch : batches that each worker holds ready.
    """

    def __init__(
        self, crops: Crops[B], size: int, accumulate: int, *, workers: int = 0, prefetch: int = 4
    ) -> None:
        self.crops, self.size, self.accumulate = crops, size, accumulate
        self.workers, self.prefetch = workers, prefetch
        self._next: Turn | None = None
        self._batches: Iterator[B] = iter(())

    def make(self, turn: Turn) -> B:
        """The batch of ``turn``, made in this process."""
        within = turn.indices(self.size)
        first = turn.step * self.accumulate * turn.ranks * self.size + within.start
        return self.crops.batch(range(first, first + self.size))

    def batch(self, turn: Turn) -> B:
        """The batch of ``turn``.

        If it does not follow the last batch, the workers are restarted. Batches besides those of a
        step are made here; their crops are those of the steps that come.
        """
        if not self.workers or turn.piece >= self.accumulate:
            return self.make(turn)
        if turn != self._next:
            self._start(turn)
        self._next = self._following(turn)
        return next(self._batches)

    def close(self) -> None:
        """End the workers."""
        self._batches, self._next = iter(()), None

    def _following(self, turn: Turn) -> Turn:
        last = turn.piece + 1 == self.accumulate
        step, piece = (turn.step + 1, 0) if last else (turn.step, turn.piece + 1)
        return Turn(step, piece, turn.rank, turn.ranks)

    def _start(self, turn: Turn) -> None:
        self.close()
        data: Any = DataLoader(
            _Numbered(self, turn.rank, turn.ranks),
            batch_size=None,
            sampler=range(turn.step * self.accumulate + turn.piece, ENDLESS),
            num_workers=self.workers,
            prefetch_factor=self.prefetch,
            pin_memory=torch.cuda.is_available(),
            # its own: to start workers would draw from the generator that the training draws from
            generator=torch.Generator(),
        )
        self._batches = iter(data)

    def __getstate__(self) -> dict[str, Any]:
        """Without the workers: a worker gets a copy where processes are not forked."""
        return {**self.__dict__, "_next": None, "_batches": iter(())}
