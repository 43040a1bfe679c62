"""Train ``hubert-mini``: predict the k-means class of log-mel frames that are hidden.

Run: ``python -m tokensep.train.hubert --musdb FOLDER --work DIR --out WEIGHTS --cpu-minutes 4``.

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

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as fn

from tokensep.codec.kmeans import kmeans, nearest
from tokensep.config import TeacherConfig
from tokensep.hubert import HubertMini
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


def train(
    store: StemStore,
    config: TeacherConfig,
    out: Path,
    cpu_minutes: float,
    batch: int = 16,
    seconds: float = 2.0,
    lr: float = 1e-3,
    seed: int = 0,
    max_steps: int = 1_000_000,
) -> HubertMini:
    """Train for ``cpu_minutes`` and write ``hubert.safetensors``, its config and its curve."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    length = round(seconds * config.rate / config.hop) * config.hop
    model = HubertMini(config)
    augment = Augment(sum_two=0.5)

    def waves(count: int) -> Tensor:
        return torch.from_numpy(codec_batch(store, count, length, rng, augment))

    began = time.process_time()
    with torch.no_grad():
        centres = fit_targets(model, waves(96))
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "hubert.csv").open("w") as handle:
        log = csv.writer(handle)
        log.writerow(["step", "cpu_seconds", "loss", "masked_accuracy"])
        for step in range(max_steps):
            done = (time.process_time() - began) / (60 * cpu_minutes)
            if done >= 1:
                break
            rate = (
                lr * min(1, (step + 1) / 50) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
            )
            optimizer.param_groups[0]["lr"] = rate
            wave = waves(batch)
            with torch.no_grad():
                features = (model.log_mel(wave) - model.mean) / model.std
                classes = nearest(features.flatten(0, 1), centres).reshape(batch, -1)
            mask = span_mask(batch, classes.shape[1], rng)
            logits = model(wave, mask)[mask]
            loss = fn.cross_entropy(logits, classes[mask])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if step % 20 == 0:
                right = (logits.argmax(-1) == classes[mask]).float().mean()
                row = [step, time.process_time() - began, loss.item(), right.item()]
                log.writerow([round(v, 4) for v in row])
                handle.flush()
                print(*(f"{v:.3f}" for v in row), flush=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file({k: v.contiguous() for k, v in half.items()}, out / "hubert.safetensors")
    (out / "hubert.json").write_text(json.dumps(config.model_dump(), indent=1))
    return model


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
