"""Chunks of a song through a demucs model several at a time.

``demucs.apply.apply_model`` cuts the song, hands each chunk to a pool, and then asks for one result
after the other: :class:`BatchPool` is such a pool, and computes as many chunks at once as it may
when the first of them is asked for. Shifts, bags, padding, fades and the order of sums stay
upstream's.

Conventions
-----------
chunk     ``TensorChunk`` ``[1, channels, frames]`` of the song; the last one is shorter
group     neighbours of one padded length, for one model
memory    the estimates of a group are kept until each was asked for
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
        """``[1, stems, channels, frames]``, once."""
        if self.estimate is None:
            self.pool.compute_from(self)
        estimate, self.estimate = self.estimate, None
        return estimate

    @property
    def padded_length(self) -> int:
        """As ``apply_model`` pads it."""
        from demucs.htdemucs import HTDemucs

        frames = int(self.chunk.shape[-1])
        if isinstance(self.model, HTDemucs) and self.segment is not None:
            return int(self.segment * self.model.samplerate)
        has_one = hasattr(self.model, "valid_length")
        return int(self.model.valid_length(frames)) if has_one else frames


@dataclass
class BatchPool:
    """What ``apply_model`` takes for a pool.

    Parameters
    ----------
    size
        Chunks given to the model at once, at most.
    """

    size: int
    waiting: list[_Chunk] = field(default_factory=list)

    def submit(self, function: Any, model: Any, chunk: Any, **options: Any) -> _Chunk:
        """Note a chunk; ``function`` is ``apply_model``, whose last step is done here."""
        added = _Chunk(self, model, chunk, options["segment"], options["device"])
        self.waiting.append(added)
        return added

    def shutdown(self, **options: Any) -> None:
        """Forget what nobody will ask for."""
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
    """By how much the model moves the positions of each call at random: 0 in upstream's models."""
    return int(getattr(getattr(model, "crosstransformer", None), "sin_random_shift", 0))


def _draw_as_calls_do(model: Any, calls: int) -> None:
    """Leave the random generator as so many further calls would.

    HTDemucs draws its shift in every call, also where it can be zero only, and upstream draws the
    shift of the next pass over the song after that.
    """
    if getattr(getattr(model, "crosstransformer", None), "emb", "") == "sin":
        for _ in range(calls):
            random.randrange(_random_shift(model) + 1)
