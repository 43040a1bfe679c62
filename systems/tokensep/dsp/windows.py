"""Long signals in overlapping pieces.

Conventions
-----------
starts    in steps of ``window - overlap``; the last window may end behind the signal
weights   rise and fall linearly over the overlap (at most half a window); those of overlapping
          windows add up to 1, the song's two ends keep theirs
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Windows:
    """Overlapping windows over a signal of ``length`` samples: cut, grouped, cross-faded.

    ``window`` and ``overlap`` are samples too.
    """

    length: int
    window: int
    overlap: int

    @property
    def starts(self) -> list[int]:
        """First sample of each window."""
        return window_starts(self.length, self.window, self.overlap)

    def batches(self, size: int) -> Iterator[list[int]]:
        """Indices of the windows in order, at most ``size`` at a time."""
        count = len(self.starts)
        for first in range(0, count, size):
            yield list(range(first, min(first + size, count)))

    def cut(self, signal: Tensor, index: int) -> Tensor:
        """One window of ``signal [..., T]``: ``[..., window]``, with zeros after its end."""
        start = index * (self.window - self.overlap)
        piece = signal[..., start : start + self.window]
        return functional.pad(piece, (0, self.window - piece.shape[-1]))

    def cross_fade(self, parts: Iterator[tuple[int, Tensor]], channels: int) -> Tensor:
        """``[channels, length]`` of pairs of a window's index and its ``[channels, window]``.

        It is on the device of the parts.
        """
        starts = self.starts
        out: Tensor | None = None
        for index, part in parts:
            start = starts[index]
            weights = fade(self.window, self.overlap, index == 0, index == len(starts) - 1)
            if out is None:
                out = part.new_zeros(channels, starts[-1] + self.window)
            out[:, start : start + self.window] += weights.to(part.device) * part
        assert out is not None
        return out[:, : self.length]


def window_starts(length: int, window: int, overlap: int) -> list[int]:
    """Starts of windows that cover ``length``, in steps of ``window - overlap``."""
    step = window - overlap
    count = max(1, -(-(length - overlap) // step))
    return [i * step for i in range(count)]


def fade(window: int, overlap: int, first: bool, last: bool) -> Tensor:
    """Weights of one window; those of overlapping windows add up to 1."""
    weights = torch.ones(window)
    if overlap:
        ramp = (torch.arange(overlap) + 0.5) / overlap
        if not first:
            weights[:overlap] = ramp
        if not last:
            weights[-overlap:] = 1 - ramp
    return weights


def cross_faded(
    length: int, window: int, overlap: int, piece: Callable[[int, int], Tensor]
) -> Tensor:
    """``[C, length]`` of the overlapping pieces that ``piece(start, end) [C, end - start]`` makes.

    One piece is asked for as long as it is; of several, the last may end behind ``length``. The
    result is on the device of the pieces.
    """
    starts = window_starts(length, window, overlap)
    if len(starts) == 1:
        return piece(0, length)[:, :length]
    out: Tensor | None = None
    for start in starts:
        weights = fade(window, overlap, start == 0, start == starts[-1])
        made = piece(start, start + window)
        part = weights.to(made.device) * made
        if out is None:
            out = part.new_zeros(len(part), starts[-1] + window)
        out[:, start : start + window] += part
    assert out is not None
    return out[:, :length]
