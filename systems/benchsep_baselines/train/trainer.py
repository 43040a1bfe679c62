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

from benchsep._util.tensors import load_strictly
from benchsep_baselines.safe_load import load_safetensors
from benchsep_baselines.train import data
from benchsep_baselines.train.evaluate import evaluate
from benchsep_baselines.train.export import Trained, export
from benchsep_baselines.train.losses import log_error_ratio, spectral_distance
from benchsep_baselines.train.presets import Course, Preset, build

SAVE_EVERY = Every(cpu_seconds=60.0)


class BaselineTrainer(Loop):
    """The training of one model in a working folder, in one process on the CPU.

    Parameters
    ----------
    name : ``bs_roformer`` or ``htdemucs``.
    train, valid : songs ``[4, 2, T]`` (:func:`benchsep_baselines.train.data.load_songs`).
    validate : period of validations, in addition to the one at the end.
    """

    ema: Ema

    def __init__(
        self,
        name: str,
        preset: Preset,
        folder: Path,
        train: data.Material,
        valid: list[data.Song],
        budget: Budget,
        *,
        course: Course = Course(),
        seed: int = 0,
        validate: Every = Every(),
        save: Every = SAVE_EVERY,
    ) -> None:
        torch.manual_seed(seed)
        self.name, self.preset, self.seed = name, preset, seed
        self.train, self.valid, self.budget = train, valid, budget
        self.course = course
        model = build(name, preset.arguments)
        if course.init is not None:
            load_strictly(model, load_safetensors(course.init)[0], course.init)
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
            self.course.mixing,
            seed=self.seed,
            step=self.step,
            size=self.preset.batch,
            frames=round(self.preset.seconds * data.RATE),
        )
        estimate, true = self.objective(torch.from_numpy(mixture)), torch.from_numpy(target)
        error = log_error_ratio(estimate, true)
        terms = {"error": error}
        loss = error
        if self.course.spectral:
            terms["spectral"] = spectral_distance(estimate, true, self.course.excess)
            loss = error + self.course.spectral * terms["spectral"]
        return loss, terms | {"loss": loss}

    def validate(self) -> dict[str, Any]:
        """Mean uSDR over the validation songs."""
        return {"usdr": evaluate(self.name, self.preset, self.model.state_dict(), self.valid)}

    def score(self, result: dict[str, Any]) -> float:
        """Lower is better. The last average is exported, not the best one."""
        return -float(result["usdr"]["mean"])

    def export(self) -> None:
        """Write the weights and their card."""
        steps, minutes = self.budget.steps, self.budget.cpu_minutes
        trained = Trained(
            name=self.name,
            preset=self.preset,
            state=self.average,
            parameters=sum(p.numel() for p in self.model.parameters()),
            material=self.train,
            course=self.course,
            minutes=self.spent.cpu / 60,
            bound=f"--cpu-minutes {minutes:g}" if minutes else f"--steps {steps}",
            steps=self.step,
            seed=self.seed,
            curve=self.valid_log.rows(),
        )
        export(trained, self.folder, self.valid)
