"""Weight decay: exactly which parameters are left out of it."""

from __future__ import annotations

import pytest
import torch
from tokensep.lm.config import PRESETS, LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.train.optimizer import make_optimizer

from tests.helpers.lm_dummies import tiny_config

CONFORMER_BLOCK = [
    "ffn1.norm.weight",
    "ffn1.norm.bias",
    "ffn1.up.bias",
    "ffn1.down.bias",
    "attention.norm.weight",
    "attention.norm.bias",
    "attention.qkv.bias",
    "attention.out.bias",
    "conv.norm.weight",
    "conv.norm.bias",
    "conv.inner.weight",
    "conv.inner.bias",
    "ffn2.norm.weight",
    "ffn2.norm.bias",
    "ffn2.up.bias",
    "ffn2.down.bias",
    "norm.weight",
    "norm.bias",
]


def undecayed_by_hand(config, own):
    conformer = [
        f"encoder.blocks.{i}.{name}"
        for i in range(config.encoder.layers)
        for name in CONFORMER_BLOCK
    ]
    norms = [f"decoder.blocks.{i}.norm{j}.weight" for i in range(config.lm.layers) for j in (1, 2)]
    always = ["bias", "stem", "start", "null", "encoder.project.bias", "prefix.bias"]
    return {*always, *own.split(), *conformer, *norms, "decoder.norm.weight"}


@pytest.mark.parametrize(
    ("preset", "own"),
    [
        (
            "mini",
            "encoder.latents.bias aligned.bias latent_head.log_precision latent_head.out.bias",
        ),
        ("paper", "encoder.pool.bias"),
    ],
)
def test_no_more_and_no_less_than_these_are_not_decayed(preset, own):
    config = PRESETS[preset]
    with torch.device("meta"):
        model = TokenLM(config)
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, rest = make_optimizer(model, LMTrainConfig()).param_groups
    assert decayed["weight_decay"] > 0 and rest["weight_decay"] == 0
    assert {names[id(p)] for p in rest["params"]} == undecayed_by_hand(config, own)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(decayed["params"]) + len(rest["params"]) == len(trained)
    assert all(p.ndim > 1 for p in decayed["params"])


def test_symbols_of_the_depth_head_are_not_decayed():
    model = TokenLM(tiny_config("depth"))
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, rest = (
        [names[id(p)] for p in g["params"]]
        for g in make_optimizer(model, LMTrainConfig()).param_groups
    )
    assert "depth.layer" in rest and "depth.token.weight" in decayed and "tables" in decayed
