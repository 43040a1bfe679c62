"""A decoding step as something that can be recorded and repeated, without a GPU."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokensep.decode import graph, sampling
from tokensep.decode.generate import generate
from tokensep.lm.config import PRESETS, SamplingConfig
from tokensep.lm.model import TokenLM
from torch.utils._python_dispatch import TorchDispatchMode

from tests.systems.tokensep.decode.test_generate import DRAW, KINDS, model_and_cond

ROWS = 3


class Counted(TorchDispatchMode):
    """Counts what would start a kernel: every operation that is not a view."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not function.is_view:
            self.names[str(function)] += 1
        return function(*args, **(kwargs or {}))


class Recording(TorchDispatchMode):
    """Repeats operations as a CUDA graph does: same tensors, same numbers, no Python in between."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.calls.append((function, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for function, args, kwargs, result in self.calls:
            again = function(*args, **kwargs)
            pairs = (
                zip(result, again, strict=True) if isinstance(result, tuple) else [(result, again)]
            )
            for old, new in pairs:
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Recorder:
    """In place of :class:`tokensep.decode.graph.CudaRecorder`: warms up, then records."""

    def __init__(self) -> None:
        self.recordings: list[Recording] = []
        self.replayed = 0

    def __call__(self, run: Callable[[], None]) -> Callable[[], object]:
        for _ in range(graph.WARM_UPS):
            run()
        with Recording() as recording:  # runs it too, which a capture does not
            run()
        self.recordings.append(recording)

        def replay() -> None:
            self.replayed += 1
            recording.replay()

        return replay


@pytest.fixture
def recorder(monkeypatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(graph, "recorder_for", lambda device: made)
    return made


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decoding", ["sequential", "parallel"])
def test_a_recorded_step_draws_what_the_plain_one_does(kind, decoding, recorder):
    model, cond = model_and_cond(kind, frames=3)
    how = {
        "sampling": DRAW.model_copy(update={"cfg": 2.0}),
        "decoding": decoding,
        "seeds": [7, 8, 9],
        "known": known_bass(cond.shape[1]),
        "likelihood": True,
    }
    plain, repeated = (generate(model, cond, step=step, **how) for step in ("plain", "graph"))
    assert torch.equal(plain.codes, repeated.codes)
    torch.testing.assert_close(plain.log_likelihood, repeated.log_likelihood, atol=1e-4, rtol=0)
    stems = 1 if decoding == "parallel" else 4
    assert recorder.replayed == stems * model.layout.steps(cond.shape[1])
    assert len(recorder.recordings) == graph.PARTS


def known_bass(frames: int) -> torch.Tensor:
    """Some tokens given, the rest to be drawn."""
    known = torch.full((ROWS, 4, 5, frames), -1)
    known[:, 2] = 3
    return known


def test_expected_latents_are_those_of_the_plain_step(recorder):
    from tokensep.codec.codebooks import codebooks

    from tests.helpers.lm_dummies import DummyCodec

    model, cond = model_and_cond("anchored", frames=3)
    books = codebooks(DummyCodec())
    plain, repeated = (
        generate(model, cond, sampling=DRAW, codebooks=books, step=step)
        for step in ("plain", "graph")
    )
    torch.testing.assert_close(plain.latents, repeated.latents, atol=1e-4, rtol=1e-4)


def test_without_a_gpu_the_same_step_is_called():
    model, cond = model_and_cond("anchored")
    plain, graphed = (generate(model, cond, sampling=DRAW, step=s) for s in ("plain", "graph"))
    assert torch.equal(plain.codes, graphed.codes)


def test_what_cannot_be_recorded_is_called_and_the_log_says_so(monkeypatch, caplog):
    def fails(run: Callable[[], None]) -> Callable[[], object]:
        run()
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graph, "recorder_for", lambda device: fails)
    model, cond = model_and_cond("anchored")
    with caplog.at_level(logging.WARNING):
        found = generate(model, cond, sampling=DRAW, step="graph").codes
    assert "not permitted when stream is capturing" in caplog.text
    assert torch.equal(found, generate(model, cond, sampling=DRAW).codes)


def operations(rows: int, step: str) -> float:
    """Operations of one step of the mini: what two more frames, a step a stem each, add."""
    torch.manual_seed(0)
    model = TokenLM(PRESETS["mini"]).eval()
    books = torch.randn(16, 512, 128)
    model.fit_latent_head(books, torch.randint(0, 512, (600, 16)))
    counts = []
    for frames in (2, 4):
        cond = torch.randn(rows, frames, model.config.encoder.dim)
        draw = SamplingConfig(temperature=1.0, cfg=1.5)
        with Counted() as counted:
            generate(model, cond, sampling=draw, codebooks=books, step=step)
        counts.append(counted.names.total())
    return (counts[1] - counts[0]) / (2 * len(model.config.stems))


def test_a_step_starts_as_many_operations_for_many_rows_as_for_few(monkeypatch):
    """It started 109 at 8 rows and 167 at 64 when each row drew its noise at each step."""
    monkeypatch.setattr(sampling, "CPU_NOISE_BYTES", sampling.GPU_NOISE_BYTES)
    few, many = operations(2, "plain"), operations(12, "plain")
    assert many - few < 2 and many < 100


def test_a_recorded_step_starts_next_to_nothing_else(monkeypatch):
    """Of the operations that Python starts, those outside of the recordings, noise included."""
    monkeypatch.setattr(sampling, "CPU_NOISE_BYTES", sampling.GPU_NOISE_BYTES)
    monkeypatch.setattr(graph, "recorder_for", lambda device: lambda run: lambda: None)
    assert operations(2, "graph") < 1
