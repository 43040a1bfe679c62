"""Yardsticks and oracles: what bounds a table must behave like a bound."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from benchsep_baselines.mixture import Mixture
from benchsep_baselines.oracles import (
    FRAMES_AT_ONCE,
    HOP,
    SIZE,
    Frames,
    IdealRatioMask,
    MultichannelWiener,
    OverlapAdd,
    Reference,
    blocks,
    wiener,
)
from scipy.signal import istft, stft

from benchsep._util.memory import PeakMemory
from benchsep.audio import STEMS, Audio
from benchsep.errors import SeparatorError, UsageError
from benchsep.systems.estimate import checked_estimates

ORACLES = [Reference, IdealRatioMask, MultichannelWiener]


def usdr(reference: Audio, estimate: Audio) -> float:
    true = reference.samples.astype(np.float64)
    error = ((true - estimate.samples) ** 2).sum()
    return float(10 * np.log10(((true**2).sum() + 1e-7) / (error + 1e-7)))


def mean_usdr(clip, estimates) -> float:
    return float(np.mean([usdr(clip.stems[s], estimates[s]) for s in STEMS]))


@pytest.fixture(scope="module")
def second(clip):
    """One second of the clip: enough where only shapes and sums are looked at."""
    stems = {s: Audio(a.samples[:, 60000:104100], a.rate) for s, a in clip.stems.items()}
    mixture = Audio(np.sum([a.samples for a in stems.values()], axis=0), clip.mixture.rate)
    return mixture, stems


def test_the_mixture_row_is_the_mixture(clip):
    estimates = Mixture().separate(clip.mixture, seed=0)
    assert set(estimates) == set(STEMS)
    assert all(audio is clip.mixture for audio in estimates.values())


@pytest.mark.parametrize("oracle", ORACLES)
def test_an_oracle_keeps_the_contract_and_says_that_it_needs_the_truth(second, oracle):
    mixture, stems = second
    system = oracle()
    assert system.info.family == "oracle" and system.info.needs_references
    estimates = system.separate(mixture, seed=0, references=stems)
    assert set(checked_estimates(estimates, system.info, mixture)) == set(STEMS)


def test_on_real_music_the_oracles_rank_as_published(clip):
    """|S|² beats |S|¹ in SDR (ladder.md), both masks beat the mixture by far, truth beats all."""
    scores = {
        name: mean_usdr(clip, system.separate(clip.mixture, seed=0, references=clip.stems))
        for name, system in {
            "irm": IdealRatioMask(),
            "irm1": IdealRatioMask("1"),
            "mwf": MultichannelWiener(),
            "reference": Reference(),
        }.items()
    }
    doing_nothing = mean_usdr(clip, Mixture().separate(clip.mixture, seed=0))
    assert scores["reference"] > 60
    assert scores["irm"] > scores["irm1"] > doing_nothing + 8
    assert scores["mwf"] > doing_nothing + 8


@pytest.mark.parametrize("oracle", [IdealRatioMask, MultichannelWiener])
def test_the_estimates_sum_to_the_mixture(second, oracle):
    mixture, stems = second
    estimates = oracle().separate(mixture, seed=0, references=stems)
    total = np.sum([estimates[s].samples for s in STEMS], axis=0)
    assert np.abs(total - mixture.samples).max() < 2e-4


def test_the_wiener_filter_is_the_formula_bin_by_bin():
    """Against loops over bins and frames that read as the docstring does."""
    rng = np.random.default_rng(0)
    truth = (rng.normal(size=(3, 2, 4, 5)) + 1j * rng.normal(size=(3, 2, 4, 5))).astype("complex64")
    mixture = truth.sum(0)
    got = wiener(mixture, truth)
    eps = 1e-10
    for f in range(4):
        spatial, power = [], []
        for y in truth[:, :, f]:
            r = np.mean([np.outer(v, v.conj()) / (eps + (abs(v) ** 2).mean()) for v in y.T], axis=0)
            r = r * 2 / np.trace(r).real + eps * np.eye(2)
            spatial.append(r)
            power.append([(v.conj() @ np.linalg.inv(r) @ v).real / 2 for v in y.T])
        for n in range(5):
            total = sum(power[j][n] * spatial[j] for j in range(3))
            for j in range(3):
                expected = power[j][n] * spatial[j] @ np.linalg.inv(total) @ mixture[:, f, n]
                np.testing.assert_allclose(got[j, :, f, n], expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("frames", [1, 2, 300, 2049])
@pytest.mark.parametrize("channels", [1, 2])
def test_short_mono_and_silent_signals_are_answered(oracle, frames, channels):
    rng = np.random.default_rng(frames)
    stems = {
        s: Audio(rng.normal(size=(channels, frames)).astype(np.float32) * (s != "bass"), 8000)
        for s in STEMS
    }
    mixture = Audio(np.sum([a.samples for a in stems.values()], axis=0), 8000)
    estimates = oracle().separate(mixture, seed=0, references=stems)
    assert all(a.samples.shape == (channels, frames) for a in estimates.values())
    assert np.abs(estimates["bass"].samples).max() < 1e-3


def test_identical_channels_do_not_break_the_wiener_filter(clip):
    stems = {s: Audio(np.repeat(clip.stems[s].samples[:1, :30000], 2, 0), 44100) for s in STEMS}
    mixture = Audio(np.sum([a.samples for a in stems.values()], axis=0), 44100)
    estimates = MultichannelWiener().separate(mixture, seed=0, references=stems)
    for audio in estimates.values():
        assert np.allclose(audio.samples[0], audio.samples[1], atol=1e-6)
    assert np.allclose(sum(a.samples for a in estimates.values()), mixture.samples, atol=1e-3)
    assert np.mean([usdr(stems[s], estimates[s]) for s in STEMS]) > 3


def test_a_reference_of_another_length_is_refused_by_name(clip):
    stems = dict(clip.stems)
    stems["bass"] = Audio(stems["bass"].samples[:, :-1], stems["bass"].rate)
    with pytest.raises(SeparatorError, match="reference bass has"):
        IdealRatioMask().separate(clip.mixture, seed=0, references=stems)
    with pytest.raises(SeparatorError, match="no references"):
        MultichannelWiener().separate(clip.mixture, seed=0, references={})


@pytest.mark.parametrize("power", ["two", "0", "nan"])
def test_a_bad_power_is_a_usage_error(power):
    with pytest.raises(UsageError, match="power"):
        IdealRatioMask(power)


@pytest.mark.parametrize("frames", [100, SIZE, SIZE + 1, 5 * HOP, 2 * FRAMES_AT_ONCE * HOP + 77])
def test_blocks_of_frames_are_scipys_spectrum_and_signal_to_the_bit(clip, frames):
    audio = Audio(np.tile(clip.mixture.samples, 2)[:, :frames].copy(), clip.mixture.rate)
    samples = np.pad(audio.samples, ((0, 0), (0, max(0, SIZE - frames))))
    whole = stft(samples, nperseg=SIZE, noverlap=SIZE - HOP)[2]
    spectrum = Frames(audio)
    assert spectrum.count == whole.shape[-1]
    out = OverlapAdd(audio, spectrum.count)
    for block in blocks(spectrum.count):
        assert np.array_equal(spectrum[block], whole[:, :, block])
        out.add(block, spectrum[block])
    theirs = istft(whole, nperseg=SIZE, noverlap=SIZE - HOP)[1][:, :frames]
    assert np.array_equal(out.audio().samples, theirs)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the resident memory")
@pytest.mark.parametrize(
    ("oracle", "megabytes"), [(IdealRatioMask, 240), (MultichannelWiener, 400)]
)
def test_the_memory_of_an_oracle_is_bounded(clip, oracle, megabytes):
    """Four minutes took 2.9 and 4.0 GB: whole spectra, several times."""
    repeats = -(-30 * clip.mixture.rate // clip.mixture.frames)
    stems = {s: Audio(np.tile(a.samples, repeats), a.rate) for s, a in clip.stems.items()}
    mixture = Audio(np.tile(clip.mixture.samples, repeats), clip.mixture.rate)
    with PeakMemory() as memory:
        oracle().separate(mixture, seed=0, references=stems)
    assert memory.added_mb is not None
    assert memory.added_mb < megabytes
