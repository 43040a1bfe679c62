"""Train the codec's discriminators inside each training step of the codec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from benchsep_training import checkpoint
from benchsep_training.batches import Turn
from benchsep_training.guard import NonFiniteGuard
from benchsep_training.loop import Parts, bare
from benchsep_training.processes import Processes
from torch import Tensor, nn

from tokensep.codec.discriminators import (
    DiscriminatorOutput,
    Discriminators,
    discriminator_loss,
    generator_losses,
)
from tokensep.config import CodecTrainConfig


class Adversary:
    """Discriminators, their optimizer, and their part of a checkpoint.

    They have their own check of gradients: a step whose gradient is not finite is skipped, and 50
    such steps in a row end the training, even if the codec's gradients are finite.
    """

    def __init__(self, config: CodecTrainConfig, folder: Path, processes: Processes) -> None:
        self.config, self.processes = config, processes
        self.model = Discriminators(config.losses).to(processes.device)
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
        )
        self.objective, self.optimizer = processes.wrap(self.model, optimizer)
        self.guard = NonFiniteGuard(f"{folder}, discriminators")

    def step(self, real: Tensor, fake: Tensor, turn: Turn, rate: float) -> float:
        """One batch of waves ``[B, T]`` for the discriminators; returns their loss.

        Their gradients are accumulated over the batches of a step, as the codec's are. Their
        weights are updated after the last batch, so the codec's losses of the earlier batches use
        the old weights.
        """
        pieces = self.config.accumulate
        last = turn.piece + 1 == pieces
        self.model.requires_grad_(True)
        with self.processes.accumulating(self.objective, last=last):
            # One pass over both: gradient averaging between processes allows only one a batch.
            outputs = self.objective(torch.cat([real, fake.detach()]))
            loss = discriminator_loss(*split_real_fake(outputs))
            self.processes.backward(loss / pieces)
        if last:
            self._move(rate, turn.step)
        return float(loss.detach())

    def _move(self, rate: float, step: int) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if self.guard.accepts(float(norm), step + 1):
            self.optimizer.step()
        self.optimizer.zero_grad()

    def generator_losses(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Adversarial and feature-matching loss of the codec; the discriminators stay fixed."""
        self.model.requires_grad_(False)
        outputs = self.model(torch.cat([real, fake]))
        adversarial, matching = generator_losses(*split_real_fake(outputs))
        return adversarial, matching

    def state(self) -> tuple[Parts, dict[str, Any]]:
        """Tensors and JSON for a checkpoint."""
        tensors, meta = checkpoint.optimizer_tensors(bare(self.optimizer))
        parts = {"discriminators": self.model.state_dict(), "discriminators_optimizer": tensors}
        skipped = self.guard.skipped_in_a_row
        return parts, {"discriminators_optimizer": meta, "discriminators_skipped": skipped}

    def load_state(self, parts: Parts, state: dict[str, Any]) -> None:
        """Inverse of :meth:`state`."""
        self.model.load_state_dict(parts["discriminators"])
        checkpoint.load_optimizer(
            bare(self.optimizer),
            parts["discriminators_optimizer"],
            state["discriminators_optimizer"],
        )
        self.guard.skipped_in_a_row = state["discriminators_skipped"]


def split_real_fake(
    outputs: list[DiscriminatorOutput],
) -> tuple[list[DiscriminatorOutput], list[DiscriminatorOutput]]:
    """Outputs of a batch whose first half is real and second half decoded, as two lists.

    Each output is the logits ``[2B, ...]`` of one discriminator and its feature maps ``[2B, ...]``.
    """
    real = [(x[: len(x) // 2], [f[: len(f) // 2] for f in fs]) for x, fs in outputs]
    return real, [(x[len(x) // 2 :], [f[len(f) // 2 :] for f in fs]) for x, fs in outputs]
