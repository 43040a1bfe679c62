"""The LM's training loss (weighted negative log-likelihood of tokens) and its validation."""

from __future__ import annotations

from typing import Any

import torch
from benchsep_training.processes import Processes
from torch import Tensor, nn

from tokensep.lm import losses
from tokensep.lm.config import LMTrainConfig, TokenSepConfig
from tokensep.lm.model import TokenLM
from tokensep.train.token_dataset import Crop, stacked


class Objective(nn.Module):
    """Loss of a batch; this is the module that DDP wraps.

    ``loss = sum_k w_k NLL_k + regression * latent error``: the mean over crops, stems and steps of
    each layer's negative log-likelihood, weighted over layers by ``w`` (they sum to 1).
    """

    weights: Tensor

    def __init__(self, model: TokenLM, train: LMTrainConfig) -> None:
        super().__init__()
        self.model, self.train_config = model, train
        weights = losses.layer_weights(
            train.loss,
            model.config.semantic_layers,
            model.config.acoustic_layers,
            train.loss_factor,
        )
        self.register_buffer("weights", weights, persistent=False)

    def forward(
        self,
        wave: Tensor,
        codes: Tensor,
        latents: Tensor | None,
        *,
        hide: Tensor | None = None,
        keep: Tensor | None = None,
        sampled: Tensor | None = None,
        parallel: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Scalar loss, and NLL and accuracy per stem and layer ``[S, K]``.

        Parameters
        ----------
        wave : mixtures ``[B, T]``.
        codes : true tokens ``[B, S, K, F]``.
        latents : the codec's latents of the mixtures ``[B, F, W]``, where the encoder takes them.
        hide : ``[B]``, crops whose mixture is replaced by the learned null condition.
        keep : ``[B, S, N]``, steps whose input tokens are visible.
        sampled : ``[B, S, N]``, steps whose input tokens the model draws itself.
        parallel : stems do not see each other.
        """
        cond = self.model.condition(wave, latents)  # [B, F, D]
        if hide is not None:
            cond = torch.where(hide[:, None, None], self.model.null.expand_as(cond), cond)
        view: dict[str, Any] = {"parallel": parallel, "keep": keep}
        own_grid = None
        if sampled is not None:
            own_grid = self.model.scheduled_sampling_grid(codes, cond, sampled, **view)
        parts, error = self.model.token_logits(codes, cond, input_grid=own_grid, **view)
        smoothing = self.train_config.label_smoothing if self.training else 0.0
        nll, accuracy = losses.token_nll_of_parts(
            parts, codes.shape[1:3], label_smoothing=smoothing
        )
        loss = losses.weighted_nll(nll, self.weights)
        if self.training:
            loss = loss + self.train_config.regression * error
        self.error = error.detach()
        return loss, nll.detach(), accuracy


@torch.no_grad()
def mixture_latents(codec: Any, wave: Tensor, config: TokenSepConfig) -> Tensor | None:
    """The codec's latents of the mixture ``[B, F, W]``, if the encoder takes them."""
    if config.encoder.kind != "conformer" or not config.encoder.codec_latents:
        return None
    latents: Tensor = codec.latents(codec.encode(wave)).clone()
    return latents


@torch.no_grad()
def validate(
    objective: Objective, crops: list[Crop], codec: Any, processes: Processes, batch: int = 6
) -> dict[str, Any]:
    """Teacher-forced NLL and accuracy over fixed crops: weighted, per layer, per stem.

    Each process takes its share of the crops; all return the result of all crops.
    """
    objective.eval()
    config = objective.model.config
    # sums over crops: NLL [S, K], accuracy [S, K], (latent error, crops)
    nll = torch.zeros(len(config.stems), config.layers)
    accuracy = torch.zeros_like(nll)
    error, total = 0.0, 0
    device, crops = objective.weights.device, crops[processes.rank :: processes.count]
    for at in range(0, len(crops), batch):
        wave, codes = (t.to(device) for t in stacked(crops[at : at + batch]))
        _, nll_of_batch, hits = objective(wave, codes, mixture_latents(codec, wave, config))
        # means over crops of a batch, whose last one may be smaller
        nll += nll_of_batch.cpu() * len(wave)
        accuracy += hits.cpu() * len(wave)
        error += float(objective.error) * len(wave)
        total += len(wave)
    objective.train()
    error, total = processes.total(torch.tensor([error, total], dtype=torch.float64)).tolist()
    nll, accuracy = processes.total(nll) / total, processes.total(accuracy) / total
    return {
        "latent_error": round(error / total, 4),
        "loss": float(losses.weighted_nll(nll, objective.weights.cpu())),
        "nll": round(float(nll.mean()), 4),
        "accuracy": round(float(accuracy.mean()), 4),
        "nll_layer": _rounded(nll.mean(0)),
        "accuracy_layer": _rounded(accuracy.mean(0)),
        "nll_stem": dict(zip(config.stems, _rounded(nll.mean(1)), strict=True)),
        "accuracy_stem": dict(zip(config.stems, _rounded(accuracy.mean(1)), strict=True)),
    }


def _rounded(values: Tensor) -> list[float]:
    return [round(x, 4) for x in values.tolist()]
