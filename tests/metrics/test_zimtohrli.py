"""Zimtohrli in its own process: the package's own values, and what happens when it dies."""

from __future__ import annotations

import importlib.util
import os
import signal

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.datasets.clip import ClipDataset
from benchsep.metrics.metric import References
from benchsep.metrics.zimtohrli import SHORTEST, Zimtohrli, _worker
from benchsep.metrics.zimtohrli.process import Worker


@pytest.fixture(autouse=True, scope="module")
def _no_process_is_left():
    yield
    _worker().close()


needs_package = pytest.mark.skipif(
    importlib.util.find_spec("zimtohrli") is None, reason="pip install 'benchsep[zimtohrli]'"
)


def stems(**waves: np.ndarray) -> dict[str, Audio]:
    return {name: Audio(wave, 48_000) for name, wave in waves.items()}


@needs_package
@pytest.mark.parity
def test_values_are_those_of_the_package_on_real_stems():
    import zimtohrli

    track = ClipDataset().tracks()[0].load()
    references = {s: a.resampled(48_000).mono() for s, a in track.stems.items()}
    mixture = track.mixture.resampled(48_000).mono()
    found = Zimtohrli().score_track(
        References(references), dict.fromkeys(references, mixture), tuple(references)
    )
    for stem, reference in references.items():
        expected = zimtohrli.mos_from_signals(reference.samples[0], mixture.samples[0])
        assert found[stem][""].value == pytest.approx(expected, abs=1e-6)
        assert found[stem][""].status == "ok"


@needs_package
def test_an_equal_signal_is_perfect_and_noise_is_worse():
    rng = np.random.default_rng(0)
    wave = (0.1 * rng.standard_normal((1, 48_000))).astype(np.float32)
    noisy = wave + (0.05 * rng.standard_normal(wave.shape)).astype(np.float32)
    found = Zimtohrli().score_track(
        References(stems(vocals=wave, drums=wave)), stems(vocals=wave, drums=noisy),
        ("vocals", "drums"),
    )  # fmt: skip
    assert found["vocals"][""].value == 5 and 1 <= found["drums"][""].value < 5


@needs_package
@pytest.mark.parametrize(
    ("reference", "estimate", "status"),
    [
        (np.ones((1, SHORTEST - 1)), np.ones((1, SHORTEST - 1)), "too_short"),
        (np.zeros((1, 48_000)), np.ones((1, 48_000)), "ref_silent"),
        (np.ones((1, 48_000)), np.zeros((1, 48_000)), "est_silent"),
        (np.stack([np.ones(48_000), -np.ones(48_000)]), np.ones((2, 48_000)), "ref_silent"),
    ],
)
def test_what_has_no_value_says_why(reference, estimate, status):
    found = Zimtohrli().score_track(
        References(stems(vocals=reference.astype(np.float32) * 0.1)),
        stems(vocals=estimate.astype(np.float32) * 0.1), ("vocals",),
    )  # fmt: skip
    assert found["vocals"][""].status == status and found["vocals"][""].value is None


@needs_package
def test_a_crash_of_the_package_is_an_answer_and_the_next_pair_is_scored(request):
    """Signals of a few samples corrupt the package's heap: the process dies, this one does not."""
    worker = Worker()
    request.addfinalizer(worker.close)
    wave = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) * 0.1
    assert worker.mos(wave, wave) == 5.0
    process = worker._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert worker.mos(wave, wave) == 5.0
    short = wave[:100]
    answer = worker.mos(short, short)
    # What a corrupted heap does is chance: mostly a crash, now and then an answer.
    assert answer == 5.0 or "crashed" in str(answer)
    # After an answer the heap may still be corrupted: then the next call crashes, no later one.
    assert 5.0 in (worker.mos(wave, wave), worker.mos(wave, wave))


def test_without_the_package_the_command_that_installs_it_is_named(monkeypatch):
    from benchsep.metrics import zimtohrli as module

    monkeypatch.setattr(module, "_version", lambda: "")
    assert "pip install 'benchsep[zimtohrli]'" in Zimtohrli().available()
