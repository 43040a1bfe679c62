"""One-pass decoding against step-by-step decoding of a model that cannot see its past."""

from __future__ import annotations

import itertools

import pytest
import torch
from tokensep.codec.codebooks import codebooks
from tokensep.decode.generate import generate
from tokensep.decode.one_pass import one_pass, one_pass_latents
from tokensep.errors import ConfigError
from tokensep.lm.config import InferenceConfig, SamplingConfig
from tokensep.separator import TokenSep

from tests.helpers.lm_dummies import RATE, DummyCodec
from tests.systems.tokensep.decode.test_generate import model_and_cond

KINDS = ("interleaved-delay", "grouped-delay", "anchored")


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_past_one_pass_is_step_by_step_decoding(kind):
    """Where tokens are embedded as zeros, autoregression can add nothing: the same tokens."""
    model, cond = model_and_cond(kind)
    with torch.no_grad():
        model.embed_in.weight.zero_()
    books = codebooks(DummyCodec())
    expected = generate(model, cond, codebooks=books)
    found = one_pass(model, cond, codebooks=books)
    assert torch.equal(found.codes, expected.codes)
    torch.testing.assert_close(found.latents, expected.latents)


@pytest.mark.parametrize("kind", KINDS)
def test_one_pass_does_not_see_tokens(kind):
    """The tokens' embedding does not matter; several passes do see the kept ones."""
    model, cond = model_and_cond(kind)
    before = one_pass(model, cond).codes
    several = one_pass(model, cond, passes=3).codes
    with torch.no_grad():
        model.embed_in.weight.mul_(-3)
    assert torch.equal(one_pass(model, cond).codes, before)
    assert not torch.equal(one_pass(model, cond, passes=3).codes, several)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("passes", [1, 3])
def test_rows_do_not_depend_on_the_batch_and_seeds_decide(kind, passes):
    model, cond = model_and_cond(kind)
    draw = SamplingConfig(temperature=1.0, top_k=8, top_p=0.95, cfg=1.5)
    together = one_pass(model, cond, sampling=draw, passes=passes, seeds=[3, 4, 5]).codes
    alone = one_pass(model, cond[1:2], sampling=draw, passes=passes, seeds=[4]).codes
    assert torch.equal(alone, together[1:2])
    other = one_pass(model, cond[1:2], sampling=draw, passes=passes, seeds=[9]).codes
    assert not torch.equal(other, alone)


def test_kept_tokens_stay_in_later_passes(monkeypatch):
    from tokensep.decode import one_pass as module

    model, cond = model_and_cond("grouped-delay")
    seen = []
    hidden = module._hidden
    monkeypatch.setattr(
        module, "_hidden", lambda m, g, c, k: (seen.append((g, k)), hidden(m, g, c, k))[1]
    )
    one_pass(model, cond, passes=4, sampling=SamplingConfig(temperature=1.0))
    counts = [int(keep[0].sum()) for _, keep in seen]
    total = seen[0][1][0].numel()
    # cos(pi / 2 (1 - p / 4)) of all steps: 0, .38, .71, .92
    assert counts == [0, int(0.3827 * total), int(0.7071 * total), int(0.9239 * total)]
    for (grid, keep), (later, _) in itertools.pairwise(seen):
        assert torch.equal(later[keep], grid[keep])


def test_sampled_layers_limits_what_is_drawn():
    model, cond = model_and_cond("grouped-delay")
    greedy = one_pass(model, cond).codes
    draw = SamplingConfig(temperature=1.0, sampled_layers=2)
    found = one_pass(model, cond, sampling=draw).codes
    assert torch.equal(found[:, :, 2:], greedy[:, :, 2:])
    assert not torch.equal(found[:, :, :2], greedy[:, :, :2])


@pytest.mark.parametrize("kind", ["grouped-delay", "interleaved-delay", "anchored"])
def test_latents_alone_are_those_of_a_greedy_pass(kind):
    model, cond = model_and_cond(kind)
    books = codebooks(DummyCodec())
    found = one_pass_latents(model, cond, books)
    torch.testing.assert_close(found, one_pass(model, cond, codebooks=books).latents)


def test_what_one_pass_cannot_do_is_refused():
    model, cond = model_and_cond("depth")
    with pytest.raises(ConfigError, match="delay layout"):
        one_pass(model, cond)
    model, cond = model_and_cond("grouped-delay")
    with pytest.raises(ConfigError, match="expected 1 or more"):
        one_pass(model, cond, passes=0)
    with pytest.raises(ValueError, match="prime and order are not possible"):
        InferenceConfig(decoding="one-pass", prime=True)
    with pytest.raises(ValueError, match="decoding=one-pass"):
        InferenceConfig(passes=2)


def test_a_song_is_separated_in_one_pass():
    model, _ = model_and_cond("anchored")
    separator = TokenSep(model, DummyCodec())
    options = InferenceConfig(decoding="one-pass", render="consensus", overlap_frames=2)
    wave = torch.randn(2, RATE).numpy() * 0.1
    stems = separator.separate(wave, RATE, options=options)
    assert all(stem.shape == wave.shape for stem in stems.values())
