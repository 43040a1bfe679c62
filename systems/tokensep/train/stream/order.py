"""The order in which clips are read: a function of the seed and of the number of a crop.

An epoch reads every clip once. Its shards are permuted, cut into windows of so many shards, and
the clips of a window are permuted: ``number → epoch → window → clip``. Only the permutations of the
current epoch and of the last windows are in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from benchsep_training.seeds import generator
from numpy.typing import NDArray


@dataclass(frozen=True)
class Window:
    """The clips that are read together: number of the shard, and number in the shard, of each."""

    shards: NDArray[np.int64]
    clips: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> tuple[int, int]:
        return int(self.shards[index]), int(self.clips[index])


class Order:
    """The order of the clips of shards that hold ``counts`` clips; ``window`` is in shards."""

    def __init__(self, counts: Sequence[int], seed: int, window: int) -> None:
        self.counts = np.asarray(counts, np.int64)
        self.seed, self.window = seed, window
        self.total = int(self.counts.sum())
        self._epoch = lru_cache(maxsize=2)(self._make_epoch)
        self._window = lru_cache(maxsize=4)(self._make_window)

    def place(self, number: int) -> tuple[Window, int]:
        """The window in which crop ``number`` (from 0) lies, and its clip's index there."""
        epoch, within = divmod(number, self.total)
        _, starts = self._epoch(epoch)
        index = int(np.searchsorted(starts, within, side="right")) - 1
        return self._window(epoch, index), within - int(starts[index])

    def _make_epoch(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The shards in the order of the epoch, and the first clip of each window."""
        shards = generator("shards", self.seed, epoch).permutation(len(self.counts))
        ends = np.concatenate([[0], np.cumsum(self.counts[shards])])
        return shards, ends[:-1][:: self.window]

    def _make_window(self, epoch: int, index: int) -> Window:
        shards, _ = self._epoch(epoch)
        inside = shards[index * self.window : (index + 1) * self.window]
        numbers = np.repeat(inside, self.counts[inside])
        clips = np.concatenate([np.arange(n) for n in self.counts[inside]])
        order = generator("clips", self.seed, epoch, index).permutation(len(numbers))
        return Window(numbers[order], clips[order])
