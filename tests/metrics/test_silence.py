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


# What scores a silent estimate exactly as zeros; the distances of the others are those of dither.
AS_ZEROS = (
    "sisdr",
    "alignment",
    "bleedless",
    "leakage",
    "onsets",
    "mireval",
    "zimtohrli",
    "dnsmos",
)


def quiet(like: np.ndarray) -> dict[str, np.ndarray]:
    """Signals that are silent without being zero, ``[2, frames]`` each."""
    noise = np.random.default_rng(4).normal(0, 1, like.shape)
    noise /= np.sqrt(np.square(noise).mean())
    step, left = np.zeros(like.shape), noise * 10 ** (-90 / 20)
    step[0, 1000], left[0] = 1 / 32768, 0
    signals = {"one step": step, "-81 dBFS": noise * 10 ** (-81 / 20), "dither on the right": left}
    return {name: signal.astype(np.float32) for name, signal in signals.items()}


@pytest.mark.parametrize("name", AS_ZEROS)
def test_an_estimate_of_dither_scores_as_zeros_do(clip, name):
    """Dither had bleedless 100, an onset F1 of 0.4 and Zimtohrli 1.6."""
    metric, stem = get_metric(name), "drums" if name == "onsets" else "vocals"
    if reason := metric.available():
        pytest.skip(reason)
    references = References(clip.stems, clip.mixture)
    shape = clip.mixture.samples.shape
    zeros = np.zeros(shape, np.float32)
    expected = metric.score_track(references, {stem: Audio(zeros, RATE)}, (stem,))
    for signal in quiet(zeros).values():
        assert metric.score_track(references, {stem: Audio(signal, RATE)}, (stem,)) == expected
    click = zeros.copy()
    click[:, shape[1] // 2] = 0.5
    for signal in (10 ** (6 / 20) * quiet(zeros)["-81 dBFS"], click):
        found = metric.score_track(references, {stem: Audio(signal, RATE)}, (stem,))[stem]
        assert not {score.status for score in found.values()} & {"est_silent"}


def test_a_reference_of_dither_has_the_same_leakage_as_one_of_zeros(clip):
    """Its level where the reference is silent was undefined: dither is never below its own peak."""
    zeros = np.zeros_like(clip.mixture.samples)
    mixture, metric, found = Audio(clip.mixture.samples, RATE), get_metric("leakage"), []
    for vocals in (zeros, *quiet(zeros).values()):
        references = References({**clip.stems, "vocals": Audio(vocals, RATE)}, mixture)
        found.append(metric.score_track(references, {"vocals": mixture}, ("vocals",)))
    assert found[0]["vocals"]["silence"].value == 0.0
    assert all(scores == found[0] for scores in found)


@pytest.mark.parametrize("kind", ["zeros", "one step", "-81 dBFS"])
def test_a_mixture_of_dither_has_no_residual(clip, kind):
    zeros = np.zeros_like(clip.mixture.samples)
    mixture = Audio({"zeros": zeros, **quiet(zeros)}[kind], RATE)
    references = References({**clip.stems, "vocals": Audio(zeros, RATE)}, mixture)
    scores = {
        name: get_metric(name).score_track(references, clip.stems, ("vocals",))["vocals"]
        for name in ("consistency", "leakage")
    }
    assert scores["consistency"][""].status == "ref_silent"
    assert scores["leakage"]["silence"].status == "undefined: the mixture is silent"


def test_channels_of_opposite_sign_with_dither_are_silent_to_a_speech_model(clip):
    """Mono leaves the dither alone, which DNSMOS rated as a clean voice (background 4.0)."""
    one, noise = clip.stems["vocals"].samples[0], quiet(clip.mixture.samples)["-81 dBFS"]
    estimate = Audio(np.stack([one, -one]) + noise, RATE)
    scores = get_metric("dnsmos").score_track(
        References(clip.stems), {"vocals": estimate}, ("vocals",)
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
