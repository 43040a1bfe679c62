"""Training of the design ``bands``: what stays, what improves, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from benchsep_training.batches import Stateless, Turn
from tokensep.codec.model import HCodec
from tokensep.config import CodecTrainConfig
from tokensep.errors import ConfigError
from tokensep.train import bands
from tokensep.train.bands import BandsTrainer, take_semantic
from tokensep.train.codec import CodecTrainer
from tokensep.train.codec_command import trainer_of
from torch import Tensor

from tests.helpers.codec_dummies import TINY, TINY_BANDS

SETTINGS = CodecTrainConfig(max_steps=12, warmup=1, lr=3e-3, save_every=6, ema=0.5)


class Tones(Stateless):
    """Two tones of ten frames in noise, other ones in each step."""

    def batch(self, turn: Turn) -> Tensor:
        rng = np.random.default_rng([turn.step, turn.piece])
        t = np.arange(10 * 1764) / 44100
        hz = rng.uniform(90, 300, (2, 1, 1)) * np.arange(1, 9)[:, None]
        tone = 0.05 * np.sin(2 * np.pi * hz * t).sum(1)
        return torch.from_numpy((tone + 1e-3 * rng.standard_normal(tone.shape)).astype(np.float32))


@pytest.fixture
def semantic(tmp_path: Path) -> Path:
    """A codec of the other design, with more semantic layers."""
    torch.manual_seed(3)
    folder = tmp_path / "semantic"
    HCodec(TINY.model_copy(update={"semantic_layers": 4})).save_checkpoint(folder)
    return folder


def test_semantic_tokens_are_those_of_the_codec_given(semantic: Path) -> None:
    codec = HCodec(TINY_BANDS)
    assert trainer_of(codec, semantic) is BandsTrainer
    wave = Tones().batch(Turn(0, 0))
    theirs = HCodec.from_checkpoint(semantic).encode(wave).semantic
    assert torch.equal(codec.encode(wave).semantic, theirs[:, :2])
    assert trainer_of(HCodec(TINY), None) is CodecTrainer
    with pytest.raises(ConfigError, match="--semantic"):
        trainer_of(codec, None)
    wide = HCodec(TINY_BANDS.model_copy(update={"semantic_dim": 24}))
    with pytest.raises(ConfigError, match="does not fit: semantic_encoder"):
        take_semantic(wide, semantic)


def test_training_moves_the_decoder_alone(
    semantic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bands, "FIT_BATCHES", 4)
    torch.manual_seed(0)
    codec = HCodec(TINY_BANDS)
    take_semantic(codec, semantic)
    work, out = tmp_path / "work", tmp_path / "out"
    trainer = BandsTrainer(codec, SETTINGS, Tones(), None, work, out)
    trainer.start()
    wave = Tones().batch(Turn(99, 0))
    before = {k: v.clone() for k, v in codec.state_dict().items()}
    codes = codec.encode(wave).stack()
    first = trainer.loss_of(wave)[0].item()
    codec.train()
    for _ in range(12):
        terms = trainer.update()
    assert {"bins", "fine", "pitch", "total"} <= set(terms)
    assert trainer.loss_of(wave)[0].item() < 0.95 * first
    changed = {k for k, v in codec.state_dict().items() if not torch.equal(v, before[k])}
    assert changed and all(k.startswith("decoder.") for k in changed)
    trainer.export()
    exported = HCodec.from_checkpoint(out)
    assert float((exported.encode(wave).stack() == codes).float().mean()) > 0.95  # float16
    assert exported.decode(exported.encode(wave)).shape == wave.shape


def test_several_processes_are_refused(
    semantic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = HCodec(TINY_BANDS)
    trainer = BandsTrainer(codec, SETTINGS, Tones(), None, tmp_path)
    monkeypatch.setattr(type(trainer.processes), "count", 2)
    with pytest.raises(ConfigError, match="2 processes"):
        trainer.start()
