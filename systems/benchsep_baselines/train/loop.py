"""The training loop: a CPU-time budget, exact resume, validation in uSDR.

Conventions
-----------
budget    seconds of this process (``time.process_time``), validation included; summed over
          restarts in the checkpoint. ``steps`` instead of a budget makes a run repeatable
          to the bit.
state     ``state.pt`` in the working folder, written atomically every minute: model, average,
          optimiser, step, seconds, curve
uSDR      ``10 log10((|s|² + 1e-7) / (|s - ŝ|² + 1e-7))`` over a whole excerpt; mean over songs
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchsep._util.atomic import replacing, sweep, write_atomically
from benchsep.errors import CheckpointError
from benchsep_baselines.train import data
from benchsep_baselines.train.minis import Mini, build


@dataclass
class Limits:
    """When to stop, and how often to look (CPU seconds)."""

    seconds: float
    steps: int | None = None
    validate_every: float = 360.0
    save_every: float = 60.0
    log_every: int = 20

    def progress(self, step: int, seconds: float) -> float:
        """The fraction of the budget that is used: it drives the learning rate."""
        return step / self.steps if self.steps else seconds / self.seconds


FLOOR = 0.003
"""Of the mixture's power: below -25 dB an error, or a stem, is as good as silent."""


def loss_of(estimate: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """``log10((|s - ŝ|² + e) / (|s|² + e))``, the mean over items and stems: -uSDR / 10.

    Why not L1, which most separators train with: its optimum is a median, which for a weak
    model of a quiet stem is silence. Squared error wants the mean, and the logarithm weighs
    quiet stems as much as loud ones: it is the measure itself. The two were not compared with
    all else equal; what was tried is in the model cards.
    """
    error = (estimate - target).square().mean((-2, -1))
    power = target.square().mean((-2, -1))
    return ((error + FLOOR) / (power + FLOOR)).log10().mean()


class Training:
    """One model under training in a working folder.

    Raises
    ------
    CheckpointError
        the folder holds a damaged state, or that of another model.
    """

    def __init__(self, name: str, mini: Mini, folder: Path, *, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.name, self.mini, self.folder, self.seed = name, mini, folder, seed
        self.model = build(name, mini.arguments).train()
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=mini.rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        self.step, self.seconds = 0, 0.0
        self.curve: list[dict[str, Any]] = []
        self._mark = time.process_time()
        if self.state_file.is_file():
            self._restore()

    @property
    def state_file(self) -> Path:
        return self.folder / "state.pt"

    def run(self, train: list[np.ndarray], valid: list[np.ndarray], limits: Limits) -> None:
        """Train until the limits are reached, validating and saving on the way."""
        due_check = limits.validate_every * (1 + self.seconds // limits.validate_every)
        due_save = self.seconds + limits.save_every
        while (progress := limits.progress(self.step, self._clock())) < 1:
            loss = self._advance(train, progress)
            if self.step % limits.log_every == 0:
                print(f"step {self.step} cpu {self._clock():.0f}s loss {loss:.4f}", flush=True)
            if limits.steps is None and self._clock() >= due_check:
                due_check += limits.validate_every
                self._validate(valid)
            if self._clock() >= due_save:
                self.save()
                due_save = self._clock() + limits.save_every
        if not self.curve or self.curve[-1]["step"] != self.step:
            self._validate(valid)
        self.save()

    def save(self) -> None:
        """Everything that a later process needs to go on as if nothing had happened."""
        self._clock()
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "random": torch.get_rng_state(),
        }
        with replacing(self.state_file) as partial:
            try:
                torch.save(state, partial)
            except RuntimeError as error:  # how torch reports a full disk
                raise OSError(str(error)) from error
        write_atomically(self.folder / "curve.json", json.dumps(self.curve, indent=1))
        sweep([self.folder])

    def _restore(self) -> None:
        try:
            state = torch.load(self.state_file, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average = state["average"]
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
            torch.set_rng_state(state["random"])
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{self.state_file} is no state of this training ({said}); use another "
                "--out folder, or delete the file to begin again"
            ) from error

    def _clock(self) -> float:
        now = time.process_time()
        self.seconds += now - self._mark
        self._mark = now
        return self.seconds

    def _advance(self, songs: list[np.ndarray], progress: float) -> float:
        mixture, target = data.batch(
            songs,
            seed=self.seed,
            step=self.step,
            size=self.mini.batch,
            frames=round(self.mini.seconds * data.RATE),
        )
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(progress)
        loss = loss_of(self.model(torch.from_numpy(mixture)), torch.from_numpy(target))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def _rate(self, progress: float) -> float:
        warm = min(1.0, (self.step + 1) / self.mini.warmup)
        return self.mini.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))

    def _update_average(self) -> None:
        decay = min(0.995, (1 + self.step) / (20 + self.step))
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - decay)
            else:
                self.average[key].copy_(value)

    def _validate(self, songs: list[np.ndarray]) -> None:
        scores = evaluate(self.name, self.mini, self.average, songs)
        entry = {"step": self.step, "cpu_seconds": round(self._clock(), 1), "usdr": scores}
        self.curve.append(entry)
        print("validation " + json.dumps(entry), flush=True)


def evaluate(
    name: str, mini: Mini, state: dict[str, torch.Tensor], songs: list[np.ndarray]
) -> dict[str, float]:
    """Mean uSDR per stem over ``songs``, and the mean of the four under ``mean``."""
    with torch.random.fork_rng():
        model = build(name, mini.arguments)
    model.load_state_dict(state)
    model.eval()
    scores = np.array([_usdr(song, _separate(name, model, song)) for song in songs])
    result = {
        stem: round(float(v), 3) for stem, v in zip(data.SOURCES, scores.mean(0), strict=True)
    }
    return result | {"mean": round(float(scores.mean()), 3)}


def _separate(name: str, model: Any, song: np.ndarray) -> np.ndarray:
    mixture = torch.from_numpy(song.astype(np.float32).sum(0))
    with torch.inference_mode():
        if name == "bs_roformer":
            return model(mixture[None])[0].numpy()
        from demucs.apply import apply_model

        mean, std = mixture.mean(0).mean(), mixture.mean(0).std() + 1e-8
        out = apply_model(model, ((mixture - mean) / std)[None], shifts=0, overlap=0.25)
        return (out * std + mean)[0].numpy()


def _usdr(song: np.ndarray, estimate: np.ndarray) -> list[float]:
    true = song.astype(np.float64)
    error = ((true - estimate) ** 2).sum((1, 2))
    return list(10 * np.log10(((true**2).sum((1, 2)) + 1e-7) / (error + 1e-7)))
