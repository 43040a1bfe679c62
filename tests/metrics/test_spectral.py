"""Spectrogram distances against auraloss and against what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.errors import AudioError
from benchsep.metrics.metric import References
from benchsep.metrics.spectral import (
    LSD,
    MRSTFT,
    SIZES,
    a_weighting,
    lsd,
    mrstft,
)

METRICS = (MRSTFT(), LSD())
each_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.name)


@pytest.fixture(scope="module")
def vocals(clip):
    return clip.stems["vocals"].samples[0]


def degraded(clip, vocals):
    noise = np.random.default_rng(0).standard_normal(vocals.shape).astype(np.float32)
    return {
        "mixture": clip.mixture.samples[0],
        "half": vocals / 2,
        "late": np.roll(vocals, 50),
        "noisy": vocals + 0.003 * noise,
        "silent": np.zeros_like(vocals),
    }


def test_mrstft_has_the_values_of_auraloss(clip, vocals):
    freq = pytest.importorskip("auraloss.freq", reason="the parity reference is auraloss")
    import torch

    theirs = freq.MultiResolutionSTFTLoss(
        fft_sizes=list(SIZES),
        win_lengths=list(SIZES),
        hop_sizes=[size // 4 for size in SIZES],
        sample_rate=44_100,
        perceptual_weighting=True,
    )
    short = slice(44_100, 3 * 44_100 + 17)
    for estimate in degraded(clip, vocals).values():
        x, y = (torch.from_numpy(s[short].copy())[None, None] for s in (estimate, vocals))
        expected = float(theirs(x, y))
        found = mrstft(vocals[short], estimate[short], 44_100)
        # float32 sums of a million terms on their side, float64 on ours
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("frames", [2049, 8192, 9300, 40_001])
def test_every_frame_counts_whatever_the_length(frames):
    # A song is cut into eight segments: some are empty in short ones.
    from scipy.signal import get_window

    rng = np.random.default_rng(frames)
    pair = rng.standard_normal((2, frames)).astype(np.float32)
    weighted = np.stack([np.convolve(x, a_weighting(44_100), "same") for x in pair.astype(float)])
    distances = []
    for size in SIZES:
        padded = np.pad(weighted, ((0, 0), (size // 2, size // 2)), mode="reflect")
        cut = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, :: size // 4]
        y, x = np.sqrt(np.maximum(np.abs(np.fft.rfft(cut * get_window("hann", size))) ** 2, 1e-8))
        distances.append(
            np.linalg.norm(y - x) / np.linalg.norm(y) + np.abs(np.log(x) - np.log(y)).mean()
        )
    assert mrstft(*pair, 44_100) == pytest.approx(np.mean(distances), rel=3e-6)


def test_the_a_weighting_filter_passes_1_khz_and_stops_20_hz():
    response = np.abs(np.fft.rfft(a_weighting(44_100), 44_100))
    assert 20 * np.log10(response[1000]) == pytest.approx(0, abs=0.2)
    assert 20 * np.log10(response[20]) < -15  # 101 taps cannot follow the -50 dB of the curve


def test_lsd_of_a_gain_is_that_gain(vocals):
    # Each bin moves by 6.02 dB but those on the floor, so no more than that and most of it.
    loud = np.random.default_rng(0).standard_normal(44_100).astype(np.float32)
    assert lsd(loud, loud / 2) == pytest.approx(6.0206, abs=1e-3)
    assert 0 < lsd(vocals, vocals / 2) < 6.03


@pytest.mark.parametrize("gain", [0.7, 1.0, 1.9, 3e4, 1e16])
def test_lsd_of_a_wide_range_of_gains(gain):
    noise = np.random.default_rng(0).standard_normal(44_100).astype(np.float32)
    decibels = abs(20 * np.log10(np.float64(np.float32(gain))))
    assert lsd(noise, noise * np.float32(gain)) == pytest.approx(decibels, rel=2e-6, abs=2e-6)


def test_lsd_of_levels_at_the_ends_of_single_precision():
    noise = np.random.default_rng(0).standard_normal(44_100).astype(np.float32)
    assert lsd(noise, noise * np.float32(1e19)) == np.inf
    with pytest.raises(AudioError, match="silent"):
        lsd(noise * np.float32(1e-18), noise)


@pytest.mark.parametrize("count", [1025, 2048, 9300, 44_100, 131_072])
def test_lsd_against_a_plain_evaluation(vocals, count):
    from scipy.signal import get_window

    a, b = vocals[22_050:][:count], np.roll(vocals, 99)[22_050:][:count]
    window = get_window("hann", 2048)
    frames = range(0, count + 1, 512)
    power = [
        np.stack([np.abs(np.fft.rfft(np.pad(s, 1024, mode="reflect")[k : k + 2048] * window)) ** 2
                  for k in frames])
        for s in (a.astype(float), b.astype(float))
    ]  # fmt: skip
    floor = power[0].max() * 1e-8
    ratio = 10 * np.log10(np.maximum(power[1], floor) / np.maximum(power[0], floor))
    assert lsd(a, b) == pytest.approx(np.sqrt((ratio**2).mean(1)).mean(), rel=1e-5)


@each_metric
def test_zero_for_the_truth_and_growing_with_noise(metric, clip):
    truth = clip.stems["drums"]
    noise = np.random.default_rng(1).standard_normal(truth.samples.shape)
    found = []
    for level in (0, 1e-3, 1e-2, 1e-1):
        noisy = Audio(truth.samples + level * noise, truth.rate)
        scores = metric.score_track(References({"drums": truth}), {"drums": noisy}, ("drums",))
        found.append(scores["drums"][""].value)
    assert found[0] == 0
    assert found == sorted(found) and len(set(found)) == 4


@each_metric
def test_blind_to_polarity(metric, clip):
    truth = {"bass": clip.stems["bass"]}
    flipped = {"bass": Audio(-truth["bass"].samples, 44_100)}
    score = metric.score_track(References(truth), flipped, ("bass",))["bass"][""]
    assert score.value == pytest.approx(0, abs=1e-6)


@each_metric
def test_statuses(metric, clip):
    vocals = clip.stems["vocals"]
    zero = Audio(np.zeros_like(vocals.samples), vocals.rate)
    one = Audio(np.full((1, 1), 0.1), vocals.rate)
    cut = Audio(vocals.samples[:, :-1], vocals.rate)

    def status(reference, estimate):
        scores = metric.score_track(References({"v": reference}), {"v": estimate}, ("v",))
        return scores["v"][""].status

    assert status(zero, vocals) == "ref_silent"
    assert status(vocals, zero) == "ok"
    assert status(one, one) == "too_short"
    assert status(vocals, vocals.mono()) == "ok"
    assert status(vocals, cut).startswith("failed: estimate has")
    assert status(vocals, Audio(vocals.samples, 48_000)).startswith("failed: estimate at 48000")
    missing = metric.score_track(References({}), {}, ("v",))["v"][""]
    assert missing.status == "undefined: the track has no reference for v" and missing.value is None


def test_unequal_arrays_are_named_errors(vocals):
    for function in (lambda a, b: mrstft(a, b, 44_100), lsd):
        with pytest.raises(AudioError, match="expected"):
            function(vocals, vocals[:-1])
        with pytest.raises(AudioError, match="expected over"):
            function(vocals[:100], vocals[:100])
    with pytest.raises(AudioError, match="silent"):
        lsd(np.zeros_like(vocals), vocals)
