"""Presets: codec and LM belong together, and each has settings of its own to be trained with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokensep.cli import configs, train
from tokensep.config import PRESETS as CODECS
from tokensep.config import load
from tokensep.integration.trainer import TokenSepTrainer
from tokensep.lm.config import PRESETS, LMTrainConfig
from tokensep.lm.training_presets import TRAINING
from tokensep.train.optimizer import make_optimizer

CONFIGS = Path(__file__).parents[4] / "configs" / "tokensep"


@pytest.mark.parametrize("name", PRESETS)
def test_the_lm_of_a_preset_is_made_for_the_codec_of_that_name(name):
    lm, codec = PRESETS[name], CODECS[name]
    for fact in ("rate", "frame_hop", "codebook_size", "semantic_layers", "acoustic_layers"):
        assert getattr(lm, fact) == getattr(codec, fact), fact
    if lm.encoder.codec_latents:
        assert lm.encoder.latent_dim == 2 * codec.latent_dim


@pytest.mark.parametrize("name", ["small", "paper"])
def test_the_settings_of_a_preset_are_those_of_its_file(name):
    assert load(LMTrainConfig, CONFIGS / f"{name}-lm.yaml") == TRAINING[name]


@pytest.mark.parametrize("name", ["small", "paper", "hcodec-2"])
def test_a_large_preset_is_not_trained_with_the_settings_of_the_mini(name):
    settings = configs.lm_training(name, None)
    assert settings.precision == "bf16" and settings.lr <= 5e-4 and settings.warmup >= 1000
    assert configs.lm_training(name, CONFIGS / "mini-lm.yaml").max_steps == 4049


def test_an_ablation_takes_the_settings_of_its_preset_and_changes_them():
    settings = {"preset": "paper", "train.max_steps": 7}
    train = TokenSepTrainer().resolve(settings, 3)["train"]
    expected = TRAINING["paper"].model_copy(update={"max_steps": 7, "seed": 3})
    assert load(LMTrainConfig, train) == expected
    mini = TokenSepTrainer().resolve({}, 0)["train"]
    assert load(LMTrainConfig, mini) == LMTrainConfig()


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_settings_that_an_optimizer_takes(name):
    from tokensep.lm.model import TokenLM

    with torch.device("meta"):
        model = TokenLM(PRESETS[name])
    assert make_optimizer(model, TRAINING[name]).param_groups[0]["lr"] == TRAINING[name].lr


@pytest.mark.parametrize(("rank", "printed"), [("0", '{"step": 3}\n'), ("1", "")])
def test_one_of_several_processes_prints_the_result(monkeypatch, capsys, rank, printed):
    monkeypatch.setenv("RANK", rank)
    train.print_once({"step": 3})
    assert capsys.readouterr().out == printed
