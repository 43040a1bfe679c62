"""Fit the configuration of an LM to the codec that it is trained on."""

from __future__ import annotations

from typing import Any

import torch

from tokensep.codec.interface import device_of
from tokensep.lm.config import TokenSepConfig


def fit_config(config: TokenSepConfig, codec: Any) -> TokenSepConfig:
    """The configuration with the codec's facts; the delays must have been made for its layers."""
    silence = torch.zeros(1, codec.frame_hop, device=device_of(codec))
    width = codec.latents(codec.encode(silence)).shape[-1]
    return TokenSepConfig.model_validate(
        {
            **config.model_dump(),
            "rate": codec.rate,
            "frame_hop": codec.frame_hop,
            "codebook_size": codec.codebook_size,
            "semantic_layers": codec.semantic_layers,
            "acoustic_layers": codec.acoustic_layers,
            "encoder": {**config.encoder.model_dump(), "latent_dim": width},
        }
    )
