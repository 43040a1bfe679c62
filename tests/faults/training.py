"""A tiny language model trained on a codec without training: what the kill tests interrupt."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokensep.lm.config import LMTrainConfig
from tokensep.lm.model import TokenLM
from tokensep.train import lm as training
from tokensep.train.batches import TokenBatches
from tokensep.train.encoding import store_songs
from tokensep.train.token_dataset import TokenDataset

from tests.helpers.lm_dummies import DummyCodec, SyntheticSongs, tiny_config

TRAIN = LMTrainConfig(
    batch=2, lr=3e-3, warmup=3, max_steps=12, save_every=3, eval_every=5, parallel_fraction=0.3
)


def main() -> None:
    """``train FOLDER``: build the bank, train, resume what is there."""
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    codec, config = DummyCodec(), tiny_config()
    if not (folder / "bank" / "index.json").exists():
        built = TokenDataset.build(
            store_songs(SyntheticSongs(), {"one", "two"}), codec, config, variants=2
        )
        built.save(folder / "bank")
    bank = TokenDataset.load(folder / "bank", config)
    torch.manual_seed(0)
    batches = TokenBatches(bank, TRAIN)
    training.LMTrainer(folder, TokenLM(config), codec, batches, bank.windows(2), TRAIN).run()
