"""Loudness: the standard's own reference values, and pyloudnorm where it is installed."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.datasets.track import TrackAudio
from benchsep.report.loudness import loudness, match_gains


def tone(level_db: float, hertz: float = 997.0, rate: int = 48_000, channels: int = 1) -> Audio:
    t = np.arange(rate * 5) / rate
    wave = 10 ** (level_db / 20) * np.sin(2 * np.pi * hertz * t)
    return Audio(np.repeat(wave[None], channels, 0), rate)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000, 96_000])
def test_a_full_scale_997_hz_sine_in_one_channel_is_minus_3_01(rate: int) -> None:
    # BS.1770-4, annex 1: the calibration sentence.
    assert loudness(tone(0.0, rate=rate)) == pytest.approx(-3.01, abs=0.05)


def test_ebu_tech_3341_case_1_stereo_at_minus_23() -> None:
    assert loudness(tone(-23.0, 1000.0, channels=2)) == pytest.approx(-23.0, abs=0.1)


def test_gating_ignores_pauses() -> None:
    loud = tone(-23.0, channels=2)
    pause = Audio(np.concatenate([loud.samples, np.zeros_like(loud.samples)], 1), loud.rate)
    assert loudness(pause) == pytest.approx(loudness(loud), abs=0.3)


def test_silence_and_very_short_signals() -> None:
    assert loudness(Audio.of(np.zeros(44_100), 44_100)) == -math.inf
    assert math.isfinite(loudness(Audio.of(np.ones(10), 44_100)))


def test_pyloudnorm_agrees_on_real_music(clip: TrackAudio) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    meter = pyloudnorm.Meter(clip.mixture.rate)
    for audio in (clip.mixture, *clip.stems.values()):
        expected = meter.integrated_loudness(audio.samples.T.astype(float))
        # pyloudnorm's filters are a re-derivation that the standard allows 0.1 LU for.
        assert loudness(audio) == pytest.approx(expected, abs=0.1)


def test_matching_makes_equal_loudness_without_clipping(clip: TrackAudio) -> None:
    signals = {
        "reference": clip.stems["vocals"],
        "quiet": Audio(clip.stems["vocals"].samples * 0.3, 44_100),
        "mixture": clip.mixture,
        "silent": Audio(clip.mixture.samples * 0, 44_100),
    }
    gains = match_gains(signals, "reference")
    matched = {
        name: Audio(audio.samples * 10 ** (gains[name] / 20), 44_100)
        for name, audio in signals.items()
    }
    levels = [loudness(matched[n]) for n in ("reference", "quiet", "mixture")]
    assert max(levels) - min(levels) < 0.05
    assert max(float(np.abs(a.samples).max()) for a in matched.values()) <= 1.0 + 1e-6


def test_a_nearly_silent_estimate_is_not_blown_up(clip: TrackAudio) -> None:
    faint = Audio(clip.stems["vocals"].samples * 1e-2, 44_100)
    gains = match_gains({"reference": clip.stems["vocals"], "faint": faint}, "reference")
    assert gains["faint"] - gains["reference"] == pytest.approx(12.0)
