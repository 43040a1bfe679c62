"""bf16: both trainers run, and the quantiser is not computed in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from benchsep_training.batches import Stateless, Turn
from tokensep.codec.kmeans import kmeans, nearest
from tokensep.codec.model import HCodec
from tokensep.codec.rvq import ResidualVQ
from tokensep.config import CodecTrainConfig, LossConfig
from tokensep.lm.config import LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.train.batches import TokenBatches
from tokensep.train.codec import CodecTrainer, crop_length
from tokensep.train.encoding import store_songs
from tokensep.train.lm import LMTrainer
from tokensep.train.token_dataset import TokenDataset

from tests.helpers.codec_dummies import TINY
from tests.helpers.lm_dummies import DummyCodec, SyntheticSongs, tiny_config

LOSSES = LossConfig(
    mel_windows=(256,),
    mel_bands=(16,),
    adversarial=1.0,
    feature_match=1.0,
    mpd_periods=(2,),
    mrd_windows=(128,),
    discriminator_channels=1,
)


class Noise(Stateless):
    """White noise ``[2, T]``."""

    def __init__(self, length: int) -> None:
        self.length = length

    def batch(self, turn: Turn) -> torch.Tensor:
        rng = np.random.default_rng([turn.step, turn.piece])
        return torch.from_numpy(0.1 * rng.standard_normal((2, self.length)).astype(np.float32))


@pytest.fixture
def plain_convolutions() -> Iterator[None]:
    """torch's own: on a CPU with AMX those of oneDNN give NaN at random in bf16, e.g.
    ``Conv2d(32, 32, (3, 9), (1, 2), (1, 4))`` of ``[4, 32, 165, 2]`` (torch 2.13)."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")  # switching oneDNN off mentions it
def test_the_codec_trains_in_bf16_beyond_its_first_quantised_step(
    tmp_path: Path, plain_convolutions: None
) -> None:
    pytest.importorskip("accelerate")
    train = CodecTrainConfig(
        batch=2,
        crop_seconds=0.12,
        continuous_steps=2,
        max_steps=6,
        precision="bf16",
        losses=LOSSES,
    )
    torch.manual_seed(0)
    codec = HCodec(TINY)
    trainer = CodecTrainer(codec, train, Noise(crop_length(codec, train)), None, tmp_path)
    trainer.run()
    assert trainer.step == 6 and trainer.guard.skipped_in_a_row == 0
    assert all(p.isfinite().all() and p.dtype == torch.float32 for p in codec.parameters())
    assert codec.acoustic_rvq.codebooks()[0].sums.dtype == torch.float32


@pytest.mark.parametrize("kind", ["anchored", "interleaved-delay"])
def test_the_lm_trains_in_bf16_near_its_curve_in_float32(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("accelerate")
    songs = store_songs(SyntheticSongs(), {"one", "two"})
    bank = TokenDataset.build(songs, DummyCodec(), tiny_config(kind), variants=1)
    curves = []
    for precision in ("no", "bf16"):
        train = LMTrainConfig(batch=2, lr=3e-3, warmup=3, max_steps=5, precision=precision)
        torch.manual_seed(0)
        model = TokenLM(tiny_config(kind))
        batches = TokenBatches(bank, train)
        trainer = LMTrainer(tmp_path / precision, model, DummyCodec(), batches, [], train)
        model.train()
        curves.append([trainer.update()["loss"] for _ in range(5)])
    assert curves[0] != curves[1]
    np.testing.assert_allclose(curves[1], curves[0], rtol=0.02)


def test_autocast_moves_neither_codes_nor_codebooks() -> None:
    def trained(cast: bool) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        rvq = ResidualVQ(16, 64, 3, 0.9, 0.0).train()
        x = torch.randn(4, 50, 16)
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16, enabled=cast):
                codes = rvq(x)[1]
        return codes, rvq.codebooks()[2].entries

    for plain, cast in zip(trained(False), trained(True), strict=True):
        assert torch.equal(plain, cast)


def test_vectors_in_bf16_have_the_entries_of_their_float_values() -> None:
    torch.manual_seed(0)
    vectors, centres = torch.randn(500, 16).bfloat16(), torch.randn(300, 16)
    wanted = torch.cdist(vectors.double(), centres.double()).argmin(1)
    with autocast():
        assert torch.equal(nearest(vectors, centres), wanted)
        assert torch.equal(nearest(vectors.float(), centres), wanted)
        found, sizes = kmeans(vectors, 8)
    assert found.dtype == sizes.dtype == torch.float32 and int(sizes.sum()) == 500
