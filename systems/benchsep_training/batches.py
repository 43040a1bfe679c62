"""Where a trainer gets its batches: one small protocol between data and :class:`Loop`.

Two kinds of source meet it. One is a function of :class:`Turn` (crops drawn with a seed that
depends on it): it has no state, and a training may continue with another number of processes. The
other reads on in a stream: it gives its next batch whatever the turn says, and its state is the
place that it has reached. States are part of a checkpoint, one for each process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

B_co = TypeVar("B_co", covariant=True)


@dataclass(frozen=True)
class Turn:
    """Which batch is asked for.

    Attributes
    ----------
    step : optimizer step, from 0.
    piece : of the batches whose gradients this step adds up, from 0. Numbers from ``accumulate``
        on are batches besides those of the step, e.g. for the start of codebooks.
    rank, ranks : the process that asks, and how many there are.
    """

    step: int
    piece: int
    rank: int = 0
    ranks: int = 1

    def indices(self, size: int) -> range:
        """The examples of the step's global batch that are this turn's ``size`` ones.

        The global batch is numbered piece by piece, and within a piece process by process: N
        processes see together what one with an N times larger batch sees.
        """
        start = (self.piece * self.ranks + self.rank) * size
        return range(start, start + size)


class BatchSource(Protocol[B_co]):
    """Gives a training its batches; what a batch is, source and trainer agree on."""

    def batch(self, turn: Turn) -> B_co:
        """The batch of ``turn``, on the CPU."""

    def state(self) -> dict[str, Any]:
        """What :meth:`load_state` needs to go on after the last batch, as JSON; {} if nothing."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where the source that had this state was."""

    def close(self) -> None:
        """Give back what the source holds, e.g. processes; it may be asked again afterwards."""


class Stateless:
    """Base of sources whose batches are functions of :class:`Turn`."""

    def state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to give back."""
