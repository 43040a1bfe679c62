"""The tuned decoder renders the LM's output better, and nothing else of the codec moves."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from codec_dummies import TINY
from lm_dummies import tiny_config
from tokensep.codec.model import HCodec
from tokensep.config import DecoderTrainConfig
from tokensep.lm import TokenLM
from tokensep.train.data import STEMS
from tokensep.train.decoder import tune_decoder
from tokensep.train.lm import fit_config
from tokensep.train.lm_data import TokenBank

TRAIN = DecoderTrainConfig(
    batch=3, crop_frames=6, windows=4, lr=3e-3, warmup=2, max_steps=24, save_every=6, eval_every=12
)


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(0)
    codec = HCodec(TINY).eval().requires_grad_(False)
    config = fit_config(tiny_config(), codec)
    lm = TokenLM(config).eval()
    rng = np.random.default_rng(0)
    time = np.arange(codec.rate) / codec.rate

    def song(name: str) -> tuple[str, dict[str, np.ndarray]]:
        hz = rng.uniform(80, 900, 4)
        waves = [0.2 * np.sin(2 * np.pi * f * time) + rng.normal(0, 0.02, time.size) for f in hz]
        return name, {s: w.astype(np.float32) for s, w in zip(STEMS, waves, strict=True)}

    bank = TokenBank.build([song("one"), song("two")], codec, config)
    return codec, lm, bank


def tune(made, folder, **options):
    codec, lm, bank = made
    fresh = HCodec(TINY)
    fresh.load_state_dict(codec.state_dict())
    fresh = fresh.eval().requires_grad_(False)
    return tune_decoder(
        folder, folder / "out", codec=fresh, lm=lm, bank=bank, valid=bank, train=TRAIN, **options
    )


def losses_of(folder) -> list[dict[str, float]]:
    with (folder / "valid.csv").open() as handle:
        return [
            {k: float(v) for k, v in row.items() if k != "cpu_seconds"}
            for row in csv.DictReader(handle)
        ]


def test_tuning_lowers_the_loss_and_leaves_the_tokens_alone(made, tmp_path):
    result = tune(made, tmp_path, about={"training": {"steps": 7}})
    rows = losses_of(tmp_path)
    assert [row["step"] for row in rows] == [0, 12, 24]
    assert rows[-1]["loss_drawn"] < 0.9 * rows[0]["loss_drawn"]
    best = min(row["loss_drawn"] for row in rows)
    assert result["loss"] == pytest.approx(best, abs=1e-5)
    tuned, codec = HCodec.from_checkpoint(tmp_path / "out"), made[0]
    for name, tensor in codec.state_dict().items():
        if not name.endswith((".counts", ".sums")):
            same = torch.equal(tuned.state_dict()[name], tensor.half().to(tensor.dtype))
            assert same != name.startswith("decoder.") or "window" in name, name
    notes = json.loads((tmp_path / "out" / "config.json").read_text())
    assert notes["training"] == {"steps": 7} and notes["decoder_tuning"]["steps"] in (12, 24)


def test_a_killed_tuning_continues_on_the_same_curve(made, tmp_path):
    tune(made, tmp_path / "whole")
    tune(made, tmp_path / "cut", stop_after=12)
    tune(made, tmp_path / "cut")
    assert losses_of(tmp_path / "cut") == losses_of(tmp_path / "whole")
    a, b = (HCodec.from_checkpoint(tmp_path / x / "out").state_dict() for x in ("whole", "cut"))
    assert all(torch.equal(a[k], b[k]) for k in a)
