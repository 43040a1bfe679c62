"""Each signal is read once for all checks of a stem, and anew for the next call."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.metrics.metric import References, Score
from benchsep.metrics.stems import score_each, score_pairs, score_prepared

METRIC = SimpleNamespace(name="m", values=(SimpleNamespace(name=""),), rate=None, channels="any")
RATE = 8_000


def noise(seed: int, channels: int = 2) -> Audio:
    samples = np.random.default_rng(seed).standard_normal((channels, 500))
    return Audio(samples.astype(np.float32), RATE)


def score(loop, references, estimates):
    stems, found = ("vocals",), {"": Score(1.0)}
    if loop is score_each:
        return score_each(METRIC, estimates, stems, lambda _: found)
    if loop is score_prepared:
        return score_prepared(
            METRIC, references, estimates, stems, lambda _: 1, lambda *_: found,
            silent_estimate="est_silent",
        )  # fmt: skip
    return score_pairs(
        METRIC, references, estimates, stems, lambda *_: found, silent_estimate="est_silent"
    )


@pytest.fixture
def reads(monkeypatch):
    """Sizes of the vectors of which numpy computes products."""
    found, dot = [], np.dot

    def counted(a, b):
        found.append(a.size)
        return dot(a, b)

    monkeypatch.setattr(np, "dot", counted)
    return found


@pytest.mark.parametrize(
    ("loop", "expected"),
    [(score_each, [1000]), (score_pairs, [1000] * 2), (score_prepared, [1000] * 2)],
)
def test_each_signal_is_read_once(loop, expected, reads):
    score(loop, References({"vocals": noise(0)}), {"vocals": noise(1)})
    assert reads == expected


@pytest.mark.parametrize("loop", [score_each, score_pairs, score_prepared])
def test_a_signal_that_changed_is_read_again(loop):
    references, estimate = References({"vocals": noise(0)}), noise(1)
    assert score(loop, references, {"vocals": estimate})["vocals"][""].value == 1.0
    estimate.samples[0, 3] = np.nan
    assert score(loop, references, {"vocals": estimate})["vocals"][""].status.startswith("failed")
    estimate.samples[:] = 0
    assert score(loop, references, {"vocals": estimate})["vocals"][""].status == "est_silent"
