from __future__ import annotations

import pytest
import torch
from tokensep.codec.codebooks import codebooks
from tokensep.decode.generate import generate
from tokensep.decode.position import HostPosition
from tokensep.decode.sampling import Noise, Sampler, filtered
from tokensep.errors import ConfigError
from tokensep.lm.config import SamplingConfig
from tokensep.lm.model import TokenLM

from tests.helpers.lm_dummies import ENTRIES, HOP, DummyCodec, tiny_config

KINDS = ("interleaved-delay", "grouped-delay", "depth", "anchored")
DRAW = SamplingConfig(temperature=1.0, top_k=8, top_p=0.95)


def model_and_cond(kind: str, rows: int = 3, frames: int = 5):
    torch.manual_seed(5)
    model = TokenLM(tiny_config(kind)).eval()
    if model.latent_head is not None:
        model.fit_latent_head(codebooks(DummyCodec()), torch.randint(0, ENTRIES, (200, 5)))
    with torch.no_grad():
        model.null.normal_()
    wave = torch.randn(rows, frames * HOP) * 0.3
    codec = DummyCodec()
    with torch.no_grad():
        return model, model.condition(wave, codec.latents(codec.encode(wave)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decoding", ["sequential", "parallel"])
def test_cached_greedy_is_what_the_uncached_model_chooses(kind, decoding):
    """Every generated token is the argmax of the whole, uncached forward pass over the result."""
    model, cond = model_and_cond(kind)
    codes = generate(model, cond, decoding=decoding).codes
    assert codes.shape == (3, 4, 5, 5) and int(codes.max()) < ENTRIES
    with torch.no_grad():
        logits, grid = model(codes, cond, parallel=decoding == "parallel")
    held = grid != model.layout.pad
    assert torch.equal(logits.argmax(-1)[held], grid[held])


@pytest.mark.parametrize("kind", ["grouped-delay", "anchored"])
@pytest.mark.parametrize("decoding", ["sequential", "parallel"])
def test_the_compiled_step_chooses_what_the_uncached_model_does(kind, decoding):
    model, cond = model_and_cond(kind)
    codes = generate(model, cond, decoding=decoding, step="compiled").codes
    with torch.no_grad():
        logits, grid = model(codes, cond, parallel=decoding == "parallel")
    held = grid != model.layout.pad
    assert torch.equal(logits.argmax(-1)[held], grid[held])
    alone = generate(model, cond[1:2], decoding=decoding, step="compiled").codes
    assert torch.equal(alone, codes[1:2])


@torch.no_grad()
def decoders_outputs(int8: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs ``[steps, R, dim]`` of the plain and the compiled decoder on the same inputs."""
    from tokensep.decode.compiled import CompiledDecoder
    from tokensep.decode.static import StaticDecoder
    from tokensep.lm.decoder import Decoder

    torch.manual_seed(2)
    decoder = Decoder(44, 3, 2, 70, 1e-5, 1e4, 0.0).eval()  # widths that no unrolled loop divides
    for block in decoder.blocks:
        block.norm1.weight.uniform_(0.5, 1.5)
    cos, sin = decoder.rope(torch.arange(12))
    pair = (StaticDecoder(decoder, 2, 12, cos, sin),
            CompiledDecoder(decoder, 2, 12, cos, sin, int8=int8))  # fmt: skip
    prefix, inputs = torch.randn(2, 4, 44), torch.randn(8, 2, 44)
    for one in pair:
        one.fill(decoder, prefix)
    plain, compiled = (torch.stack([one.step(x) for x in inputs]) for one in pair)
    return plain, compiled


def test_the_compiled_step_is_the_plain_one_up_to_rounding():
    plain, compiled = decoders_outputs(int8=False)
    torch.testing.assert_close(compiled, plain, atol=2e-5, rtol=1e-4)


def test_int8_weights_lose_little_and_something():
    plain, rounded = decoders_outputs(int8=True)
    error = (plain - rounded).square().mean() / plain.square().mean()
    assert 1e-8 < error < 1e-3


def test_quantised_columns_are_within_half_a_step():
    from tokensep.decode.compiled import quantised

    weight = torch.randn(2, 30, 7) * torch.logspace(-3, 3, 7)
    weight[:, :, 3] = 0
    whole, scale = quantised(weight)
    assert whole.dtype == torch.int8 and bool(((whole * scale[:, None] - weight).abs()
                                              <= scale[:, None] * 0.5001).all())  # fmt: skip


def test_only_long_jobs_of_one_row_are_compiled():
    from tokensep.decode.compiled import STEPS_WORTH_COMPILING as ENOUGH
    from tokensep.decode.compiled import should_compile

    weight = torch.zeros(1)
    assert should_compile(ENOUGH, 1, weight)
    assert not should_compile(ENOUGH - 1, 1, weight) and not should_compile(ENOUGH, 2, weight)
    assert not should_compile(ENOUGH, 1, weight.half())
    assert not should_compile(ENOUGH, 1, weight.to("meta"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decoding", ["sequential", "parallel"])
@pytest.mark.parametrize("cfg", [1.0, 2.0])
def test_a_row_does_not_depend_on_its_batch(kind, decoding, cfg):
    model, cond = model_and_cond(kind)
    sampling = DRAW.model_copy(update={"cfg": cfg})
    whole = generate(model, cond, sampling=sampling, decoding=decoding, seeds=[7, 8, 9]).codes
    alone = generate(model, cond[1:2], sampling=sampling, decoding=decoding, seeds=[8]).codes
    assert torch.equal(whole[1:2], alone)


def test_the_same_seed_draws_the_same_and_another_does_not():
    model, cond = model_and_cond("grouped-delay")
    a, b = (generate(model, cond, sampling=DRAW, seeds=[1, 2, 3]).codes for _ in range(2))
    c = generate(model, cond, sampling=DRAW, seeds=[4, 5, 6]).codes
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_is_kept_and_continued(kind):
    model, cond = model_and_cond(kind)
    prompt = torch.randint(0, ENTRIES, (3, 4, 5, 2))
    codes = generate(model, cond, prompt=prompt).codes
    assert torch.equal(codes[..., :2], prompt)
    with torch.no_grad():
        logits, grid = model(codes, cond)
    free = model.layout.to_grid(torch.arange(5).expand(3, 4, 5, 5).contiguous()) >= 2
    free &= grid != model.layout.pad
    assert torch.equal(logits.argmax(-1)[free], grid[free])
    with pytest.raises(ConfigError, match="at most 5 frames"):
        generate(model, cond, prompt=torch.zeros(3, 4, 5, 6, dtype=torch.long))


@pytest.mark.parametrize("kind", KINDS)
def test_the_stem_drawn_first_sees_no_other(kind):
    model, cond = model_and_cond(kind)
    alone = generate(model, cond, decoding="parallel").codes
    usual, reverse = (generate(model, cond, order=o).codes for o in (None, [3, 2, 1, 0]))
    assert torch.equal(usual[:, 0], alone[:, 0]) and torch.equal(reverse[:, 3], alone[:, 3])
    assert not torch.equal(usual, reverse)
    with pytest.raises(ConfigError, match="expected each of 4 stems once"):
        generate(model, cond, order=[0, 1, 1, 2])


@pytest.mark.parametrize("kind", KINDS)
def test_known_tokens_are_kept_and_what_follows_depends_on_them(kind):
    model, cond = model_and_cond(kind)
    plain = generate(model, cond).codes
    known = torch.full_like(plain, -1)
    known[:, :2] = plain[:, :2]
    assert torch.equal(generate(model, cond, known=known).codes, plain)
    known[:, :2] = (plain[:, :2] + 5) % ENTRIES
    other = generate(model, cond, known=known).codes
    assert torch.equal(other[:, :2], known[:, :2]) and not torch.equal(other[:, 2:], plain[:, 2:])
    with pytest.raises(ConfigError, match="known tokens of shape"):
        generate(model, cond, known=known[:, :1])


def test_cfg_of_zero_forgets_the_mixture():
    model, cond = model_and_cond("grouped-delay")
    blind = SamplingConfig(cfg=0.0)
    a = generate(model, cond, sampling=blind).codes
    b = generate(model, cond.roll(1, 0), sampling=blind).codes
    assert torch.equal(a, b)


def test_likelihood_and_expected_latents_belong_to_the_distribution():
    """With one-hot books the expected latents are the probabilities themselves."""
    model, cond = model_and_cond("grouped-delay")
    books = torch.eye(5 * ENTRIES).view(5, ENTRIES, -1)
    result = generate(model, cond, codebooks=books, likelihood=True)
    assert result.latents is not None and result.log_likelihood is not None
    share = result.latents.unflatten(-1, (5, ENTRIES)).transpose(2, 3)  # [R, S, K, F, V]
    torch.testing.assert_close(share.sum(-1), torch.ones(3, 4, 5, 5), atol=1e-4, rtol=0)
    assert torch.equal(share.argmax(-1), result.codes)
    picked = share.gather(-1, result.codes[..., None]).log().mean((1, 2, 3, 4))
    torch.testing.assert_close(picked, result.log_likelihood, atol=1e-4, rtol=1e-4)


def noise_of(seeds, layers: int, entries: int, steps: int = 1) -> Noise:
    noise = Noise(seeds, (layers, entries), steps, torch.device("cpu"), HostPosition())
    noise.prepare(0)
    return noise


@pytest.mark.parametrize(("entries", "steps"), [(512, 40), (ENTRIES, 7)])
def test_noise_of_many_steps_is_that_of_a_draw_at_each(monkeypatch, entries, steps):
    """What one ``torch.rand`` a row and step would give, also where it is drawn in parts."""
    from tokensep.decode import sampling

    seeds, layers = [3, 10**13], 16
    monkeypatch.setattr(sampling, "CPU_NOISE_BYTES", 3 * 4 * len(seeds) * layers * entries)
    noise = noise_of(seeds, layers, entries, steps)
    assert noise.held == 3
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for step in range(steps):
        if step:  # `noise_of` prepared the first
            noise.prepare(step)
        drawn = torch.stack([torch.rand(layers, entries, generator=g) for g in generators])
        assert torch.equal(noise.take(), -(-drawn.clamp(1e-20, 1 - 1e-7).log()).log())
        noise.position.advance()


def test_only_the_first_layers_are_drawn_when_asked():
    torch.manual_seed(0)
    logits = torch.randn(64, 4, ENTRIES)
    sampler = Sampler(SamplingConfig(temperature=3.0, sampled_layers=2))
    tokens = sampler(logits, noise_of(range(64), 4, ENTRIES).take())
    best = logits.argmax(-1)
    assert torch.equal(tokens[:, 2:], best[:, 2:]) and not torch.equal(tokens[:, :2], best[:, :2])


def test_draws_follow_the_distribution():
    logits = torch.log(torch.tensor([0.6, 0.3, 0.1])).expand(4000, 1, 3).contiguous()
    tokens = Sampler(SamplingConfig(temperature=1.0))(logits, noise_of(range(4000), 1, 3).take())
    share = torch.bincount(tokens.flatten(), minlength=3) / 4000
    torch.testing.assert_close(share, torch.tensor([0.6, 0.3, 0.1]), atol=0.03, rtol=0)


def test_top_k_and_top_p_keep_what_they_say():
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    assert (filtered(logits, 2, None) > -torch.inf).tolist() == [[True, True, False, False]]
    assert (filtered(logits, None, 0.7) > -torch.inf).tolist() == [[True, True, False, False]]
    assert (filtered(logits, None, 0.01) > -torch.inf).sum() == 1


def test_seeds_must_fit():
    model, cond = model_and_cond("grouped-delay")
    with pytest.raises(ConfigError, match="2 seeds for 3 rows"):
        generate(model, cond, seeds=[0, 1])
