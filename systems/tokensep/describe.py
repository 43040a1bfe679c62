"""Sizes and costs of a configuration, computed from its networks: ``tokensep info``.

Conventions
-----------
Parameters are counted on meta tensors (nothing is allocated). FLOPs count a multiply-add as two,
matrix products only. A step is one position of the LM for one stem; all four stems are counted.
"""

from __future__ import annotations

from typing import Any

import torch

from tokensep.config import CodecConfig
from tokensep.lm import layout as layouts
from tokensep.lm.config import LayoutConfig, TokenSepConfig
from tokensep.lm.model import TokenLM


def count(module: torch.nn.Module) -> int:
    """Parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def codec_counts(config: CodecConfig) -> dict[str, int]:
    """Parameters per part of the codec, its codebooks included, without the teacher."""
    from tokensep.codec.model import HCodec

    with torch.device("meta"):
        codec = HCodec(config, teacher=NoTeacher(config))
    parts = {name: count(child) for name, child in codec.named_children() if name != "teacher"}
    books = config.codebook_size * config.latent_dim
    parts["codebooks"] = books * (config.acoustic_layers + config.semantic_layers)
    return {name: number for name, number in parts.items() if number}


class NoTeacher(torch.nn.Module):
    """A placeholder for the frozen teacher, which does not count as part of the codec."""

    def __init__(self, config: CodecConfig) -> None:
        super().__init__()
        self.dim = config.teacher.dim if config.teacher.kind == "mini" else 768


def steps_of(config: TokenSepConfig, kind: str, seconds: float) -> int:
    """LM steps for all stems of ``seconds`` of music under one layout."""
    delays = config.layout.delays if kind == "grouped-delay" else None
    other = config.model_copy(update={"layout": LayoutConfig(kind=kind, delays=delays)})  # type: ignore[arg-type]
    frames = round(seconds * config.frame_rate)
    return layouts.build(other).steps(frames) * len(config.stems)


def head_products(model: TokenLM) -> int:
    """Multiply-adds of a step outside the decoder: tokens in, heads, every layer's scores."""
    total = count(model.embed_in) + model.tables.numel()
    if model.depth is not None:
        # once per layer: the depth decoder runs over the layers known so far
        layers = model.config.layers
        return (
            total
            + layers * count(model.depth.join)
            + sum(
                known
                * (count(model.depth.decoder) + count(model.depth.token) + count(model.depth.out))
                for known in range(1, layers + 1)
            )
        )
    head = model.head if model.latent_head is None else model.latent_head.out
    assert head is not None
    return total + count(head)


def weights_per_step(model: TokenLM) -> int:
    """Parameters that a step reads: decoder, embedding, heads, and all tables as output heads."""
    head = model.depth or model.head or (model.latent_head and model.latent_head.out)
    assert head is not None
    return sum(count(part) for part in (model.decoder, model.embed_in, head)) + model.tables.numel()


def describe(config: TokenSepConfig, seconds: float = 10.0) -> dict[str, Any]:
    """Sizes and costs of one separator for ``seconds`` of music."""
    with torch.device("meta"):
        model = TokenLM(config)
    lm, layers = config.lm, config.layers
    frames = round(seconds * config.frame_rate)
    steps = model.layout.steps(frames) * len(config.stems)
    prefix = -(-frames // lm.prefix_pool) if lm.prefix else 0
    decoder, heads = count(model.decoder), head_products(model)
    per_step = decoder + heads
    context = 2 * lm.layers * lm.dim  # multiply-adds per attended position
    attention = context * sum(range(prefix, prefix + steps))
    return {
        "parameters": {**model.parameter_counts(), "total": count(model)},
        "layout": config.layout.kind,
        "tokens_per_second": config.frame_rate * layers * len(config.stems),
        "bits_per_second_per_stem": config.frame_rate
        * layers
        * (config.codebook_size - 1).bit_length(),
        "lm_steps": {
            kind: steps_of(config, kind, seconds)
            for kind in ("interleaved-delay", "grouped-delay", "depth")
        },
        "prefix_positions": prefix,
        "cache_bytes_fp32": 2 * lm.layers * lm.dim * (prefix + steps) * 4,
        "lm_gflop": 2 * (decoder * prefix + per_step * steps + attention) / 1e9,
        "weights_bytes_per_step_fp32": 4 * weights_per_step(model),
    }
