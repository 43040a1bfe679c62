"""logWMSE against values of torch-log-wmse 1.1 (tests/golden/make_logwmse.py)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.errors import AudioError
from benchsep.metrics.logwmse import CEILING, LogWMSE, hearing_filter, logwmse
from benchsep.metrics.metric import References

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
EXPECTED = json.loads((GOLDEN / "logwmse.json").read_text())


@pytest.fixture(scope="module")
def signals():
    from tests.golden.make_logwmse import signals

    return signals()


def score(reference, estimate, mixture, rate=44_100):
    references = References({"v": Audio(reference, rate)}, mixture and Audio(mixture[0], rate))
    return LogWMSE().score_track(references, {"v": Audio(estimate, rate)}, ("v",))["v"][""]


@pytest.mark.parametrize("name", EXPECTED)
def test_values_are_those_of_upstream(signals, name):
    reference, estimate, mixture = signals[name]
    found = score(reference, estimate, [mixture])
    assert found.status == "ok"
    # Upstream's filter is rounded to float32; ours is made from its recipe in float64.
    assert found.value == pytest.approx(EXPECTED[name], abs=1e-4)


def test_the_filter_follows_its_recipe():
    response = 20 * np.log10(np.abs(np.fft.rfft(hearing_filter(), 44_100)))
    assert len(hearing_filter()) == 4000
    # 12 dB an octave below 120 Hz, 6 dB (twice 3) at the 10 kHz corner under a 5 dB shelf
    assert response[60] - response[30] == pytest.approx(12, abs=0.5)
    assert response[10_000] == pytest.approx(5 - 6, abs=0.1)


def test_doubling_the_error_costs_four_ln_four(signals):
    reference, estimate, mixture = (x[0] for x in signals["noisy"])
    worse = reference + 2 * (estimate - reference)
    difference = logwmse(reference, estimate, mixture) - logwmse(reference, worse, mixture)
    assert difference == pytest.approx(4 * np.log(4), abs=1e-3)


def test_invariant_to_a_common_gain(signals):
    case = [x[0] for x in signals["noisy"]]
    assert logwmse(*(x / 8 for x in case)) == pytest.approx(logwmse(*case), abs=1e-6)


def test_statuses(signals):
    reference, estimate, mixture = signals["noisy"]
    assert score(reference, reference, [mixture]).value == pytest.approx(CEILING)
    assert score(reference, estimate, None).status.startswith("undefined: logWMSE needs the mix")
    assert score(reference, estimate[:, :-1], [mixture]).status.startswith("failed: estimate has")
    assert score(reference, estimate, [mixture[:, :-1]]).status.startswith("failed: mixture")
    assert score(reference[:, :1], estimate[:, :1], [mixture[:, :1]]).status == "ok"
    assert score(reference, estimate, [mixture], rate=48_000).status == "ok"


def test_unequal_arrays_are_named_errors(signals):
    reference, estimate, mixture = (x[0] for x in signals["noisy"])
    with pytest.raises(AudioError, match="one length"):
        logwmse(reference, estimate, mixture[:-1])
    with pytest.raises(AudioError, match="one length"):
        logwmse(reference[:0], estimate[:0], mixture[:0])
