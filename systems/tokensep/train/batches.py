"""Batches for the LM and the codec, made crop by crop from data on the disk.

Every crop is a function of (seed, step, index): see :class:`benchsep_training.batches.Stateless`.
"""

from __future__ import annotations

import torch
from benchsep_training.batches import Stateless, Turn
from benchsep_training.seeds import generator
from torch import Tensor

from tokensep.config import CodecTrainConfig
from tokensep.lm.config import LMTrainConfig
from tokensep.train.data import Augment, StemStore, codec_batch
from tokensep.train.token_dataset import TokenDataset

LMBatch = tuple[Tensor, Tensor]
"""Mixtures ``[B, T]`` and the codes of their stems ``[B, S, K, F]``."""


class TokenBatches(Stateless):
    """Batches for the LM from encoded songs."""

    def __init__(self, dataset: TokenDataset, train: LMTrainConfig) -> None:
        self.dataset, self.train = dataset, train

    def batch(self, turn: Turn) -> LMBatch:
        """``train.batch`` crops."""
        train, indices = self.train, turn.indices(self.train.batch)
        return self.dataset.batch(train.seed, turn.step, indices, remix=train.remix)


class StemBatches(Stateless):
    """Batches ``[B, T]`` of the codec from decoded stems; ``length``: samples T of a crop."""

    def __init__(self, store: StemStore, train: CodecTrainConfig, length: int) -> None:
        self.store, self.train, self.length, self.augment = store, train, length, Augment()

    def batch(self, turn: Turn) -> Tensor:
        """``train.batch`` crops."""
        rng = generator("stems", self.train.seed, turn.step, turn.piece, turn.rank)
        crops = codec_batch(self.store, self.train.batch, self.length, rng, self.augment)
        return torch.from_numpy(crops)
