from __future__ import annotations

import pytest
import torch
from tokensep.codec.codebooks import codebooks
from tokensep.lm.decoder import Decoder, KVCache
from tokensep.lm.model import TokenLM

from tests.helpers.lm_dummies import ENTRIES, HOP, DummyCodec, tiny_config

KINDS = ("interleaved-delay", "grouped-delay", "depth", "anchored")


def example(kind: str, batch: int = 2, frames: int = 6):
    torch.manual_seed(3)
    model = TokenLM(tiny_config(kind)).eval()
    if model.latent_head is not None:
        model.fit_latent_head(codebooks(DummyCodec()), torch.randint(0, ENTRIES, (200, 5)))
    codes = torch.randint(0, ENTRIES, (batch, 4, 5, frames))
    wave = torch.randn(batch, frames * HOP) * 0.1
    codec = DummyCodec()
    cond = model.condition(wave, codec.latents(codec.encode(wave)))
    return model, codes, cond


@pytest.mark.parity
def test_the_decoder_is_transformers_llama():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    ours = Decoder(64, 3, 4, 96, 1e-6, 10_000.0, 0.0).eval()
    config = transformers.LlamaConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        rms_norm_eps=1e-6,
        vocab_size=8,
    )
    theirs = transformers.LlamaModel(config).eval()
    for block in ours.blocks:
        torch.nn.init.normal_(block.norm1.weight, 1.0, 0.1)
        torch.nn.init.normal_(block.norm2.weight, 1.0, 0.1)
    with torch.no_grad():
        for mine, layer in zip(ours.blocks, theirs.layers, strict=True):
            q, k, v = mine.qkv.weight.chunk(3)
            layer.self_attn.q_proj.weight.copy_(q)
            layer.self_attn.k_proj.weight.copy_(k)
            layer.self_attn.v_proj.weight.copy_(v)
            layer.self_attn.o_proj.weight.copy_(mine.out.weight)
            gate, up = mine.gate_up.weight.chunk(2)
            layer.mlp.gate_proj.weight.copy_(gate)
            layer.mlp.up_proj.weight.copy_(up)
            layer.mlp.down_proj.weight.copy_(mine.down.weight)
            layer.input_layernorm.weight.copy_(mine.norm1.weight)
            layer.post_attention_layernorm.weight.copy_(mine.norm2.weight)
        x, positions = torch.randn(2, 17, 64), torch.arange(17)
        mine = ours(x, *ours.rope(positions))
        expected = theirs(inputs_embeds=x, position_ids=positions[None]).last_hidden_state
    torch.testing.assert_close(mine, expected, atol=1e-4, rtol=1e-4)


def test_cached_equals_uncached():
    torch.manual_seed(1)
    decoder = Decoder(32, 2, 2, 48, 1e-5, 10_000.0, 0.0).eval()
    x = torch.randn(3, 11, 32)
    cos, sin = decoder.rope(torch.arange(11))
    with torch.no_grad():
        whole = decoder(x, cos, sin)
        cache = KVCache.empty(2, 3, 2, 11, 16, x)
        parts = [decoder(x[:, :4], cos[:4], sin[:4], cache)]
        for n in range(4, 11):
            parts.append(decoder(x[:, n : n + 1], cos[n : n + 1], sin[n : n + 1], cache))
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)


def test_the_fast_step_is_the_decoder():
    from tokensep.decode.static import StaticDecoder

    torch.manual_seed(2)
    decoder = Decoder(32, 3, 2, 48, 1e-2, 10_000.0, 0.0).eval()
    for norm in (decoder.norm, *(n for b in decoder.blocks for n in (b.norm1, b.norm2))):
        torch.nn.init.normal_(norm.weight, 1.0, 0.3)
    x = torch.randn(3, 11, 32) * 0.1  # small: the norm's epsilon matters
    cos, sin = decoder.rope(torch.arange(11))
    with torch.inference_mode():
        whole = decoder(x, cos, sin)
        fast = StaticDecoder(decoder, 3, 11, cos, sin)
        fast.fill(decoder, x[:, :4])
        steps = torch.stack([fast.step(x[:, n]) for n in range(4, 11)], 1)
    torch.testing.assert_close(steps, whole[:, 4:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_that_a_batch_equals_its_rows(kind):
    model, codes, cond = example(kind)
    with torch.no_grad():
        logits, grid = model(codes, cond)
        alone, _ = model(codes[1:], cond[1:])
    assert logits.shape == (*grid.shape, ENTRIES)
    torch.testing.assert_close(logits[1:], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("parallel", [False, True])
def test_no_step_sees_itself_or_later_ones(kind, parallel):
    """Changing a token moves no logit of its own or an earlier step (depth: earlier layers)."""
    model, codes, cond = example(kind, batch=1)
    layout = model.layout
    changed = codes.clone()
    stem, layer, frame = 1, 2, 3
    changed[0, stem, layer, frame] = (changed[0, stem, layer, frame] + 1) % ENTRIES
    step = layout.stride * frame + layout.offsets[layer]
    with torch.no_grad():
        before, _ = model(codes, cond, parallel=parallel)
        after, _ = model(changed, cond, parallel=parallel)
    moved = (before - after).abs().amax((0, -1)) > 1e-6  # [S, N, K]
    assert not moved[:stem].any()
    assert not moved[stem, :step].any()
    assert not moved[stem, step, : layer + 1].any()
    assert moved[stem, step + 1].any()
    assert moved[stem + 1].any() != parallel


def test_the_condition_reaches_every_stem():
    model, codes, cond = example("grouped-delay")
    with torch.no_grad():
        a, _ = model(codes, cond)
        b, _ = model(codes, torch.zeros_like(cond))
    assert ((a - b).abs().amax((0, 2, 3, 4)) > 1e-4).all()


def test_tables_start_from_codebooks():
    model = TokenLM(tiny_config())
    books = torch.randn(5, ENTRIES, 12) * 3 + 1
    model.start_from_codebooks(books)
    mine, theirs = torch.cdist(model.tables, model.tables), torch.cdist(books, books)
    for k in range(5):
        correlation = torch.corrcoef(torch.stack([mine[k].flatten(), theirs[k].flatten()]))[0, 1]
        assert correlation > 0.9  # 12 dimensions projected to 8 keep the neighbourhoods


def latent_regression_model():
    torch.manual_seed(4)
    model = TokenLM(tiny_config("anchored")).eval()
    model.fit_latent_head(codebooks(DummyCodec()), torch.randint(0, ENTRIES, (300, 5)))
    return model


def test_anchored_tables_add_up_to_the_codecs_latents():
    from tokensep.codec.interface import Codes

    model = latent_regression_model()
    codes = torch.randint(0, ENTRIES, (2, 5, 7))
    rows = model.token_vectors(codes.transpose(1, 2))  # [B, F, K, w]
    streams = torch.stack([rows[:, :, :2].sum(2), rows[:, :, 2:].sum(2)], 2)
    latents = DummyCodec().latents(Codes.unstack(codes, 2))
    torch.testing.assert_close(
        model.latent_head.denormalised(streams), latents, atol=1e-4, rtol=1e-4
    )


def test_a_perfect_estimate_names_the_tokens_and_has_no_error():
    """True latents in, sharp precision: every layer's argmax is its token, the error is 0."""
    model = latent_regression_model()
    codes = torch.randint(0, ENTRIES, (2, 4, 5, 6))
    rows = model.token_vectors(codes.transpose(-1, -2))
    true = torch.stack([rows[..., :2, :].sum(-2), rows[..., 2:, :].sum(-2)], -2)  # [B,S,F,2,w]
    layout, head = model.layout, model.latent_head
    steps = torch.arange(layout.steps(6))[:, None]
    frame = (steps - torch.tensor(head.lags)).clamp(0, 5)
    head.estimates = lambda hidden: true[:, :, frame].flatten(3, 4)
    with torch.no_grad():
        head.log_precision.fill_(1.5)
        logits, error = model.latent_logits(torch.zeros(2, 4, layout.steps(6), 32), codes)
    assert float(error) < 1e-10
    grid = layout.to_grid(codes)
    # a residual is coded by the remaining layers too, so only a stream's last layers are exact
    last = torch.tensor([k for k in range(5) if not head.known_layers[:, k].any()])
    held = (grid != layout.pad)[..., last]
    assert torch.equal(logits.argmax(-1)[..., last][held], grid[..., last][held])


def test_anchored_generation_returns_latents_near_its_tokens():
    """The decoded estimate is finite, of the codec's shape, and the same for a row alone."""
    from tokensep.decode.generate import generate

    model = latent_regression_model()
    cond = torch.randn(2, 5, 32)
    books = codebooks(DummyCodec())
    both, alone = generate(model, cond, codebooks=books), generate(model, cond[1:], codebooks=books)
    assert both.latents.shape == (2, 4, 5, 5) and torch.isfinite(both.latents).all()
    torch.testing.assert_close(both.latents[1:], alone.latents, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_heads_of_absent_layers_are_left_out_and_the_loss_stays(kind):
    """Against all heads at all steps, with the pads masked."""
    from tokensep.lm import losses

    model, codes, cond = example(kind)
    logits, grid = model(codes, cond)
    whole = losses.token_nll(logits, grid, label_smoothing=0.1)
    parts, _ = model.token_logits(codes, cond, parallel=False, keep=None)
    sliced = losses.token_nll_of_parts(parts, whole[0].shape, label_smoothing=0.1)
    for a, b in zip(whole, sliced, strict=True):
        torch.testing.assert_close(a, b)
    computed = sum(part.logits[..., 0].numel() for part in parts)
    assert (
        computed == grid.numel() if kind != "interleaved-delay" else computed < 0.6 * grid.numel()
    )
    tokens = sum(int((part.grid < ENTRIES).sum()) for part in parts)
    assert tokens == codes.numel()
    gradients = []
    for nll, _ in (whole, sliced):
        model.zero_grad()
        nll.sum().backward(retain_graph=True)
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-6, msg=name)
