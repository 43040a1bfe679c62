"""Train ``hubert-mini``: predict the k-means class of log-mel frames that are hidden.

Run: ``python -m tokensep.train.hubert --musdb FOLDER --work DIR --out WEIGHTS --cpu-minutes 4``.
Start it again with the same arguments to continue.

Conventions
-----------
As in HuBERT's first iteration, the classes come from the features themselves (there MFCC, here
normalised log-mel). 8 % of the frames start a masked span of 10 (0.2 s), at 50 frames a second; the
loss counts masked frames only. Mixtures of stems and single stems are seen alike, since the
encoder ablation feeds this teacher mixtures.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as fn

from benchsep._util.atomic import write_atomically
from benchsep._util.tensors import save_tensors
from tokensep.codec.hubert import HubertMini
from tokensep.codec.kmeans import kmeans, nearest
from tokensep.config import TeacherConfig
from tokensep.errors import CheckpointError
from tokensep.train import checkpoint
from tokensep.train.curves import cut_log
from tokensep.train.data import Augment, StemStore, codec_batch, musdb_files, validation_songs


def span_mask(
    batch: int, frames: int, rng: np.random.Generator, start: float = 0.08, length: int = 10
) -> Tensor:
    """Random spans, ``[batch, frames]`` bool: every frame starts one with probability ``start``."""
    starts = rng.random((batch, frames)) < start
    mask = np.zeros_like(starts)
    for shift in range(length):
        mask[:, shift:] |= starts[:, : frames - shift]
    return torch.from_numpy(mask)


def fit_targets(model: HubertMini, waves: Tensor) -> Tensor:
    """Set the model's feature mean and deviation from ``waves``; return class centres."""
    features = model.log_mel(waves).flatten(0, 1)
    model.mean.copy_(features.mean(0))
    model.std.copy_(features.std(0).clamp_min(1e-2))
    centres, _ = kmeans((features - model.mean) / model.std, model.config.classes, 20)
    return centres


SAVE_EVERY = 100
LOG_EVERY = 20


class Training:
    """The model under training, and what a checkpoint holds of it.

    Parameters
    ----------
    work : checkpoints (``checkpoints/step-N``) and the curve (``hubert.csv``).
    batch, seconds, lr : crops of a step, their length, the highest learning rate.
    """

    def __init__(
        self,
        store: StemStore,
        config: TeacherConfig,
        work: Path,
        *,
        batch: int = 16,
        seconds: float = 2.0,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.store, self.work, self.batch, self.lr = store, work, batch, lr
        self.length = round(seconds * config.rate / config.hop) * config.hop
        self.rng = np.random.default_rng(seed)
        self.augment = Augment(sum_two=0.5)
        self.model = HubertMini(config)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr, weight_decay=0.01)
        self.step, self.cpu_before = 0, 0.0
        self.began = time.process_time()
        work.mkdir(parents=True, exist_ok=True)
        if not self.resume():
            with torch.no_grad():
                self.centres = fit_targets(self.model, self.waves(96))
        cut_log(work / "hubert.csv", self.step)

    def waves(self, count: int) -> Tensor:
        """The next ``count`` crops."""
        crops = codec_batch(self.store, count, self.length, self.rng, self.augment)
        return torch.from_numpy(crops)

    def cpu_seconds(self) -> float:
        """CPU seconds spent on this training, earlier processes included."""
        return self.cpu_before + time.process_time() - self.began

    def save(self) -> None:
        """Write a checkpoint."""
        tensors, meta = checkpoint.optimizer_tensors(self.optimizer)
        parts = {"model": self.model.state_dict(), "optimizer": tensors}
        parts["targets"] = {"centres": self.centres}
        state = {"optimizer": meta, "rng": checkpoint.rng_state(self.rng)}
        state["cpu_seconds"] = self.cpu_seconds()
        checkpoint.save(self.work / "checkpoints", self.step, parts, state)

    def resume(self) -> bool:
        """Continue from the newest checkpoint, if there is one."""
        found = checkpoint.checkpoints(self.work / "checkpoints")
        if not found:
            return False
        parts, state = checkpoint.load(found[-1])
        try:
            self.model.load_state_dict(parts["model"])
            checkpoint.load_optimizer(self.optimizer, parts["optimizer"], state["optimizer"])
        except (KeyError, RuntimeError, ValueError) as e:
            raise CheckpointError(
                f"{found[-1]} was made with another configuration ({str(e)[:200]}); "
                "use another folder"
            ) from e
        self.centres = parts["targets"]["centres"]
        checkpoint.load_rng(state["rng"], self.rng)
        self.step, self.cpu_before = state["step"], state["cpu_seconds"]
        return True

    def advance(self, progress: float) -> None:
        """One step; every twentieth is logged."""
        warm = min(1, (self.step + 1) / 50)
        rate = self.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        self.optimizer.param_groups[0]["lr"] = rate
        wave = self.waves(self.batch)
        with torch.no_grad():
            features = (self.model.log_mel(wave) - self.model.mean) / self.model.std
            classes = nearest(features.flatten(0, 1), self.centres).reshape(self.batch, -1)
        mask = span_mask(self.batch, classes.shape[1], self.rng)
        logits = self.model(wave, mask)[mask]
        loss = fn.cross_entropy(logits, classes[mask])
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        if self.step % LOG_EVERY == 0:
            right = (logits.argmax(-1) == classes[mask]).float().mean()
            self._log(loss.item(), right.item())

    def _log(self, loss: float, accuracy: float) -> None:
        path = self.work / "hubert.csv"
        row = [self.step, *(round(v, 4) for v in (self.cpu_seconds(), loss, accuracy))]
        new = not path.exists()
        with path.open("a", newline="") as handle:
            writer = csv.writer(handle)
            if new:
                writer.writerow(["step", "cpu_seconds", "loss", "masked_accuracy"])
            writer.writerow(row)
        print(*row, flush=True)


def train(
    store: StemStore,
    config: TeacherConfig,
    out: Path,
    cpu_minutes: float,
    *,
    max_steps: int | None = None,
    save_every: int = SAVE_EVERY,
    **options: Any,
) -> HubertMini:
    """Train for ``cpu_minutes``, or ``max_steps`` if given (then a resumed run is exact).

    Writes ``hubert.safetensors``, its config and its curve to ``out``; called again after a kill,
    it continues. ``options`` are those of :class:`Training`.
    """
    training = Training(store, config, out, **options)

    def progress() -> float:
        if max_steps is not None:
            return training.step / max_steps
        return training.cpu_seconds() / (60 * cpu_minutes)

    while (done := progress()) < 1:
        training.advance(done)
        if training.step % save_every == 0:
            training.save()
    training.save()
    state = training.model.state_dict()
    half = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    save_tensors(out / "hubert.safetensors", {k: v.contiguous() for k, v in half.items()})
    write_atomically(out / "hubert.json", json.dumps(config.model_dump(), indent=1))
    return training.model


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--musdb", type=Path, required=True, help="MUSDB train folder")
    parser.add_argument("--work", type=Path, required=True, help="working folder (audio cache)")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cpu-minutes", type=float, default=4.0)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    config = TeacherConfig()
    files = musdb_files(args.musdb, None, set(validation_songs()))
    store = StemStore.build(args.work / "audio-train", files, config.rate)
    train(store, config, args.out, args.cpu_minutes)


if __name__ == "__main__":
    main()
