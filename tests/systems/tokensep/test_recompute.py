"""Activation checkpointing changes memory, and nothing else."""

from __future__ import annotations

import pytest
import torch
from tokensep.codec.model import HCodec
from tokensep.config import PRESETS as CODECS
from tokensep.lm.config import PRESETS, LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.plan import counts
from tokensep.recompute import recompute, recomputed_blocks
from tokensep.train.objective import Objective
from torch import nn
from torch.profiler import profile

from tests.helpers.codec_dummies import TINY
from tests.helpers.lm_dummies import ENTRIES, HOP, tiny_config

PAPER_BF16 = LMTrainConfig(precision="bf16")


def lm_loss(recomputing: bool, kind: str = "interleaved-delay", norm: str = "layer"):
    config = tiny_config(kind)
    encoder = config.encoder.model_copy(update={"dropout": 0.2, "conv_norm": norm})
    lm = config.lm.model_copy(update={"dropout": 0.2, "layers": 4})
    config = config.model_copy(update={"encoder": encoder, "lm": lm})
    torch.manual_seed(0)
    model = TokenLM(config)
    recompute(model, recomputing)
    wave, latents = torch.randn(2, 12 * HOP), torch.randn(2, 12, 5)
    codes = torch.randint(0, ENTRIES, (2, 4, 5, 12))
    torch.manual_seed(1)
    return model, Objective(model, LMTrainConfig())(wave, codes, latents)[0]


def codec_loss(recomputing: bool):
    torch.manual_seed(0)
    codec = HCodec(TINY.model_copy(update={"decoder_resnets": 2, "dropout": 0.2})).train()
    recompute(codec, recomputing)
    wave = 0.1 * torch.randn(2, 5 * codec.frame_hop)
    torch.manual_seed(1)
    out = codec(wave, quantise=False)
    return codec, out.output.square().mean() + out.semantic


def gradients(model: nn.Module, loss: torch.Tensor):
    loss.backward()
    return float(loss.detach()), {
        n: p.grad for n, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize("make", [lm_loss, codec_loss])
def test_loss_and_gradients_are_the_same_with_dropout(make):
    (loss, plain), (again, recomputed) = (gradients(*make(flag)) for flag in (False, True))
    assert loss == again and plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(gradient, recomputed[name], rtol=1e-5, atol=1e-7, msg=name)


def test_files_do_not_change_and_inference_is_never_computed_twice():
    model, _ = lm_loss(True)
    assert model.state_dict().keys() == lm_loss(False)[0].state_dict().keys()
    calls = []
    block = model.decoder.blocks[0]
    block.register_forward_hook(lambda *_: calls.append(1))
    model.eval()
    x, cos = torch.randn(1, 3, 32, requires_grad=True), model.decoder.rope(torch.arange(3))
    model.decoder(x, *cos).sum().backward()
    assert len(calls) == 1


def test_blocks_with_running_statistics_are_left_alone():
    model, _ = lm_loss(True, norm="batch")
    assert recomputed_blocks(model) == list(model.decoder.blocks)


def test_what_is_kept_for_the_backward_pass_is_less():
    """The memory profiler's balance after the forward pass, against the plan's count."""

    def held(flag: bool) -> int:
        with profile(profile_memory=True) as record:
            loss = lm_loss(flag)[1]
        assert loss.requires_grad
        return sum(event.self_cpu_memory_usage for event in record.key_averages())

    assert held(True) < 0.6 * held(False)


def test_the_plan_knows_it():
    plain, again = (
        counts.count_lm(PRESETS["paper"], PAPER_BF16.model_copy(update={"recompute": flag}))
        for flag in (False, True)
    )
    assert again.activations < 0.35 * plain.activations
    assert 1.2 < again.flops / plain.flops < 1.35  # a second forward pass: four thirds at most
    codec = [counts.count_codec(CODECS["mini"], 1.0, "no", recomputing=f) for f in (False, True)]
    assert codec[1].activations < 0.5 * codec[0].activations
