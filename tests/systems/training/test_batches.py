"""Where batches come from: the numbering of examples, and streams that are resumed."""

from __future__ import annotations

import itertools

import pytest
import torch
from benchsep_training.batches import Turn
from benchsep_training.budget import Budget, Every
from benchsep_training.loop import Loop, LoopSettings
from benchsep_training.processes import Processes
from benchsep_training.schedule import WarmupCosine

from benchsep.errors import CheckpointError


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_processes_and_pieces_share_the_global_batch(ranks):
    turns = [Turn(5, piece, rank, ranks) for piece in range(2) for rank in range(ranks)]
    numbers = list(itertools.chain(*(turn.indices(4) for turn in turns)))
    assert numbers == list(range(2 * ranks * 4))


class Counting:
    """Gives 1, 2, 3 … whatever is asked for."""

    def __init__(self) -> None:
        self.last = 0

    def batch(self, turn):
        self.last += 1
        return torch.tensor(float(self.last))

    def state(self):
        return {"last": self.last}

    def load_state(self, state):
        self.last = state["last"]

    def close(self):
        pass


class Sum(Loop):
    """Records the batches it was given."""

    def __init__(self, folder):
        model = torch.nn.Linear(1, 1)
        settings = LoopSettings(Budget(6), WarmupCosine(0.1), save=Every(steps=2))
        optimizer = torch.optim.AdamW(model.parameters())
        self.seen = []
        super().__init__(
            folder,
            model,
            optimizer,
            settings,
            processes=Processes(alone=True),
            batches=Counting(),
        )

    def loss(self, piece):
        batch = self.batches.batch(self.turn(piece))
        self.seen.append(int(batch))
        return self.model(batch[None]).sum(), {}


def test_a_resumed_training_reads_on_where_the_stream_was(tmp_path):
    first = Sum(tmp_path)
    first.run(stop_after=3)
    again = Sum(tmp_path)
    again.run()
    assert first.seen == [1, 2, 3] and again.seen == [4, 5, 6]


def test_a_streams_state_belongs_to_the_process_that_saved_it(tmp_path, monkeypatch):
    Sum(tmp_path).run(stop_after=3)
    monkeypatch.setattr(Processes, "count", 2)
    with pytest.raises(CheckpointError, match="by 1 processes and this run has 2"):
        Sum(tmp_path).resume()
