"""How the LM of each preset is trained; ``configs/tokensep/*-lm.yaml`` say where values are from.

A test keeps these equal to the files. ``mini`` has the defaults: the phases of the shipped one are
the files ``mini-lm*.yaml``.
"""

from __future__ import annotations

from tokensep.lm.config import LMTrainConfig

TRAINING: dict[str, LMTrainConfig] = {
    "mini": LMTrainConfig(),
    "small": LMTrainConfig(
        batch=32,
        precision="bf16",
        lr=5e-4,
        warmup=2000,
        ema=0.999,
        max_steps=300_000,
        eval_every=2500,
        save_every=1000,
        label_smoothing=0.1,
        token_dropout=0.1,
        workers=4,
    ),
    "paper": LMTrainConfig(
        batch=16,
        precision="bf16",
        lr=3e-4,
        warmup=2000,
        ema=0.9999,
        max_steps=500_000,
        eval_every=5000,
        save_every=1000,
        loss="first_heavy",
        loss_factor=5.0,
        label_smoothing=0.1,
        condition_dropout=0.0,
        token_dropout=0.0,
        remix=0.0,
        variants=1,
        workers=8,
    ),
}
