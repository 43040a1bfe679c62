"""Correlations in blocks against the sum of products that defines them."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.metrics.lags import correlations, correlations_and_own


def defined(x: np.ndarray, y: np.ndarray, lag: int) -> float:
    """``sum_t x(t) y(t + lag)`` over all channels."""
    frames = x.shape[1]
    first, stop = max(0, -lag), min(frames, frames - lag)
    if stop <= first:
        return 0.0
    return float((x[:, first:stop].astype(float) * y[:, first + lag : stop + lag]).sum())


@pytest.mark.parametrize("frames", [1, 7, 100, 1000, 20_000])
@pytest.mark.parametrize(
    ("low", "high", "points"),
    [(0, 0, 16), (0, 5, 16), (-5, 5, 32), (-30, 33, 1024), (3, 9, 64), (-9, -3, 128)],
)
def test_every_lag_is_the_sum_of_products(frames, low, high, points) -> None:
    x, y = np.random.default_rng(frames).standard_normal((2, 2, frames)).astype(np.float32)
    found = correlations(x, y, low, high, points)
    expected = [defined(x, y, lag) for lag in range(low, high + 1)]
    assert found == pytest.approx(expected, abs=1e-13 * (frames + 10))


@pytest.mark.parametrize("frames", [1, 7, 100, 1000, 20_000])
@pytest.mark.parametrize(
    ("low", "high", "own", "points"), [(-5, 5, 11, 16), (0, 5, 3, 64), (-40, 40, 64, 1024)]
)
def test_the_autocorrelation_that_comes_with_them(frames, low, high, own, points) -> None:
    x, y = np.random.default_rng(frames).standard_normal((2, 2, frames)).astype(np.float32)
    cross, found = correlations_and_own(x, y, low, high, own, points)
    assert np.array_equal(cross, correlations(x, y, low, high, points))
    expected = [defined(x, x, lag) for lag in range(own)]
    assert found == pytest.approx(expected, abs=1e-13 * (frames + 10))


def test_a_quiet_signal_keeps_its_precision() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 1, 5000)).astype(np.float32)
    loud = correlations(x, y, -3, 4, 64)
    quiet = correlations(x, np.float32(2**-14) * y, -3, 4, 64)
    assert quiet * 2**14 == pytest.approx(loud, rel=1e-13)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [5, 20_000])
def test_mixed_is_that_of_the_mono_signals(channels, frames) -> None:
    """Equal to the last bit, with and without the step to equal levels."""
    signals = np.random.default_rng(frames).standard_normal((2, channels, frames))
    x, y = (Audio(signal.astype(np.float32), 44_100) for signal in signals)
    mono = [audio.mono().samples for audio in (x, y)]
    for equalised in (False, True):
        given = {"low": -9, "high": 4, "own": 7, "points": 64, "equalised": equalised}
        expected = correlations_and_own(*mono, **given)
        found = correlations_and_own(x.samples, y.samples, **given, mixed=True)
        assert all(map(np.array_equal, found, expected))


def test_more_than_two_channels_are_not_mixed() -> None:
    signal = np.ones((3, 100), np.float32)
    with pytest.raises(ValueError, match="3 channels to mix: expected one or two"):
        correlations(signal, signal, 0, 3, 16, mixed=True)


@pytest.mark.parametrize("points", [8, 24, 32])
def test_the_transforms_must_be_longer_than_the_lags(points) -> None:
    signal = np.zeros((1, 100), np.float32)
    with pytest.raises(ValueError, match="expected a larger power of 2"):
        correlations(signal, signal, -16, 16, points)
