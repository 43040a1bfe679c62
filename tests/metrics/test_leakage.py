"""Leakage on real stems: known bleed is found, at its level, whatever the phase."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio
from benchsep.metrics.leakage import (
    FLOOR,
    Bleedless,
    Consistency,
    Leakage,
    bleedless_fullness,
    silence_level,
)
from benchsep.metrics.mel import Bank, mel_filters
from benchsep.metrics.metric import References
from benchsep.metrics.spectra import banded


@pytest.fixture(scope="module")
def references(clip):
    return References(clip.stems, clip.mixture)


def leakage(references, estimate, stem="vocals"):
    audio = Audio(estimate, 44_100)
    return Leakage().score_track(references, {stem: audio}, (stem,))[stem]


def late(samples, frames):
    return np.pad(samples, ((0, 0), (frames, 0)))[:, : samples.shape[1]]


@pytest.mark.parametrize("level", [-10, -20, -30])
@pytest.mark.parametrize("source", ["drums", "other"])
def test_bleed_is_found_at_its_level(clip, references, source, level):
    estimate = clip.stems["vocals"].samples + clip.stems[source].samples * 10 ** (level / 20)
    scores = leakage(references, estimate)
    assert scores[f"from_{source}"].value == pytest.approx(level, abs=1)
    assert scores["from_vocals"].value == pytest.approx(0, abs=0.3)
    for absent in set(STEMS) - {source, "vocals"}:
        assert scores[f"from_{absent}"].value < -40


def test_bleed_is_the_ratio_of_leaked_to_own_energy(clip, references):
    vocals, drums = (clip.stems[s].samples.astype(float) for s in ("vocals", "drums"))
    scores = leakage(references, vocals + drums / 10)
    expected = 10 * np.log10((drums**2).sum() / (vocals**2).sum() / 100)
    assert scores["bleed"].value == pytest.approx(expected, abs=1)


def test_blind_to_polarity_gain_and_small_delay(clip, references):
    estimate = clip.stems["vocals"].samples + clip.stems["drums"].samples / 10
    expected = leakage(references, estimate)["bleed"].value
    for changed in (-estimate, estimate / 3, late(estimate, 40)):
        assert leakage(references, changed)["bleed"].value == pytest.approx(expected, abs=1)


def test_white_noise_is_nobodys_bleed(clip, references):
    noise = np.random.default_rng(0).standard_normal(clip.mixture.samples.shape)
    scores = leakage(references, clip.stems["vocals"].samples + 0.003 * noise)
    assert scores["bleed"].value < -40


def test_bleed_is_undefined_and_no_failure_where_no_reference_is_found():
    """A failed cell would be computed again by every run, and could not enter a baseline."""
    time = np.arange(44_100) / 44_100
    low, high = (0.1 * np.sin(2 * np.pi * f * time)[None].astype(np.float32) for f in (80, 5000))
    scores = leakage(References({"drums": Audio(low, 44_100)}), high, "drums")
    assert scores["bleed"].status.startswith("undefined: ")


def test_truth_and_mixture_are_the_ends_of_the_scale(clip, references):
    truth = leakage(references, clip.stems["drums"].samples, "drums")
    assert truth["bleed"].value == truth["invented"].value == FLOOR
    assert truth["from_drums"].value == pytest.approx(0, abs=0.01)
    mixture = leakage(references, clip.mixture.samples, "drums")
    assert [mixture[f"from_{s}"].value for s in STEMS] == pytest.approx([0] * 4, abs=0.5)
    assert mixture["bleed"].value > 0
    assert mixture["invented"].value == FLOOR


def test_what_is_not_in_the_mixture_is_invented(clip, references):
    generator = np.random.default_rng(0)
    vocals = clip.stems["vocals"].samples
    noise = generator.standard_normal(vocals.shape)
    levels = [leakage(references, vocals + a * noise)["invented"].value for a in (1e-3, 1e-2, 1e-1)]
    assert FLOOR < levels[0] < levels[1] < levels[2] < 0


def test_level_in_silence():
    generator = np.random.default_rng(0)
    mixture = generator.standard_normal((1, 88_200)).astype(np.float32)
    reference = mixture * (np.arange(88_200) < 44_100)
    hum = 0.1 * generator.standard_normal(mixture.shape).astype(np.float32)
    assert silence_level(reference, mixture, mixture) == pytest.approx(0)
    assert silence_level(reference, reference, mixture) == FLOOR
    assert silence_level(reference, reference + hum, mixture) == pytest.approx(-20, abs=0.5)
    # a late estimate is not a hallucination
    assert silence_level(reference, late(reference, 2000), mixture) == FLOOR
    assert silence_level(mixture, mixture, mixture) is None
    assert silence_level(reference, hum, reference) is None


def test_silent_references_and_estimates(clip):
    zero = Audio(np.zeros_like(clip.mixture.samples), 44_100)
    stems = {**clip.stems, "vocals": zero}
    instrumental = References(stems, clip.mixture)
    scores = leakage(instrumental, clip.stems["drums"].samples / 10)
    assert scores["bleed"].status == "ref_silent"
    assert scores["from_vocals"].status == "undefined: vocals is silent"
    assert scores["from_drums"].value == pytest.approx(-20, abs=0.1)
    assert scores["silence"].value < -20
    nothing = leakage(instrumental, zero.samples)
    assert nothing["bleed"].status == "est_silent"
    assert nothing["silence"].value == FLOOR
    assert set(nothing) == {value.name for value in Leakage.values}


def test_every_value_has_a_status_for_odd_input(clip, references):
    short = References({"vocals": Audio(np.ones((1, 1)), 44_100)})
    assert leakage(short, np.ones((1, 1)))["bleed"].status == "too_short"
    cut = leakage(references, clip.mixture.samples[:, :-1])
    assert {s.status.split(":")[0] for s in cut.values()} == {"failed"}
    alone = References({"vocals": clip.stems["vocals"]})
    scores = leakage(alone, clip.mixture.samples)
    assert scores["from_bass"].status == "undefined: bass is silent"
    assert scores["silence"].status.startswith("undefined: no mixture")


def msst(reference, estimate, rate):
    """Bleedless and fullness as published, evaluated plainly with torch."""
    import librosa
    import torch

    window = torch.hann_window(4096)
    mel = torch.from_numpy(librosa.filters.mel(sr=rate, n_fft=4096, n_mels=512))
    levels = []
    for samples in (reference, estimate):
        spectrum = torch.stft(
            torch.from_numpy(samples), 4096, 1024, window=window, return_complex=True,
            pad_mode="constant",
        )  # fmt: skip
        level = 20 * torch.log10((mel @ spectrum.abs()).clamp(min=1e-10))
        levels.append(torch.maximum(level, level.max() - 80))
    difference = levels[1] - levels[0]
    excess, lack = difference[difference > 0], -difference[difference < 0]
    return [100 / (1 + (float(p.mean()) if p.numel() else 0.0)) for p in (excess, lack)]


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize("stem", STEMS)
def test_bleedless_and_fullness_are_those_of_msst(clip, stem):
    truth = clip.stems[stem].samples
    for estimate in (clip.mixture.samples, truth / 2, truth):
        found = bleedless_fullness(truth, estimate, 44_100)
        assert found == pytest.approx(msst(truth, estimate, 44_100), rel=1e-4)


def in_turn(reference, estimate, rate):
    """As :func:`msst`, step by step with numpy on the magnitudes that the metric has."""
    bank = Bank.of(mel_filters(rate, 4096, 512))
    levels = []
    for samples in (reference, estimate):
        padded = np.pad(samples, ((0, 0), (2048, 2048)))
        magnitudes = np.stack([banded(x, 4096, 1024, bank, root=True) for x in padded])
        level = np.log(np.maximum(magnitudes, np.float32(1e-10))) * np.float32(20 / np.log(10))
        levels.append(np.maximum(level, level.max() - np.float32(80)))
    difference = (levels[1] - levels[0]).reshape(-1, 16)
    values = []
    for part in (difference, -difference):
        lanes = np.cumsum(np.maximum(part, 0), axis=0, dtype=np.float64)[-1]
        count = int((part > 0).sum())
        values.append(100 / (1 + (float(np.cumsum(lanes)[-1]) / count if count else 0.0)))
    return tuple(values)


@pytest.mark.parametrize("rate", [16_000, 44_100])
@pytest.mark.parametrize("frames", [2049, 20_000, None])
def test_bleedless_is_the_plain_formula_to_the_bit(clip, rate, frames):
    truth, mixture = clip.stems["vocals"].samples[:, :frames], clip.mixture.samples[:, :frames]
    quiet = mixture * np.float32(1e-3)
    quiet[1] = 0
    for a, b in ((truth, mixture), (mixture, quiet), (truth[:1], mixture[1:]), (truth, truth)):
        assert bleedless_fullness(a, b, rate) == in_turn(a, b, rate)


def test_bleedless_statuses(clip):
    zero = Audio(np.zeros_like(clip.mixture.samples), 44_100)
    stems = {"vocals": clip.stems["vocals"], "bass": zero, "drums": clip.stems["drums"]}
    estimates = {"vocals": zero, "bass": clip.mixture, "drums": clip.stems["drums"]}
    scores = Bleedless().score_track(References(stems), estimates, tuple(stems))
    assert scores["vocals"]["fullness"].status == "est_silent"
    assert scores["bass"]["fullness"].status == "ref_silent"
    assert scores["drums"]["bleedless"].value == scores["drums"]["fullness"].value == 100


def test_consistency(clip, references):
    def residual(estimates):
        return Consistency().score_track(references, estimates, ("vocals",))["vocals"][""]

    assert residual(clip.stems).value < -75  # the mixture is the sum of the stems
    quarter = Audio(clip.mixture.samples / 8, 44_100)
    half = residual(dict.fromkeys(STEMS, quarter))
    assert half.value == pytest.approx(20 * np.log10(0.5), abs=1e-3)
    assert residual({"vocals": quarter}).status.startswith("undefined: the system gives no dr")
    cut = Audio(clip.mixture.samples[:, :-1], 44_100)
    assert residual(dict.fromkeys(STEMS, cut)).status.startswith("failed")
