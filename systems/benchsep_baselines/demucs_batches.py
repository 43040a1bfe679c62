"""Runs chunks of a song through a demucs model in batches.

``demucs.apply.apply_model`` cuts the song, submits each chunk to a pool, and then requests one
result after the other. :class:`BatchPool` is such a pool: at the first request, it computes as many
chunks as the batch size allows. Shifts, bags, padding, fades and the order of sums are unchanged
upstream code.

Conventions
-----------
chunk     ``TensorChunk`` ``[1, channels, frames]`` of the song; the last one is shorter
group     neighbours of one padded length, for one model
memory    the estimates of a group are kept until all have been requested
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any


@dataclass(eq=False)
class _Chunk:
    """A chunk that waits for its group; upstream's future."""

    pool: BatchPool
    model: Any
    chunk: Any
    segment: float | None
    device: Any
    estimate: Any = None

    def result(self) -> Any:
        """The result ``[1, stems, channels, frames]``; can be requested once."""
        if self.estimate is None:
            self.pool.compute_from(self)
        estimate, self.estimate = self.estimate, None
        return estimate

    @property
    def padded_length(self) -> int:
        """The chunk with the padding of ``apply_model``."""
        from demucs.htdemucs import HTDemucs

        frames = int(self.chunk.shape[-1])
        if isinstance(self.model, HTDemucs) and self.segment is not None:
            return int(self.segment * self.model.samplerate)
        has_one = hasattr(self.model, "valid_length")
        return int(self.model.valid_length(frames)) if has_one else frames


@dataclass
class BatchPool:
    """A replacement for the pool of ``apply_model``.

    Parameters
    ----------
    size
        Most chunks per batch.
    """

    size: int
    waiting: list[_Chunk] = field(default_factory=list)

    def submit(self, function: Any, model: Any, chunk: Any, **options: Any) -> _Chunk:
        """Submit a chunk; ``function`` is ``apply_model``, whose last step is done here."""
        added = _Chunk(self, model, chunk, options["segment"], options["device"])
        self.waiting.append(added)
        return added

    def shutdown(self, **options: Any) -> None:
        """Drop results that will not be requested."""
        self.waiting.clear()

    def compute_from(self, first: _Chunk) -> None:
        """The estimates of a chunk, and of those after it that fit into its group."""
        import torch
        from demucs.utils import center_trim

        start, length = self.waiting.index(first), first.padded_length
        group = []
        size = 1 if _random_shift(first.model) else self.size
        for chunk in self.waiting[start : start + size]:
            if chunk.model is not first.model or chunk.padded_length != length:
                break
            group.append(chunk)
        padded = torch.cat([chunk.chunk.padded(length) for chunk in group])
        estimates = first.model(padded.to(first.device))
        for chunk, estimate in zip(group, estimates.split(1), strict=True):
            chunk.estimate = center_trim(estimate, chunk.chunk.shape[-1])
        del self.waiting[start : start + len(group)]
        _draw_as_calls_do(first.model, len(group) - 1)


def _random_shift(model: Any) -> int:
    """Largest random shift of positions per call of the model: 0 in upstream's models."""
    return int(getattr(getattr(model, "crosstransformer", None), "sin_random_shift", 0))


def _draw_as_calls_do(model: Any, calls: int) -> None:
    """Advance the random generator as ``calls`` further calls would.

    HTDemucs draws a shift in every call, even if it can only be zero, and upstream then draws the
    shift of the next pass over the song.
    """
    if getattr(getattr(model, "crosstransformer", None), "emb", "") == "sin":
        for _ in range(calls):
            random.randrange(_random_shift(model) + 1)
