"""A tiny language model trained on a codec without training: what the kill tests interrupt."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "systems" / "tokensep"))

from lm_dummies import RATE, DummyCodec, tiny_config
from tokensep.lm.config import LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.train import lm as training
from tokensep.train.data import STEMS, Source
from tokensep.train.token_dataset import TokenBank, store_songs

TRAIN = LMTrainConfig(
    batch=2, lr=3e-3, warmup=3, max_steps=24, save_every=4, eval_every=6, parallel_fraction=0.3
)


class Songs:
    """Two synthetic songs of two seconds, as ``StemStore`` gives them."""

    rate = RATE

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        time = np.arange(2 * RATE) / RATE
        self.sources = []
        for song in self.songs():
            for stem in STEMS:
                wave = np.sin(2 * np.pi * rng.uniform(80, 900) * time) * rng.uniform(0.1, 0.3)
                wave += rng.normal(0, 0.05, time.size)
                audio = np.repeat((wave * 32767).astype(np.int16)[None], 2, 0)
                self.sources.append(Source(song, stem, audio))

    def songs(self) -> list[str]:
        return ["one", "two"]


def main() -> None:
    """``train FOLDER``: build the bank, train, resume what is there."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    codec, config = DummyCodec(), tiny_config()
    if not (folder / "bank" / "index.json").exists():
        built = TokenBank.build(store_songs(Songs(), {"one", "two"}), codec, config, variants=2)
        built.save(folder / "bank")
    bank = TokenBank.load(folder / "bank", config)
    torch.manual_seed(0)
    training.Trainer(folder, TokenLM(config), codec, bank, bank.windows(2), TRAIN).run()
