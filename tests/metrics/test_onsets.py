"""Onsets: mir_eval's matching, and hits found where they were put."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import Audio
from benchsep.metrics.metric import References
from benchsep.metrics.onsets import Onsets, detect, f_measure, match, rises

RATE = 44_100


def hits(times, seed=0, attack=0.0, noise=1e-4, seconds=5):
    """Decaying noise bursts with a rising ramp of ``attack`` seconds."""
    generator = np.random.default_rng(seed)
    out = noise * generator.standard_normal(seconds * RATE)
    time = np.arange(6000) / RATE
    shape = np.exp(-time / 0.02) * np.clip(time / attack if attack else 1, 0, 1)
    for at in times:
        start = round(at * RATE)
        out[start : start + 6000] += shape * generator.standard_normal(6000)
    return out.astype(np.float32)


def score(reference, estimate, rate=RATE):
    references = References({"drums": Audio.of(reference, rate)})
    estimates = {"drums": Audio.of(estimate, rate)}
    return Onsets().score_track(references, estimates, ("drums",))["drums"]


@pytest.mark.parametrize("seed", range(20))
def test_matching_is_that_of_mir_eval(seed):
    onset = pytest.importorskip("mir_eval.onset", reason="the parity reference is mir_eval")
    generator = np.random.default_rng(seed)
    reference = np.sort(generator.uniform(0, 6, 40))
    estimate = np.sort(
        np.concatenate(
            [reference[::2] + generator.normal(0, 0.04, 20), generator.uniform(0, 6, 30)]
        )
    )
    expected = onset.f_measure(reference, estimate.clip(0), window=0.05)
    hits = len(match(reference, estimate.clip(0)))
    assert f_measure(hits, 40, 50) == pytest.approx(expected)


def test_hits_are_found_where_they_were_put():
    times = np.array([0.3, 0.7, 1.0, 1.6, 2.0, 2.11, 3.0, 4.2])
    found = detect(hits(times), RATE)
    assert len(found) == len(times)
    assert found == pytest.approx(times, abs=0.025)


def test_real_drums_have_the_onsets_that_librosa_finds(clip):
    librosa = pytest.importorskip("librosa")
    drums = clip.stems["drums"].mono().samples[0]
    theirs = librosa.onset.onset_detect(y=drums, sr=RATE, units="time")
    ours = detect(drums, RATE)
    # librosa 0.11 places one more, between two hits: F = 0.977
    assert (len(theirs), len(ours), len(match(theirs, ours))) == (22, 21, 21)


@pytest.mark.parametrize(("rate", "count"), [(16_000, 19), (44_100, 21), (48_000, 21)])
def test_the_onsets_at_any_rate_are_those_at_44100_hz_but_two_at_16000_hz(rate, count, clip):
    drums = clip.stems["drums"].mono()
    expected = detect(drums.samples[0], RATE)
    found = detect(drums.resampled(rate).samples[0], rate)
    assert len(expected) == 21
    assert len(found) == len(match(expected, found)) == count


def test_truth_is_perfect_whatever_its_level_and_polarity(clip):
    drums = clip.stems["drums"].samples
    for gain in (1, -1, 0.05):
        scores = score(drums, gain * drums)
        assert scores["f1"].value == 1
        assert scores["attack"].value == pytest.approx(0, abs=1e-2)


def test_missing_and_additional_hits_move_recall_and_precision():
    times = np.arange(0.3, 4.5, 0.4)
    truth = hits(times)
    fewer, more = score(truth, hits(times[::2])), score(truth, hits(np.r_[times, times[:4] + 0.2]))
    assert fewer["precision"].value == 1 and fewer["recall"].value == pytest.approx(6 / 11)
    assert more["recall"].value == 1 and more["precision"].value == pytest.approx(11 / 15)


def test_a_soft_attack_is_heard_as_such():
    times = np.arange(0.3, 4.5, 0.4)
    truth = hits(times, noise=0.02)
    soft = [hits(times, attack=seconds, noise=0.02) for seconds in (0, 0.01, 0.03)]
    levels = [score(truth, estimate)["attack_bias"].value for estimate in soft]
    assert levels[0] == 0
    assert levels[0] > levels[1] > levels[2]
    assert rises(truth, times, RATE).min() > 20


def test_statuses(clip):
    drums = clip.stems["drums"].samples
    silent = score(drums, drums * 0)
    assert silent["f1"].value == silent["recall"].value == 0
    assert silent["attack"].status == "undefined: no onset matched"
    assert score(drums * 0, drums)["f1"].status == "ref_silent"
    assert score(np.ones(1), np.ones(1))["f1"].status == "undefined: no onset in the reference"
    assert score(drums, drums[:, 1:])["f1"].status.startswith("failed: estimate has")
