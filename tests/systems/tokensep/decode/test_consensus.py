"""Expected latents averaged over draws and windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tokensep.decode.consensus import Consensus, edge_weights
from tokensep.dsp.windows import cross_faded
from tokensep.lm.config import RENDERINGS, STEMS, InferenceConfig, SamplingConfig
from tokensep.lm.model import TokenLM
from tokensep.separator import TokenSep

from tests.helpers.lm_dummies import HOP, RATE, DummyCodec, tiny_config

CPU = torch.device("cpu")
DRAW = SamplingConfig(temperature=1.0)
AGREED = InferenceConfig(overlap_frames=9, sampling=DRAW, render="consensus", draws=3)


@pytest.fixture(scope="module")
def system() -> TokenSep:
    torch.manual_seed(0)
    return TokenSep(TokenLM(tiny_config()), DummyCodec())


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, (1, samples)).astype(np.float32)


def changed(**fields: object) -> InferenceConfig:
    return InferenceConfig.model_validate(AGREED.model_dump() | fields)


def test_weights_rise_from_the_edges():
    weights = edge_weights(8, 4)
    assert weights.tolist() == [0.125, 0.375, 0.625, 0.875, 0.875, 0.625, 0.375, 0.125]
    assert edge_weights(5, 0).tolist() == [0.5, 1, 1, 1, 0.5]


def test_windows_that_agree_give_what_they_agree_on():
    song = torch.randn(4, 20, 3)
    found = Consensus(frames=18, window=8, overlap=4, device=CPU)
    for start in (0, 4, 8, 12):
        for _ in range(2):
            found.add(start, song[:, start : start + 8])
    torch.testing.assert_close(found.mean(), song[:, :18])
    assert found.covered.all()


def test_a_mean_is_weighted_by_the_distance_from_the_edge():
    found = Consensus(frames=6, window=4, overlap=2, device=CPU)
    found.add(0, torch.zeros(1, 4, 1))
    found.add(2, torch.ones(1, 4, 1))
    assert found.mean()[0, :, 0].tolist() == [0, 0, 0.25, 0.75, 1, 1]


def test_what_no_window_heard_is_marked():
    found = Consensus(frames=10, window=4, overlap=0, device=CPU)
    assert found.mean() is None and not found.covered.any()
    found.add(4, torch.ones(1, 4, 2))
    assert found.covered.tolist() == [False] * 4 + [True] * 4 + [False] * 2


@pytest.mark.parametrize("length", [1, 99, 100, 101, 1234])
def test_pieces_of_a_signal_are_the_signal(length):
    signal = torch.randn(2, length + 100)
    joined = cross_faded(length, 100, 20, lambda start, end: signal[:, start:end])
    torch.testing.assert_close(joined, signal[:, :length])


def test_one_greedy_window_is_its_mean(system):
    """With one draw and one window there is nothing to average."""
    audio, greedy = noise(12 * HOP - 5), {"draws": 1, "sampling": SamplingConfig()}
    alone = system.separate(audio, RATE, options=changed(render="mean", **greedy))
    agreed = system.separate(audio, RATE, options=changed(**greedy))
    for stem in STEMS:
        np.testing.assert_allclose(agreed[stem], alone[stem], atol=1e-5)


def test_the_mean_of_draws_is_the_mean_of_single_draws(system, monkeypatch):
    """The codec of the test is linear, so the waveforms are averaged with the latents."""
    audio = noise(12 * HOP)
    three = system.separate(audio, RATE, options=changed(stereo="mono"))
    from tokensep.decode import render

    real, singles = render.window_seed, []
    for draw in range(3):
        with monkeypatch.context() as patched:
            shifted = lambda seed, index, by=draw: real(seed, index) + by  # noqa: E731
            patched.setattr(render, "window_seed", shifted)
            singles.append(system.separate(audio, RATE, options=changed(stereo="mono", draws=1)))
    for stem in STEMS:
        mean = np.mean([single[stem] for single in singles], axis=0)
        np.testing.assert_allclose(three[stem], mean, atol=1e-5)
    assert not np.allclose(singles[0]["bass"], singles[1]["bass"])


@pytest.mark.parametrize("share", [0.25, 0.8])
def test_a_share_of_the_consensus_is_the_estimate_of_one_pass(system, share):
    """The codec of the test is linear: stems are the weighted mean of both renderings' stems."""
    audio = noise(45 * HOP + 7)
    rows = [{"draws": 2}, {"decoding": "one-pass", "draws": 1, "sampling": SamplingConfig()}]
    drawn, one = (system.separate(audio, RATE, options=changed(stereo="mono", **r)) for r in rows)
    both = changed(stereo="mono", draws=2, one_pass_share=share)
    found = system.separate(audio, RATE, options=both)
    for stem in STEMS:
        expected = (1 - share) * drawn[stem] + share * one[stem]
        np.testing.assert_allclose(found[stem], expected, atol=1e-5)
    assert not np.allclose(drawn["bass"], one["bass"], atol=1e-3)


def test_a_share_of_one_pass_needs_a_consensus():
    with pytest.raises(ValidationError, match="expected render=consensus, found render=mean"):
        changed(render="mean", one_pass_share=0.5)
    shared = changed(one_pass_share=0.5)
    kept = {how: shared.rendered_as(how).one_pass_share for how in RENDERINGS}
    assert kept == {"tokens": 0, "mean": 0, "consensus": 0.5, "guided": 0}


def test_the_seed_decides_and_the_batch_does_not(system):
    audio = noise(45 * HOP + 7)
    a = system.separate(audio, RATE, seed=1, options=changed(batch=1))
    b = system.separate(audio, RATE, seed=1, options=changed(batch=12))
    c = system.separate(audio, RATE, seed=2, options=AGREED)
    for stem in STEMS:
        assert a[stem].shape == audio.shape
        np.testing.assert_allclose(a[stem], b[stem], atol=1e-5)
    assert any(not np.allclose(a[s], c[s]) for s in STEMS)


def test_silence_and_silent_parts_stay_silent(system):
    audio = noise(80 * HOP)
    audio[:, 20 * HOP : 60 * HOP] = 0
    stems = system.separate(audio, RATE, options=AGREED)
    assert all(not s[:, 33 * HOP : 47 * HOP].any() for s in stems.values())
    assert all(s[:, :HOP].any() and s[:, -HOP:].any() for s in stems.values())
    silent = system.separate(np.zeros((2, 3000)), RATE, options=AGREED)
    assert all(not s.any() for s in silent.values())


@pytest.mark.parametrize("samples", [1, 7, 800])
def test_very_short_songs(system, samples):
    """Blended stems follow the level of the mixture; masked ones add up to it."""
    audio = noise(samples)
    blended, loud = (
        system.separate(gain * audio, RATE, options=changed(refine="blend")) for gain in (1, 4)
    )
    for stem in STEMS:
        assert blended[stem].shape == (1, samples) and blended[stem].any()
        np.testing.assert_allclose(loud[stem], 4 * blended[stem], rtol=1e-2, atol=1e-5)
    masked = system.separate(audio, RATE, options=changed(refine="mask"))
    np.testing.assert_allclose(sum(masked.values()), audio, atol=1e-6)


def test_true_stems_before_are_heard_in_a_consensus(system):
    audio, rng = noise(9000), np.random.default_rng(3)
    truth = {s: rng.normal(0, 0.1, (1, 9000)).astype(np.float32) for s in STEMS}
    options = changed(stereo="mono", sampling=SamplingConfig())
    plain = system.separate(audio, RATE, options=options)
    told = system.separate(audio, RATE, options=options, truth=truth)
    np.testing.assert_allclose(plain["vocals"], told["vocals"], atol=1e-6)
    assert not np.array_equal(plain["other"], told["other"])


def test_it_does_not_go_with_windows_that_follow_each_other():
    with pytest.raises(ValidationError, match="leave out one"):
        changed(prime=True)
