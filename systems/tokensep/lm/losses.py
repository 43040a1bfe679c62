"""The LM's objective: per-token negative log-likelihood, weighted per layer.

Conventions
-----------
logits ``[B, S, N, K, V]``, grid ``[B, S, N, K]`` with ``pad = V`` where there is no token. Layers:
semantic first. Natural logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from tokensep.errors import ConfigError
from tokensep.lm.model import TokenLogits


def layer_weights(scheme: str, semantic: int, acoustic: int, factor: float) -> Tensor:
    """Weights ``[K]`` with sum 1.

    ``uniform``; ``first_heavy``: the first layer of each stream counts ``factor`` times;
    ``geometric``: layer q of each stream counts ``factor ** q``.
    """
    streams = [count for count in (semantic, acoustic) if count]
    depth = torch.cat([torch.arange(count) for count in streams]).float()
    if scheme == "uniform":
        weights = torch.ones_like(depth)
    elif scheme == "first_heavy":
        weights = torch.where(depth == 0, factor, 1.0)
    elif scheme == "geometric":
        weights = factor**depth
    else:
        raise ConfigError(
            f"found the loss scheme {scheme!r}, expected 'uniform', 'first_heavy' or 'geometric'"
        )
    return weights / weights.sum()


def token_nll(
    logits: Tensor, grid: Tensor, *, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean NLL and accuracy per stem and layer, ``[S, K]`` each; padding does not count."""
    entries = logits.shape[-1]
    is_token = grid < entries
    target = grid.clamp_max(entries - 1)
    nll = F.cross_entropy(
        logits.flatten(0, -2),
        target.flatten(),
        reduction="none",
        label_smoothing=label_smoothing,
    ).view_as(grid)
    hit = (logits.detach().argmax(-1) == target) & is_token
    # over crops and steps: [B, S, N, K] -> [S, K]
    count = is_token.sum((0, 2)).clamp_min(1)
    return (nll * is_token).sum((0, 2)) / count, hit.sum((0, 2)) / count


def token_nll_of_parts(
    parts: Sequence[TokenLogits], shape: Sequence[int], *, label_smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """:func:`token_nll` of logits in parts that together hold each layer once: ``[S, K]``."""
    of_parts = [token_nll(p.logits, p.grid, label_smoothing=label_smoothing) for p in parts]
    if len(parts) == 1:
        return of_parts[0]
    nll, accuracy = (of_parts[0][i].new_empty(shape) for i in (0, 1))
    for part, (nll_of_part, accuracy_of_part) in zip(parts, of_parts, strict=True):
        nll[:, part.layers], accuracy[:, part.layers] = nll_of_part, accuracy_of_part
    return nll, accuracy


def weighted_nll(per_layer: Tensor, weights: Tensor) -> Tensor:
    """``[S, K]`` and ``[K]`` → the scalar to minimise."""
    return (per_layer.mean(0) * weights.to(per_layer)).sum()
