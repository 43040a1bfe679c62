"""The alignment ladder: each rung mends its own fault, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchsep.audio import STEMS, Audio
from benchsep.metrics.alignment import (
    RUNGS,
    Alignment,
    correlate,
    filtered_sdr,
    ladder,
    magnitude_sdr,
)
from benchsep.metrics.metric import References
from benchsep.metrics.sdr import usdr

RATE = 44_100


@pytest.fixture(scope="module")
def truth(clip) -> np.ndarray:
    return clip.stems["vocals"].samples[:, RATE : 4 * RATE]


@pytest.fixture(scope="module")
def estimate(clip, truth) -> np.ndarray:
    """A good estimate: 14.3 dB."""
    rest = clip.mixture.samples[:, RATE : 4 * RATE] - truth
    return (truth + 0.05 * rest).astype(np.float32)


def late(samples: np.ndarray, count: int) -> np.ndarray:
    if count < 0:
        return np.pad(samples, ((0, 0), (0, -count)))[:, -count:]
    return np.pad(samples, ((0, 0), (count, 0)))[:, : samples.shape[1]]


def test_without_a_fault_all_waveform_rungs_agree(truth, estimate):
    found = ladder(truth, estimate, RATE)
    assert found.lag == 0
    assert found.sdr == pytest.approx(usdr(truth, estimate), abs=1e-4)
    assert found.delay == found.sdr
    assert found.polarity - found.sdr < 0.25
    assert abs(found.level) < 0.25


@pytest.mark.parametrize("count", [1, 5, 50, 441, 4000, -30])
def test_delay_is_mended_by_the_second_rung(truth, estimate, count):
    whole, found = ladder(truth, estimate, RATE), ladder(truth, late(estimate, count), RATE)
    assert found.lag == count
    assert found.sdr < whole.sdr - 3
    assert found.delay == pytest.approx(whole.sdr, abs=0.2)


@pytest.mark.parametrize("decibels", [-12, -3, 3])
def test_level_is_mended_by_the_third(truth, estimate, decibels):
    whole = ladder(truth, estimate, RATE)
    found = ladder(truth, np.float32(10 ** (decibels / 20)) * estimate, RATE)
    assert found.delay < whole.sdr - 3
    assert found.gain == pytest.approx(whole.gain, abs=1e-3)
    assert found.level == pytest.approx(whole.level + decibels, abs=1e-3)


def test_polarity_is_mended_by_the_fourth(truth, estimate):
    whole, found = ladder(truth, estimate, RATE), ladder(truth, -estimate, RATE)
    assert found.sdr == pytest.approx(-6.0, abs=0.3)
    assert found.gain < 3
    assert found.polarity == pytest.approx(whole.polarity, abs=1e-3)


def test_a_filter_is_mended_by_the_fifth(truth, estimate):
    from scipy.signal import lfilter

    # One pole, minimum phase: its inverse has two taps.
    dull = lfilter([0.1], [1.0, -0.9], estimate, axis=1).astype(np.float32)
    whole, found = ladder(truth, estimate, RATE), ladder(truth, dull, RATE)
    assert found.polarity < whole.polarity - 3
    assert found.fir > whole.polarity - 0.1


def test_random_phase_is_forgiven_by_magnitudes_alone(truth, estimate):
    from scipy.signal import istft, stft

    spectrum = stft(estimate, nperseg=2048, noverlap=1536)[2]
    turn = np.exp(2j * np.pi * np.random.default_rng(0).random(spectrum.shape))
    heard = istft(spectrum * turn, nperseg=2048, noverlap=1536)[1][:, : truth.shape[1]]
    found = ladder(truth, heard.astype(np.float32), RATE)
    assert found.fir < 1
    assert found.magnitude > 4


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    count=st.integers(-2000, 2000),
    gain=st.floats(-2, 2).filter(lambda g: abs(g) > 1e-3),
    noise=st.floats(1e-4, 1.0),
    seed=st.integers(0, 99),
)
def test_no_rung_is_below_the_one_before(truth, count, gain, noise, seed):
    short = truth[:, :8000]
    rng = np.random.default_rng(seed)
    heard = gain * late(short, count) + noise * rng.standard_normal(short.shape)
    found = ladder(short, heard.astype(np.float32), RATE)
    rungs = [found.sdr, found.delay, found.gain, found.polarity, found.fir]
    assert rungs == sorted(rungs)


@pytest.mark.parametrize("count", [0, 30])
def test_the_filter_uses_correlations_that_are_known(truth, estimate, count):
    heard = late(estimate, count)
    expected = filtered_sdr(truth, heard)
    assert filtered_sdr(truth, heard, found=correlate(truth, heard, RATE)) == pytest.approx(
        expected, abs=1e-9
    )
    # At this rate lags reach 10 samples, less than the filter.
    few = correlate(truth[:, :3000], heard[:, :3000], 100)
    assert filtered_sdr(truth[:, :3000], heard[:, :3000], found=few) == pytest.approx(
        filtered_sdr(truth[:, :3000], heard[:, :3000]), abs=1e-9
    )


def test_the_filter_is_the_least_squares_one():
    rng = np.random.default_rng(4)
    truth, heard = rng.standard_normal((2, 1, 300)).astype(np.float32)
    taps, half = 8, 4
    padded = np.zeros((300 + taps, taps))
    for i in range(taps):
        padded[i : i + 300, i] = heard[0]
    target = np.zeros(300 + taps)
    target[half : half + 300] = truth[0]
    solved = np.linalg.lstsq(padded, target, rcond=None)[0]
    error = float(((padded @ solved - target) ** 2).sum())
    expected = 10 * np.log10(float((truth.astype(float) ** 2).sum()) / error)
    assert filtered_sdr(truth, heard, taps) == pytest.approx(expected, abs=1e-6)


def magnitude_sdr_by_torch(truth, heard) -> float:
    import torch

    def spectrum(x):
        return torch.stft(
            torch.from_numpy(x).double(),
            2048,
            512,
            window=torch.hann_window(2048, dtype=torch.float64),
            pad_mode="constant",
            return_complex=True,
        ).abs()

    mine, theirs = spectrum(truth), spectrum(heard)
    gain = (mine * theirs).sum() / (theirs**2).sum()
    return float(10 * torch.log10((mine**2).sum() / ((mine - gain * theirs) ** 2).sum()))


@pytest.mark.parametrize("share", [1.0, 0.1, 1e-2, 1e-3, 1e-4, 1e-5])
def test_magnitudes_are_those_of_torch(truth, estimate, share):
    """From 14 to 115 dB, at another level than the reference's."""
    heard = (0.3 * (truth + share * (estimate - truth))).astype(np.float32)
    expected = magnitude_sdr_by_torch(truth, heard)
    tolerance = 1e-4 if expected < 100 else 1e-2
    assert magnitude_sdr(truth, heard) == pytest.approx(expected, abs=tolerance)


def test_another_level_alone_leaves_magnitudes_without_a_value(truth):
    assert magnitude_sdr(truth, np.float32(0.7) * truth) > 140


def test_a_track_has_every_rung_for_every_stem(clip):
    heard = {s: Audio(late(a.samples, 7), RATE) for s, a in clip.stems.items()}
    table = Alignment().score_track(References(clip.stems), heard, STEMS)
    for row in table.values():
        assert row["lag"].value == pytest.approx(1000 * 7 / RATE)
        assert row["sdr"].status == "ok"
        # With the delay taken out the estimate is the stem.
        assert {row[r].status for r in RUNGS if r != "sdr"} == {"not_finite"}
