"""The source of a trainer's batches: a small protocol between data and :class:`Loop`.

There are two kinds of sources. The first is a function of :class:`Turn` (crops drawn with a seed
that depends on it): it has no state, and a training may continue with another number of processes.
The second reads a stream: it returns its next batch for any turn, and its state is the position in
the stream. A checkpoint has one state per process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True)
class Turn:
    """The index of a batch.

    Attributes
    ----------
    step : optimizer step, from 0.
    piece : index of the batch among those whose gradients are accumulated in this step, from 0.
        Indices from ``accumulate`` on are additional batches, e.g. for the initialisation of
        codebooks.
    rank, ranks : index of the process, and number of processes.
    """

    step: int
    piece: int
    rank: int = 0
    ranks: int = 1

    def indices(self, size: int) -> range:
        """Indices of this turn's ``size`` examples in the step's global batch.

        The global batch is numbered by piece, and within a piece by process, so N processes
        together use the same examples as one process with an N times larger batch.
        """
        start = (self.piece * self.ranks + self.rank) * size
        return range(start, start + size)


class BatchSource(Protocol[B_co]):
    """A source of batches for a training; source and trainer define the type of a batch."""

    def batch(self, turn: Turn) -> B_co:
        """The batch of ``turn``, on the CPU."""

    def state(self) -> dict[str, Any]:
        """The state for :meth:`load_state` after the last batch, as JSON; {} if there is none."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue at the position of a stored state."""

    def close(self) -> None:
        """Release resources, e.g. processes; the source may be used again afterwards."""


class Stateless:
    """Base of sources whose batches are functions of :class:`Turn`."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to give back."""
