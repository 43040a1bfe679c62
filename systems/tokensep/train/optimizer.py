"""The LM's optimizer: weight decay of a parameter depends on its role, not on its shape.

Decayed: weights of linear maps and convolutions, and the token tables (each is an embedding and an
output head). Not decayed: gains and biases, among them the bias of every entry ``[K, V]``; the
symbols (stems ``[S, dim]``, start, null condition, layers of the depth head); and the precisions of
the latent regression, whose zero is a precision of 1 and no smaller model.
"""

from __future__ import annotations

import torch
from torch import nn

from tokensep.lm.config import LMTrainConfig
from tokensep.lm.model import TokenLM


def decayed_names(model: TokenLM) -> set[str]:
    """Names of the trained parameters that are decayed."""
    maps = (nn.Linear, nn.Conv1d)
    names = {f"{name}.weight" for name, part in model.named_modules() if isinstance(part, maps)}
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    return (names | {"tables"}) & trained


def make_optimizer(model: TokenLM, train: LMTrainConfig) -> torch.optim.AdamW:
    """AdamW over the trained parameters."""
    names = decayed_names(model)
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in trained if n in names], "weight_decay": train.weight_decay},
        {"params": [p for n, p in trained if n not in names], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=train.lr, betas=train.betas, fused=True)
