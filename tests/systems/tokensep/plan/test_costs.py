"""From counts to days and bytes: against hand calculation and against real tensors."""

from __future__ import annotations

import json
import math

import pytest
import torch
from benchsep_training.ema import Ema
from tokensep import cli
from tokensep.errors import ConfigError
from tokensep.lm.config import PRESETS, LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.plan import costs, report
from tokensep.plan.rates import Rates, rates_of
from tokensep.train.optimizer import make_optimizer
from typer.testing import CliRunner

from tests.helpers.lm_dummies import tiny_config


def values(rows: list[costs.Row]) -> dict[str, float]:
    return {row.name: row.value for row in rows}


def test_tokens_of_the_paper_s_data() -> None:
    """23,000 h x 1,600 tokens/s x 2 bytes = 265 GB (the paper's hours)."""
    found = values(costs.data_rows(costs.Work(23_000, 64, Rates()), PRESETS["paper"]))
    assert found["tokens"] == pytest.approx(23_000 * 3600 * 1600 / 1e9)
    assert round(found["disk, tokens (int16)"]) == 265


def test_memory_of_the_states_is_that_of_the_tensors() -> None:
    """Weights, gradients, AdamW's moments and the average of a real step, and DDP's buckets."""
    config, train = tiny_config(), LMTrainConfig()
    model = TokenLM(config)
    optimizer, ema = make_optimizer(model, train), Ema(model, 0.9)
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moments = [v for s in optimizer.state.values() for k, v in s.items() if "exp_avg" in k]
    held = [*trained, *(p.grad for p in trained), *moments]
    size = sum(math.prod(t.shape) * 4 for t in held if t is not None)
    average = sum(v.numel() * 4 for k, v in ema.shadow.items())
    buckets = sum(p.numel() * 4 for p in trained)
    frozen = sum(p.numel() * 4 for p in model.parameters() if not p.requires_grad)
    expected = size + average - frozen + buckets
    found = values(costs.lm_rows(costs.Work(1, 1, Rates()), config, train))
    assert found["memory, weights and optimizer"] * 1e9 == pytest.approx(expected, rel=0.02)
    assert found["checkpoint"] * 1e9 == pytest.approx(expected * 16 / 24, rel=0.02)


def test_days_follow_from_work_and_rates() -> None:
    config, train = tiny_config(), LMTrainConfig(batch=3, accumulate=2, max_steps=1000)
    one = costs.Work(10, 1, rates_of("a100", 0.5, 0.05))
    four = costs.Work(10, 4, rates_of("a100", 0.5, 0.05))
    alone, together = (
        values(costs.lm_rows(one, config, train)),
        values(costs.lm_rows(four, config, train)),
    )
    flop = alone["crop, forward and backward"] * 1e12
    hours = 1000 * 6 * flop / (312e12 * 0.5) / 3600
    assert alone["training"] == pytest.approx(hours)
    # four GPUs see four times the crops in as many steps
    assert together["training on all GPUs"] == pytest.approx(alone["training on all GPUs"])
    assert together["epochs"] == pytest.approx(4 * alone["epochs"])


def test_epochs_replace_the_steps_of_the_settings() -> None:
    config, work = tiny_config(), costs.Work(10, 2, Rates(), epochs=3)
    found = values(costs.lm_rows(work, config, LMTrainConfig()))
    crops = found["steps"] * found["crops a step, all GPUs"] * found["crop"]
    assert crops == pytest.approx(3 * 36_000, rel=1e-3)


def test_the_largest_batch_fits() -> None:
    train = LMTrainConfig(precision="bf16", batch=1)
    found = values(costs.lm_rows(costs.Work(1, 1, Rates(memory_gb=24)), PRESETS["mini"], train))
    used = (
        found["memory, weights and optimizer"]
        + found["largest batch"] * found["memory, activations of a crop"]
    )
    assert 21.6 - found["memory, activations of a crop"] < used <= 21.6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mini", "--hours", "0"], "expected hours and epochs above 0"),
        (["mini", "--hours", "1", "--gpus", "0"], "at least one GPU"),
        (["mini", "--hours", "1", "--gpu", "tpu"], "expected one of h100"),
        (["mini", "--hours", "1", "--utilisation", "40"], "expected more than 0"),
        (["nothing", "--hours", "1"], "expected one of"),
    ],
)
def test_a_wrong_call_says_what_was_expected(arguments: list[str], words: str) -> None:
    error = CliRunner().invoke(cli.app, ["plan", *arguments]).exception
    assert isinstance(error, ConfigError) and words in str(error)


def test_the_command_prints_data_model_and_codec() -> None:
    call = ["plan", "mini", "--hours", "2", "--codec-settings", "configs/tokensep/mini-codec.yaml"]
    text = CliRunner().invoke(cli.app, call).stdout
    for words in ("data:", "tokenise:", "language model:", "codec:", "Assumed: 1 x h100"):
        assert words in text


def test_json_has_every_row() -> None:
    rows = [costs.Row("training", 1.5, "GPU hours", "assumed")]
    found = json.loads(report.as_json({"language model": rows}))
    assert found == {
        "language model": [
            {"name": "training", "value": 1.5, "unit": "GPU hours", "how": "assumed"}
        ]
    }
