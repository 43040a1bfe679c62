"""Training of the small baselines on :class:`benchsep_training.loop.Loop`.

Conventions
-----------
budget    CPU seconds of the process, validation included and summed over restarts; steps instead
          make a run repeatable to the bit
export    ``<name>-mini.safetensors`` and its card, in the working folder
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from benchsep_training.budget import Budget, Every
from benchsep_training.ema import Ema
from benchsep_training.loop import Loop, LoopSettings
from benchsep_training.processes import Processes
from benchsep_training.schedule import WarmupCosine
from torch import Tensor

from benchsep_baselines.train import data
from benchsep_baselines.train.evaluate import evaluate
from benchsep_baselines.train.export import Trained, export
from benchsep_baselines.train.presets import Preset, build

FLOOR = 0.003
"""Of the mixture's power: below -25 dB an error, or a stem, is as good as silent."""

SAVE_EVERY = Every(cpu_seconds=60.0)


def log_error_ratio(estimate: Tensor, target: Tensor) -> Tensor:
    """``log10((|s - e|^2 + FLOOR) / (|s|^2 + FLOOR))``, mean over items and stems: -uSDR / 10.

    Both arguments are ``[B, 4, 2, T]``; powers are means over channels and samples.

    Most separators train with L1. Its optimum is a median, which for a weak model of a quiet stem
    is silence. Squared error leads to the mean, and the logarithm gives quiet stems the weight of
    loud ones. The two were not compared with all else equal; the model cards say what was tried.
    """
    error = (estimate - target).square().mean((-2, -1))
    power = target.square().mean((-2, -1))
    return ((error + FLOOR) / (power + FLOOR)).log10().mean()


class BaselineTrainer(Loop):
    """One model under training in a working folder, in one process on the CPU.

    Parameters
    ----------
    name : ``bs_roformer`` or ``htdemucs``.
    train, valid : songs ``[4, 2, T]`` (:func:`benchsep_baselines.train.data.load_songs`).
    validate : how often, besides the validation at the end.
    """

    ema: Ema

    def __init__(
        self,
        name: str,
        preset: Preset,
        folder: Path,
        train: list[data.Song],
        valid: list[data.Song],
        budget: Budget,
        *,
        seed: int = 0,
        validate: Every = Every(),
        save: Every = SAVE_EVERY,
    ) -> None:
        torch.manual_seed(seed)
        self.name, self.preset, self.seed = name, preset, seed
        self.train, self.valid, self.budget = train, valid, budget
        model = build(name, preset.arguments)
        super().__init__(
            folder,
            model,
            torch.optim.AdamW(
                model.parameters(), lr=preset.rate, betas=(0.9, 0.98), weight_decay=0.01
            ),
            LoopSettings(
                budget,
                WarmupCosine(preset.rate, preset.warmup, 0.02),
                validate=validate,
                save=save,
            ),
            processes=Processes(alone=True),
            ema=Ema(model, 0.995, warmup=20),
        )

    @property
    def average(self) -> dict[str, Tensor]:
        """State of the model with averaged weights: what is exported."""
        return self.ema.state_dict(self.model)

    def loss(self, piece: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the step's batch, which is a function of (seed, step)."""
        mixture, target = data.batch(
            self.train,
            seed=self.seed,
            step=self.step,
            size=self.preset.batch,
            frames=round(self.preset.seconds * data.RATE),
        )
        loss = log_error_ratio(self.objective(torch.from_numpy(mixture)), torch.from_numpy(target))
        return loss, {"loss": loss}

    def validate(self) -> dict[str, Any]:
        """Mean uSDR over the validation songs."""
        return {"usdr": evaluate(self.name, self.preset, self.model.state_dict(), self.valid)}

    def score(self, result: dict[str, Any]) -> float:
        """Lower is better; the last average is exported, whatever was best."""
        return -float(result["usdr"]["mean"])

    def export(self) -> None:
        """Write the weights and their card."""
        steps, minutes = self.budget.steps, self.budget.cpu_minutes
        trained = Trained(
            name=self.name,
            preset=self.preset,
            state=self.average,
            parameters=sum(p.numel() for p in self.model.parameters()),
            songs=len(self.train),
            minutes=self.spent.cpu / 60,
            bound=f"--cpu-minutes {minutes:g}" if minutes else f"--steps {steps}",
            steps=self.step,
            seed=self.seed,
            curve=self.valid_log.rows(),
        )
        export(trained, self.folder, self.valid)
