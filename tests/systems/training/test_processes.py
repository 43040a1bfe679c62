"""What is refused before a training begins."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from benchsep_training.processes import Processes

from benchsep.errors import Unavailable


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED"])
def test_sharded_states_are_refused(monkeypatch, kind):
    accelerate = pytest.importorskip("accelerate")
    given = SimpleNamespace(distributed_type=SimpleNamespace(name=kind))
    monkeypatch.setattr(accelerate, "Accelerator", lambda **_: given)
    with pytest.raises(Unavailable, match=f"configured for {kind}; these trainers support DDP"):
        Processes("bf16")
