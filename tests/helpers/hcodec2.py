"""The published H-Codec-2.0 as its authors' files have it: configurations, and weights by a rule.

No code of theirs is needed: names and shapes come from the map that the golden digests check.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tokensep.codec.hcodec2.names import pieces_of
from tokensep.codec.hcodec2.settings import PublicSettings
from tokensep.codec.hcodec2.weights import skeleton
from tokensep.config import load

FRAMES, HOP, WIDTH = 48, 32, 12
TINY = {"dim": 128, "ffn": 96, "latent": 16, "hop": HOP, "blocks": (2, 2), "books": (32, 4)}
LARGE = {
    "dim": 1536,
    "ffn": 4608,
    "latent": 512,
    "hop": 960,
    "blocks": (24, 32),
    "books": (1024, 16),
}


def settings(sizes: dict[str, Any] = TINY, **changes: dict[str, Any]) -> dict[str, Any]:
    """A configuration in the published form; ``changes``: section → keys."""
    hop, latent, large = sizes["hop"], sizes["latent"], sizes is LARGE
    width, semantic_dim = (768, 1536) if large else (WIDTH, 24)
    common = {
        "dim": sizes["dim"],
        "intermediate_dim": sizes["ffn"],
        "n_fft": 2 * hop,
        "hop_length": hop,
        "transformer_layers": 2,
        "target_frame_rate": 12.5,
        "causal": False,
    }
    semantic = {"channel_ratios": [1, 1, 1], "strides": [2, 1, 2]}
    encoder_blocks, decoder_blocks = sizes["blocks"]
    size, layers = sizes["books"]
    data: dict[str, Any] = {
        "sampling_rate": 50 * hop,
        "encoder_config": {**common, "dimension": latent, "convnext_layers": encoder_blocks},
        "decoder_config": {
            **common,
            "input_channels": 2 * latent,
            "convnext_layers": decoder_blocks,
        },
        "quantizer_config": {
            "dim": latent,
            "codebook_size": size,
            "num_quantizers": layers,
            "decay": 0.99,
            "kmeans_init": True,
            "kmeans_iters": 50,
            "quantize_dropout": False,
        },
        "semantic_encoder_config": {
            "input_channels": width,
            "encode_channels": semantic_dim,
            "out_channels": latent,
            **semantic,
        },
        "semantic_decoder_config": {
            "code_dim": latent,
            "output_channels": width,
            "decode_channels": semantic_dim,
            **semantic,
        },
    }
    for section, keys in changes.items():
        data[section].update(keys)
    return data


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """The rule: fp32 standard normals of numpy's default generator, seeded by the CRC-32 of the
    name, times a scale by kind: entries of codebooks 0.5; biases 0.1; other vectors 1 + 0.1 x; all
    else ``fan_in ** -0.5``, twice that for the head's matrix. Windows are Hann's; the flags and
    counts of codebooks are 1.
    """
    state = {}
    for name, shape in shapes.items():
        leaf = name.rpartition(".")[2]
        generator = np.random.default_rng(zlib.crc32(name.encode()))
        x = torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))
        if leaf == "window":
            x = torch.hann_window(shape[0])
        elif leaf in ("initted", "cluster_size"):
            x = torch.ones(shape)
        elif leaf.startswith("embed"):
            x = 0.5 * x
        elif "bias" in leaf:
            x = 0.1 * x
        elif len(shape) == 1:
            x = 1 + 0.1 * x
        else:
            x = x * (2 if name == "decoder.head.out.weight" else 1) / np.sqrt(np.prod(shape[1:]))
        state[name] = x
    return state


def wave() -> torch.Tensor:
    noise = np.random.default_rng(1).standard_normal((1, FRAMES * HOP)).astype(np.float32)
    return torch.from_numpy(noise * np.float32(0.1))


def features() -> torch.Tensor:
    noise = np.random.default_rng(2).standard_normal((1, FRAMES, WIDTH))
    return torch.from_numpy(noise.astype(np.float32))


def shapes_of(data: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    public = load(PublicSettings, data)
    return {p.name: p.shape for p in pieces_of(skeleton(public, public.codec()))}


def publish(folder: Path) -> tuple[Path, Path]:
    """Tiny weights and their configuration as files."""
    torch.save(weights(shapes_of(settings())), folder / "weights.pt")
    (folder / "config.yaml").write_text(yaml.safe_dump(settings()))
    return folder / "weights.pt", folder / "config.yaml"
