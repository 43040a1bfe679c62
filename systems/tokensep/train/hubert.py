"""Train ``hubert-mini``: predict the k-means class of masked log-mel frames.

The command is ``tokensep train hubert``; started again with the same arguments, it continues.

Conventions
-----------
As in HuBERT's first iteration, the classes come from the features themselves (there MFCC, here
normalised log-mel). 8 % of the frames start a masked span of 10 (0.2 s), at 50 frames a second; the
loss counts masked frames only. Mixtures of stems and single stems are used alike, since the
encoder ablation feeds mixtures to this teacher.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchsep_training.budget import Budget, Every
from benchsep_training.loop import Loop, LoopSettings, Parts
from benchsep_training.processes import Processes
from benchsep_training.schedule import WarmupCosine
from torch import Tensor
from torch.nn import functional as fn

from benchsep._util.atomic import write_atomically
from benchsep._util.tensors import save_tensors
from tokensep.codec.hubert import HubertMini
from tokensep.codec.kmeans import kmeans, nearest
from tokensep.config import TeacherConfig
from tokensep.train.data import Augment, StemStore, codec_batch, musdb_files, validation_songs

WARMUP = 50
TARGET_CROPS = 96
"""Crops whose frames the k-means classes are fitted to."""


def span_mask(
    batch: int, frames: int, rng: np.random.Generator, start: float = 0.08, length: int = 10
) -> Tensor:
    """Random spans, ``[batch, frames]`` bool: each frame starts one with probability ``start``."""
    starts = rng.random((batch, frames)) < start
    mask = np.zeros_like(starts)
    for shift in range(length):
        mask[:, shift:] |= starts[:, : frames - shift]
    return torch.from_numpy(mask)


def fit_targets(model: HubertMini, waves: Tensor) -> Tensor:
    """Set the model's feature mean and deviation from ``waves [B, T]``; return class centres.

    Centres are ``[classes, mels]``, of features normalised per mel band.
    """
    features = model.log_mel(waves).flatten(0, 1)  # [B * frames, mels]
    model.mean.copy_(features.mean(0))
    model.std.copy_(features.std(0).clamp_min(1e-2))
    centres, _ = kmeans((features - model.mean) / model.std, model.config.classes, 20)
    return centres


class HubertTrainer(Loop):
    """One training of hubert-mini, in one process on the CPU.

    Parameters
    ----------
    out : checkpoints, logs and the trained weights.
    batch, seconds, lr : crops of a step, their length, the highest learning rate.
    """

    model: HubertMini
    rng: np.random.Generator

    def __init__(
        self,
        store: StemStore,
        config: TeacherConfig,
        out: Path,
        budget: Budget,
        *,
        batch: int = 16,
        seconds: float = 2.0,
        lr: float = 1e-3,
        seed: int = 0,
        save_every: int = 100,
    ) -> None:
        torch.manual_seed(seed)
        self.store, self.batch = store, batch
        self.length = round(seconds * config.rate / config.hop) * config.hop
        self.augment = Augment(sum_two=0.5)
        self.centres = torch.empty(0)
        model = HubertMini(config)
        super().__init__(
            out,
            model,
            torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01),
            LoopSettings(budget, WarmupCosine(lr, WARMUP, 0.02), save=Every(steps=save_every)),
            processes=Processes(alone=True),
            rng=np.random.default_rng(seed),
        )

    def waves(self, count: int) -> Tensor:
        """The next ``count`` crops ``[count, T]``."""
        crops = codec_batch(self.store, count, self.length, self.rng, self.augment)
        return torch.from_numpy(crops)

    @torch.no_grad()
    def start(self) -> None:
        """Fit the classes."""
        self.centres = fit_targets(self.model, self.waves(TARGET_CROPS))

    def loss(self, piece: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the classes of masked frames, and how many are right."""
        wave = self.waves(self.batch)
        with torch.no_grad():
            features = (self.model.log_mel(wave) - self.model.mean) / self.model.std
            # [B, frames]
            classes = nearest(features.flatten(0, 1), self.centres).reshape(self.batch, -1)
        mask = span_mask(self.batch, classes.shape[1], self.rng)
        logits = self.objective(wave, mask)[mask]  # [masked frames, classes]
        loss = fn.cross_entropy(logits, classes[mask])
        right = (logits.argmax(-1) == classes[mask]).float().mean()
        return loss, {"loss": loss, "masked_accuracy": right}

    def export(self) -> None:
        """Write ``hubert.safetensors`` (fp16) and its configuration."""
        state = self.model.state_dict()
        half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
        tensors = {k: v.contiguous() for k, v in half.items()}
        save_tensors(self.folder / "hubert.safetensors", tensors)
        config = self.model.config.model_dump()
        write_atomically(self.folder / "hubert.json", json.dumps(config, indent=1))

    def more_state(self) -> tuple[Parts, dict[str, Any]]:
        """The class centres."""
        return {"targets": {"centres": self.centres}}, {}

    def load_more_state(self, parts: Parts, state: dict[str, Any]) -> None:
        """Inverse of :meth:`more_state`."""
        self.centres = parts["targets"]["centres"]


@dataclass(frozen=True)
class Options:
    """What ``tokensep train hubert`` is called with."""

    musdb: Path
    work: Path
    out: Path
    cpu_minutes: float = 4.0
    max_steps: int | None = None


def main(options: Options) -> dict[str, Any]:
    """Read the data, train, and return the number of steps."""
    torch.set_num_threads(1)
    config = TeacherConfig()
    # steps instead of minutes make a training repeatable
    by_steps = options.max_steps is not None
    budget = Budget(options.max_steps) if by_steps else Budget(None, options.cpu_minutes)
    files = musdb_files(options.musdb, None, set(validation_songs()))
    store = StemStore.build(options.work / "audio-train", files, config.rate)
    return HubertTrainer(store, config, options.out, budget).run()
