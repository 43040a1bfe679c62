"""The training loop: every trainer of this repository is a subclass of :class:`Loop`.

A step
------
1. Learning rate of this step (:mod:`benchsep_training.schedule`).
2. ``accumulate`` batches: the subclass gives each one's loss, gradients add up; under several
   processes they are averaged once, with the last batch.
3. The gradient is clipped. If its norm is NaN or infinite the step is skipped
   (:mod:`benchsep_training.guard`); 50 skipped steps in a row end the training with an error.
4. The moving average follows the weights (:mod:`benchsep_training.ema`).

Files in the folder of a training
---------------------------------
``checkpoints/step-N``  everything that a killed training needs to continue exactly
``train.csv``           means of the loss terms since the row before
``valid.jsonl``         one row per validation, written after everything else of it was done
``tensorboard/``        if TensorBoard is installed

Several processes
-----------------
Rank 0 writes files. Each process validates its share of the validation data, and the sums are
added up: see :meth:`Loop.validate`. If anything depends on time (budget, validation, saving), all
processes use the clock of rank 0, so that they take the same steps. It is read and sent (two
numbers) every :data:`CLOCK_STEPS` steps and constant between: the learning rate then changes in
steps, and a training may end up to that many steps late. If all bounds are in steps, only gradients
are sent.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchsep.errors import CheckpointError
from benchsep_training import checkpoint
from benchsep_training.batches import BatchSource, Turn
from benchsep_training.budget import NEVER, Budget, Every, Spent, Stopwatch
from benchsep_training.ema import Ema
from benchsep_training.guard import NonFiniteGuard
from benchsep_training.logs import CsvLog, JsonLog
from benchsep_training.monitor import TrainingMonitor
from benchsep_training.processes import Processes
from benchsep_training.schedule import WarmupCosine

Parts = dict[str, dict[str, Tensor]]

EVERY_100_STEPS = Every(steps=100)
CLOCK_STEPS = 10
"""Steps between two readings of the common clock of several processes; a single process reads its
clock after every step."""


@dataclass(frozen=True)
class LoopSettings:
    """The settings of the loop; the subclass has the others."""

    budget: Budget
    schedule: WarmupCosine
    clip: float = 1.0
    """Largest norm of the gradient."""
    accumulate: int = 1
    """Batches per optimizer step."""
    validate: Every = NEVER
    save: Every = EVERY_100_STEPS
    log_every: int = 20
    """Steps per row of ``train.csv``."""

    @property
    def timed(self) -> bool:
        """Whether any setting depends on a clock."""
        return self.budget.timed or self.validate.timed or self.save.timed


class Loop(ABC):
    """One training in one folder: start or resume, step, validate, save, export.

    Parameters
    ----------
    folder : folder of checkpoints and logs.
    model : the model that is trained, averaged and saved, on the device of ``processes``.
    optimizer : over the model's parameters.
    objective : the module that :meth:`loss` calls, if not ``model`` itself; DDP wraps it.
    batches : source of batches for :meth:`loss` (:mod:`benchsep_training.batches`); its state is
        saved. None: the subclass makes the batches.
    rng : random generator of the subclass; its state is saved. None: all draws are functions of
        (seed, step), so a training may continue with another number of processes.
    """

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: LoopSettings,
        *,
        processes: Processes,
        objective: nn.Module | None = None,
        ema: Ema | None = None,
        batches: BatchSource[Any] | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.folder, self.model, self.settings = folder, model, settings
        self.processes, self.ema, self.batches, self.rng = processes, ema, batches, rng
        self.objective, self.optimizer = processes.wrap(objective or model, optimizer)
        self.guard = NonFiniteGuard(str(folder))
        self.spent, self.stopwatch = Spent(), Stopwatch(Spent())
        self.best = math.inf
        self.rate = 0.0
        self.data_wait = 0.0
        """Seconds that this step has waited for batches."""
        self.sums: dict[str, float] = {}
        """Values summed since the last row of ``train.csv``, over :attr:`summed` steps."""
        self.summed = 0
        self.train_log, self.valid_log = (
            CsvLog(folder / "train.csv"),
            JsonLog(folder / "valid.jsonl"),
        )
        self.monitor = TrainingMonitor(folder, 0, active=False)

    @property
    def step(self) -> int:
        """Number of optimizer steps, including skipped ones."""
        return self.spent.step

    def turn(self, piece: int) -> Turn:
        """The :class:`Turn` of batch ``piece`` of this step and process."""
        return Turn(self.step, piece, self.processes.rank, self.processes.count)

    def next_batch(self, piece: int) -> Any:
        """Batch ``piece`` of this step and process; the wait for it is logged (``data_wait``)."""
        assert self.batches is not None
        began = time.perf_counter()
        batch = self.batches.batch(self.turn(piece))
        self.data_wait += time.perf_counter() - began
        return batch

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    # --- what a subclass gives; everything but the loss may be left out ------------------------

    @abstractmethod
    def loss(self, piece: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Loss of batch ``piece`` (0 to ``accumulate - 1``) of this step, and values to log."""

    def start(self) -> None:  # noqa: B027
        """Prepare a new training (not a resumed one), before its first step."""

    def validate(self) -> dict[str, Any] | None:
        """Scores of ``model``, which holds the averaged weights; None without validation data.

        Called on every process, and must return the same scores of all data on each; a process may
        compute only its share (:meth:`Processes.total`).
        """
        return None

    def score(self, result: dict[str, Any]) -> float:
        """The number by which the best validation is chosen; lower is better."""
        return float(result["loss"])

    def save_best(self) -> None:  # noqa: B027
        """Store ``model``, which holds the averaged weights of the best validation; on rank 0."""

    def export(self) -> None:  # noqa: B027
        """Write the result of the training; called once at its end, on rank 0."""

    def more_state(self) -> tuple[Parts, dict[str, Any]]:
        """Additional tensors and JSON for a checkpoint."""
        return {}, {}

    def load_more_state(  # noqa: B027
        self, parts: Parts, state: dict[str, Any]
    ) -> None:
        """Inverse of :meth:`more_state`."""

    # --- a training ----------------------------------------------------------------------------

    def run(self, *, stop_after: int | None = None) -> dict[str, Any]:
        """Train to the end of the budget (resuming from a checkpoint in the folder) and export.

        Parameters
        ----------
        stop_after : save and return after this many steps of this call, without export.

        Returns
        -------
        dict
            Row of the last validation; only ``step`` if there was none.

        Raises
        ------
        CheckpointError
            The checkpoint cannot be read, or belongs to another configuration.
        TrainingError
            The gradients are no longer finite.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.resume():
            self.start()
        first = self.processes.rank == 0
        if first:  # also if a run was killed before its first checkpoint
            self.train_log.cut(self.step)
            self.valid_log.cut(self.step)
        self.monitor = TrainingMonitor(self.folder, self.step, active=first)
        try:
            return self._run(stop_after)
        finally:
            self.monitor.close()
            if self.batches is not None:
                self.batches.close()

    def _run(self, stop_after: int | None) -> dict[str, Any]:
        begin, result = self.step, {"step": self.step}
        self.model.train()
        while self.progress() < 1:
            if stop_after is not None and self.step - begin >= stop_after:
                self.save()
                return result
            before = self.spent
            self._log(self.update())
            self._read_clock()
            if self.settings.validate.passed(before, self.spent):
                result = self.evaluate()
            if self.settings.save.passed(before, self.spent):
                self.save()
        result = self.evaluate()
        self.save()
        if self.processes.rank == 0:
            self.export()
        return result

    def progress(self) -> float:
        """Share of the budget that is used, 0 to 1; the same on every process."""
        return self.settings.budget.progress(self.spent)

    def _read_clock(self) -> None:
        own = self.stopwatch.read(self.step)
        if self.processes.count == 1 or not self.settings.timed:
            self.spent = own
        elif self.step % CLOCK_STEPS == 0:
            times = torch.tensor([own.cpu, own.wall], dtype=torch.float64)
            cpu, wall = self.processes.tensor_from_first(times).tolist()
            self.spent = Spent(self.step, cpu, wall)

    def update(self) -> dict[str, float]:
        """One optimizer step; returns the values to log."""
        settings = self.settings
        self.rate = settings.schedule.at(self.step, self.progress())
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate
        values: dict[str, float] = {}
        self.data_wait = 0.0
        for piece in range(settings.accumulate):
            last = piece + 1 == settings.accumulate
            with self.processes.accumulating(self.objective, last=last):
                loss, terms = self.loss(piece)
                self.processes.backward(loss / settings.accumulate)
            for name, value in terms.items():
                number = float(value.detach() if isinstance(value, Tensor) else value)
                values[name] = values.get(name, 0.0) + number / settings.accumulate
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip))
        if self.guard.accepts(norm, self.step + 1):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.spent = replace(self.spent, step=self.step + 1)
        if self.ema is not None:
            self.ema.update(self.model, self.step)
        if self.batches is not None:
            values["data_wait"] = self.data_wait
        return values | {"grad_norm": norm, "lr": self.rate}

    def _log(self, values: dict[str, float]) -> None:
        """Show the step, and write a row of means every ``log_every`` steps."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.summed += 1
        first = self.processes.rank == 0
        if self.step % self.settings.log_every == 0:
            means = {name: total / self.summed for name, total in self.sums.items()}
            self.sums, self.summed = {}, 0
            if first:
                self.train_log.write({"step": self.step, "cpu_seconds": self.spent.cpu, **means})
        self.monitor.step(self.step, self.progress(), values)

    # --- validation ----------------------------------------------------------------------------

    def evaluate(self) -> dict[str, Any]:
        """Validate the averaged weights, at most once per step; keep the best.

        The row is written last and marks a complete validation; a run that was killed before
        repeats it.
        """
        first = self.processes.rank == 0
        done = self.processes.from_first(self.valid_log.row_of(self.step) if first else None)
        if done is not None:
            return done
        if self.ema is None:
            result = self._validate()
        else:
            with self.ema.applied(self.model):
                result = self._validate()
        row: dict[str, Any] = {"step": self.step}
        if result is not None:
            row |= {"cpu_seconds": round(self.spent.cpu, 1), **result}
            if first:
                self.valid_log.write(row)
            self.monitor.valid(self.step, result)
        return row

    def _validate(self) -> dict[str, Any] | None:
        self.model.eval()
        result = self.validate()
        if result is not None and (score := self.score(result)) < self.best:
            self.best = score
            if self.processes.rank == 0:
                self.save_best()
        self.model.train()
        return result

    # --- checkpoints ---------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint (rank 0; every process must call it)."""
        random = self.processes.gather(checkpoint.rng_state(self.rng))
        places = self.processes.gather(self.batches.state() if self.batches is not None else {})
        if self.processes.rank == 0:
            tensors, meta = checkpoint.optimizer_tensors(bare(self.optimizer))
            parts, state = self.more_state()
            parts |= {"model": self.model.state_dict(), "optimizer": tensors}
            if self.ema is not None:
                parts["ema"] = self.ema.shadow
            state |= {
                "optimizer": meta,
                "rng": random,
                "batches": places,
                "spent": asdict(self.stopwatch.read(self.step)),
                "best": self.best,
                "skipped_in_a_row": self.guard.skipped_in_a_row,
                "sums": self.sums,
                "summed": self.summed,
            }
            checkpoint.save(self.checkpoints, self.step, parts, state)
        self.processes.wait()

    def resume(self) -> bool:
        """Continue from the newest checkpoint; False if there is none.

        Raises
        ------
        CheckpointError
            It is corrupt, of another configuration, or of another number of processes.
        """
        saved = checkpoint.checkpoints(self.checkpoints)
        if not saved:
            return False
        parts, state = checkpoint.load(saved[-1])
        random, places = state.get("rng", []), state.get("batches", [])
        count, rank = self.processes.count, self.processes.rank
        if (self.rng is not None or any(places)) and len(random) != count:
            raise CheckpointError(
                f"{saved[-1]} was written by {len(random)} processes and this run has {count}; "
                "start as many processes, or use another folder"
            )
        try:
            self._restore(parts, state)
            checkpoint.load_rng(random[rank % len(random)], self.rng)
            if self.batches is not None and any(places):
                self.batches.load_state(places[rank])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"{saved[-1]} was made with another configuration ({reason}); use another folder, "
                "or delete the checkpoint to begin again"
            ) from error
        return True

    def _restore(self, parts: Parts, state: dict[str, Any]) -> None:
        self.model.load_state_dict(parts["model"])
        checkpoint.load_optimizer(bare(self.optimizer), parts["optimizer"], state["optimizer"])
        if self.ema is not None:
            self.ema.restore(parts["ema"])
        self.load_more_state(parts, state)
        self.best, self.sums, self.summed = state["best"], state["sums"], state["summed"]
        self.guard.skipped_in_a_row = state["skipped_in_a_row"]
        self.spent = Spent(**state["spent"])
        self.stopwatch = Stopwatch(self.spent)


def bare(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer inside ``accelerate``'s wrapper, which saves and loads it differently."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner
