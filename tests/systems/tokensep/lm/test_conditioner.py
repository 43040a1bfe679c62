from __future__ import annotations

import pytest
import torch
from tokensep.errors import ConfigError
from tokensep.lm import conditioner as encoders
from tokensep.lm.conditioner import ConformerBlock, LogMel, mel_filters
from tokensep.lm.config import EncoderConfig

from tests.helpers.lm_dummies import HOP, tiny_config


@pytest.mark.parity
def test_the_conformer_block_is_transformers():
    """``Wav2Vec2ConformerEncoderLayer`` without positions, weights copied."""
    transformers = pytest.importorskip("transformers")
    from transformers.models.wav2vec2_conformer import modeling_wav2vec2_conformer as theirs_

    torch.manual_seed(0)
    config = transformers.Wav2Vec2ConformerConfig(
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=64,
        hidden_act="swish",
        conv_depthwise_kernel_size=7,
        position_embeddings_type=None,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        conformer_conv_dropout=0.0,
    )
    theirs = theirs_.Wav2Vec2ConformerEncoderLayer(config).eval()
    ours = ConformerBlock(
        EncoderConfig(dim=32, heads=4, kernel=7, ffn_mult=2, conv_norm="batch", rope_heads=0)
    ).eval()
    with torch.no_grad():
        for p in theirs.parameters():
            p.add_(0.1 * torch.randn_like(p))
        theirs.conv_module.batch_norm.running_mean.normal_()
        _copy_block(ours, theirs)
        x = torch.randn(2, 19, 32)
        expected = theirs(x)
        expected = expected[0] if isinstance(expected, tuple) else expected
        torch.testing.assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


def _copy_block(ours, theirs):
    for mine, norm, ffn in (
        (ours.ffn1, theirs.ffn1_layer_norm, theirs.ffn1),
        (ours.ffn2, theirs.ffn2_layer_norm, theirs.ffn2),
    ):
        mine.norm.load_state_dict(norm.state_dict())
        mine.up.load_state_dict(ffn.intermediate_dense.state_dict())
        mine.down.load_state_dict(ffn.output_dense.state_dict())
    attention = theirs.self_attn
    ours.attention.norm.load_state_dict(theirs.self_attn_layer_norm.state_dict())
    parts = (attention.linear_q, attention.linear_k, attention.linear_v)
    ours.attention.qkv.weight.copy_(torch.cat([p.weight for p in parts]))
    ours.attention.qkv.bias.copy_(torch.cat([p.bias for p in parts]))
    ours.attention.out.load_state_dict(attention.linear_out.state_dict())
    conv = theirs.conv_module
    ours.conv.norm.load_state_dict(conv.layer_norm.state_dict())
    ours.conv.gate.weight.copy_(conv.pointwise_conv1.weight[..., 0])
    ours.conv.depthwise.weight.copy_(conv.depthwise_conv.weight)
    ours.conv.inner.load_state_dict(conv.batch_norm.state_dict())
    ours.conv.out.weight.copy_(conv.pointwise_conv2.weight[..., 0])
    ours.norm.load_state_dict(theirs.final_layer_norm.state_dict())


@pytest.mark.parametrize("subsample", ["before", "after"])
def test_one_embedding_per_token_frame(subsample):
    config = tiny_config()
    own = config.encoder.model_copy(update={"subsample": subsample})
    encoder = encoders.build(config.model_copy(update={"encoder": own})).eval()
    y = encoder(torch.randn(2, 7 * HOP), torch.randn(2, 7, 5))
    assert y.shape == (2, 7, 32)


def test_mel_frames_are_centred_on_their_hop():
    mel = LogMel(8000, 512, 80, 20)
    wave = torch.zeros(1, 800)
    wave[0, 4 * 80 + 40] = 1.0
    assert int(mel(wave)[0].sum(-1).argmax()) == 4


def test_mel_filters_agree_with_librosa_and_are_never_empty():
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(
        sr=44100, n_fft=2048, n_mels=64, fmin=0, fmax=22050, htk=True, norm=None
    )
    mine = mel_filters(44100, 2048, 64).numpy()
    # wide bands are librosa's; narrow ones are widened to one bin
    assert abs(mine[20:] - expected[20:]).max() < 1e-3
    assert (mel_filters(44100, 2048, 160).sum(1) > 0).all()


def test_ssl_features_are_brought_to_the_token_rate():
    config = tiny_config()
    own = config.encoder.model_copy(update={"kind": "ssl", "ssl_dim": 9})
    encoder = encoders.build(config.model_copy(update={"encoder": own}))
    with pytest.raises(ConfigError, match="no frozen model"):
        encoder(torch.zeros(1, 3 * HOP))
    encoder.attach(lambda wave: torch.ones(len(wave), 13, 9))
    assert encoder(torch.zeros(2, 3 * HOP)).shape == (2, 3, 32)
    encoder.attach(torch.nn.Linear(3, 9))
    assert all(name.startswith("project.") for name in encoder.state_dict()), "frozen, not ours"


def test_shuffled_frames_are_the_same_frames_in_another_order():
    from tokensep.lm.conditioner import shuffled

    x = torch.randn(3, 20, 4)
    torch.manual_seed(0)
    for training in (True, False):
        y = shuffled(x, training)
        order = (y[:, :, None] == x[:, None]).all(-1).int().argmax(-1)
        assert [sorted(row) for row in order.tolist()] == [list(range(20))] * 3
        assert (order[0] != torch.arange(20)).any()
    assert torch.equal(shuffled(x, False), shuffled(x, False))
    assert not torch.equal(shuffled(x, True), shuffled(x, True))
