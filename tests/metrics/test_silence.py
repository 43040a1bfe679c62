"""A reference that is only dither or rounding is silent, for every metric that compares."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio
from benchsep.metrics.catalog import get_metric
from benchsep.metrics.guard import is_silent
from benchsep.metrics.metric import References

RATE = 44_100
COMPARE = ("visqol", "mrstft", "lsd", "usdr", "sisdr", "bleedless", "alignment", "onsets")


def dither(seconds: float, seed: int = 0) -> np.ndarray:
    """One step of 16 bit up, down or none, at random: -92 dBFS."""
    steps = np.random.default_rng(seed).integers(-1, 2, (2, round(seconds * RATE)))
    return (steps / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def song(clip):
    """A real excerpt followed by dithered silence; the drums are dither throughout."""
    tail = dither(3.0)
    stems = {s: np.concatenate((clip.stems[s].samples, tail), axis=1) for s in STEMS}
    stems["drums"] = dither(stems["vocals"].shape[1] / RATE, 1)[:, : stems["vocals"].shape[1]]
    return {stem: Audio(samples, RATE) for stem, samples in stems.items()}


@pytest.fixture(scope="module")
def mixture(song):
    return Audio(sum(audio.samples for audio in song.values()), RATE)


@pytest.mark.parametrize("name", COMPARE)
@pytest.mark.parametrize("estimate", ["mixture", "digital silence"])
def test_a_dithered_reference_has_no_score(song, mixture, name, estimate):
    samples = mixture.samples if estimate == "mixture" else np.zeros_like(mixture.samples)
    metric = get_metric(name)
    estimates = {"drums": Audio(samples, RATE)}
    scores = metric.score_track(References(song, mixture), estimates, ("drums",))["drums"]
    assert {score.status for score in scores.values()} <= {"ref_silent", "est_silent"}
    assert all(score.value is None for score in scores.values())


@pytest.mark.parametrize("name", ["mrstft", "lsd"])
def test_a_channel_of_dither_is_left_out_as_one_of_zeros_is(song, mixture, name):
    """A stem on the left with dither on the right had an MR-STFT distance of 290 for 0.58."""
    left = song["vocals"].samples[0]
    estimate = Audio(0.8 * song["vocals"].samples + 0.1 * song["bass"].samples, RATE)
    found = []
    for right in (np.zeros_like(left), song["drums"].samples[1]):
        references = References({**song, "vocals": Audio(np.stack((left, right)), RATE)}, mixture)
        scores = get_metric(name).score_track(references, {"vocals": estimate}, ("vocals",))
        found.append(scores["vocals"][""].value)
    assert found[0] == found[1] < 20


@pytest.mark.parametrize("name", ["visqol", "mrstft", "usdr"])
def test_a_stem_that_is_real_for_a_while_is_scored(song, mixture, name):
    estimates = {"vocals": song["vocals"]}
    scores = get_metric(name).score_track(References(song, mixture), estimates, ("vocals",))
    assert next(iter(scores["vocals"].values())).value is not None


def test_dither_spans_nothing_for_the_other_stems(song, mixture):
    zeros = {**song, "drums": Audio(np.zeros_like(song["drums"].samples), RATE)}
    for name in ("sisdr", "leakage"):
        with_dither, with_zeros = (
            get_metric(name).score_track(
                References(stems, mixture), {"vocals": mixture}, ("vocals",)
            )
            for stems in (song, zeros)
        )
        for value, score in with_dither["vocals"].items():
            other = with_zeros["vocals"][value]
            assert score.status == other.status
            assert score.value == pytest.approx(other.value, abs=1e-3)


@pytest.mark.parametrize("name", ["dnsmos"])
def test_speech_models_do_not_judge_dither(song, mixture, name):
    scores = get_metric(name).score_track(
        References(song, mixture), {"vocals": song["drums"]}, ("vocals",)
    )
    assert {score.status for score in scores["vocals"].values()} == {"est_silent"}


def test_where_silence_ends():
    noise = np.random.default_rng(2).normal(0, 1, (2, RATE)).astype(np.float32)
    noise /= np.sqrt((noise**2).mean())
    assert is_silent(Audio(noise * 10 ** (-81 / 20), RATE))
    assert not is_silent(Audio(noise * 10 ** (-79 / 20), RATE))
    assert is_silent(Audio(dither(1.0), RATE))


MONO = ("visqol", "onsets", "mireval", "dnsmos", "emb-voice")


@pytest.mark.parametrize("name", MONO)
@pytest.mark.parametrize("side", ["reference", "estimate", "both"])
def test_what_is_silent_in_mono_is_silent_to_a_metric_that_hears_mono(clip, name, side):
    """Channels of opposite sign add up to nothing; the distance of two of them was 0: perfect."""
    metric, sound = get_metric(name), clip.stems["vocals"]
    one = sound.samples[0]
    against = Audio(np.stack([one, -one]), sound.rate)
    truth = sound if side == "estimate" else against
    estimate = {"vocals": sound if side == "reference" else against}
    true, zeros = ({"vocals": a} for a in (truth, Audio(0 * sound.samples, sound.rate)))
    scores = metric.score_track(References(true), estimate, ("vocals",))
    if side == "estimate":  # as digital silence
        expected = metric.score_track(References(true), zeros, ("vocals",))
    else:
        expected = metric.score_track(References(zeros), estimate, ("vocals",))
    assert scores == expected
    if side != "estimate" and name != "dnsmos":
        assert {score.status for score in scores["vocals"].values()} == {"ref_silent"}
