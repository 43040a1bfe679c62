from __future__ import annotations

import io
import time

import pytest
from benchsep_training.monitor import TrainingMonitor

VALID = {"nll": 5.0, "accuracy": 0.2, "nll_layer": [4.0, 6.0], "nll_stem": {"bass": 3.0}}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def no_board(monkeypatch):
    from importlib import util

    real = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda n, *a: None if n == "tensorboard" else real(n))


def run(watch: TrainingMonitor, steps=range(1, 41)) -> None:
    for step in steps:
        watch.step(step, step / 40, {"loss": 10.0 / step})
    watch.valid(steps[-1], VALID)
    watch.close()


@pytest.mark.usefixtures("no_board")
def test_without_a_terminal_every_twentieth_step_is_a_line(tmp_path):
    log = io.StringIO()
    run(TrainingMonitor(tmp_path, 0, stream=log))
    assert log.getvalue().splitlines() == [
        "step 20 loss 0.5",
        "step 40 loss 0.25",
        "valid 40: nll 5 accuracy 0.2",
    ]
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_board")
def test_on_a_terminal_there_is_a_bar_of_the_whole_run(tmp_path):
    screen = Terminal()
    run(TrainingMonitor(tmp_path, 0, stream=screen))
    shown = screen.getvalue()
    assert "100.0%" in shown and "step 40 loss 0.25" in shown
    assert "valid 40: nll 5 accuracy 0.2\n" in shown


def test_other_processes_show_and_write_nothing(tmp_path):
    screen = Terminal()
    run(TrainingMonitor(tmp_path, 0, active=False, stream=screen))
    assert not screen.getvalue() and not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_holds_every_step_once_after_a_resumption(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install 'benchsep[board]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(TrainingMonitor(tmp_path, 0, stream=io.StringIO()), range(1, 11))
    time.sleep(1.1)  # event files are read in the order of the second in their names
    run(
        TrainingMonitor(tmp_path, 6, stream=io.StringIO()), range(7, 13)
    )  # killed, and back at step 6
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    losses = events.Scalars("train/loss")
    assert [e.step for e in losses] == list(range(1, 13))
    assert losses[3].value == pytest.approx(2.5)
    names = set(events.Tags()["scalars"])
    assert {"valid/nll", "valid/nll_layer/1", "valid/nll_stem/bass"} <= names
