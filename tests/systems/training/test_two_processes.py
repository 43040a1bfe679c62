"""Trainings of two processes (gloo): they stay one model, whatever ends them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from benchsep_training.processes import Processes

from tests.helpers import two_ranks
from tests.helpers.launch import launch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    pytest.importorskip("accelerate")
    folder = tmp_path_factory.mktemp("two")
    launch(Path(two_ranks.__file__), str(folder))
    return folder, [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("trainer", ["lm", "codec"])
@pytest.mark.parametrize("bound", ["steps", "cpu", "wall"])
def test_both_end_at_one_step_with_one_model(ended, trainer, bound):
    name, (one, two) = f"{trainer}-{bound}", ended[1]
    assert one[name] == two[name]
    assert one[name][0] == 7 if bound == "steps" else one[name][0] >= 10
    if trainer == "codec":
        assert one[f"discriminators-{bound}"] == two[f"discriminators-{bound}"]


@pytest.mark.parametrize("trainer", ["lm", "codec"])
def test_validation_in_shares_is_that_of_all_data(ended, tmp_path, trainer):
    folder, (found, _) = ended
    step, _, shared = found[f"{trainer}-steps"]
    alone = getattr(two_ranks, trainer)(tmp_path, two_ranks.BOUNDS["steps"])
    alone.checkpoints.parent.mkdir(exist_ok=True)
    (folder / f"{trainer}-steps" / "checkpoints").rename(alone.checkpoints)
    assert alone.resume() and alone.step == step
    row = alone.evaluate()
    row.pop("cpu_seconds")
    assert row.keys() == shared.keys()
    for key, value in row.items():
        if isinstance(value, dict):
            value, shared[key] = list(value.values()), list(shared[key].values())
        assert value == pytest.approx(shared[key], abs=1e-4), key


def test_the_data_are_encoded_once(ended):
    one, two = ended[1]
    assert (one["encodings"], two["encodings"]) == (2 * 4 * 2, 0)


def test_no_thread_outlives_the_group(ended):
    """A thread of gloo that still runs when Python ends aborts the process, now and then."""
    assert [rank["threads"] for rank in ended[1]] == [0, 0]


def test_sums_of_named_values_in_one_process_are_the_values():
    alone = Processes(alone=True)
    assert alone.totals({"a": 1.0}) == {"a": 1.0}
    assert torch.equal(alone.total(torch.ones(2)), torch.ones(2))
