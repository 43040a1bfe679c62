"""Small random networks in folders as the Hugging Face hub has them: no test fetches weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest


def save_tiny_mert(folder: Path) -> Path:
    """A plain Hubert of two layers under MERT's configuration, which names code of its own."""
    transformers = pytest.importorskip("transformers", reason="an optional extra")
    config = transformers.HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    transformers.HubertModel(config).save_pretrained(folder)
    raw = json.loads((folder / "config.json").read_text())
    raw |= {"model_type": "mert_model", "deepnorm": False, "attention_relax": -1.0}
    raw |= {"auto_map": {"AutoModel": "modeling_MERT.MERTModel"}}
    (folder / "config.json").write_text(json.dumps(raw))
    (folder / "modeling_MERT.py").write_text("raise SystemExit('code of a stranger was run')")
    return folder


def save_tiny_clap(folder: Path) -> Path:
    """CLAP with one layer for text and two small stages for audio."""
    transformers = pytest.importorskip("transformers", reason="an optional extra")
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
             "intermediate_size": 32, "projection_dim": 24}  # fmt: skip
    audio = {"depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 32,
             "patch_embeds_hidden_size": 16, "projection_dim": 24}  # fmt: skip
    config = transformers.ClapConfig(text_config=small, audio_config=audio, projection_dim=24)
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return folder


def tiny_audiobox() -> dict[str, np.ndarray]:
    """Audiobox Aesthetics in the names of its published state dict: two layers of width 16."""
    rng, width, channels = np.random.default_rng(7), 16, 8
    shapes: dict[str, tuple[int, ...]] = {"mask_emb": (width,)}
    for i, kernel in enumerate((10, 3, 3, 3, 3, 2, 2)):
        name = f"feature_extractor.conv_layers.{i}.0.weight"
        shapes[name] = (channels, 1 if i == 0 else channels, kernel)
    shapes |= {f"feature_extractor.conv_layers.0.2.{p}": (channels,) for p in ("weight", "bias")}
    shapes |= {f"layer_norm.{p}": (channels,) for p in ("weight", "bias")}
    shapes |= {"post_extract_proj.weight": (width, channels), "post_extract_proj.bias": (width,)}
    shapes |= {"encoder.pos_conv.0.bias": (width,), "encoder.pos_conv.0.weight_g": (1, 1, 16),
               "encoder.pos_conv.0.weight_v": (width, width // 2, 16)}  # fmt: skip
    shapes |= {f"encoder.layer_norm.{p}": (width,) for p in ("weight", "bias")}
    for i in range(2):
        layer = f"encoder.layers.{i}."
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            shapes[f"{layer}self_attn.{name}.weight"] = (width, width)
            shapes[f"{layer}self_attn.{name}.bias"] = (width,)
        shapes[f"{layer}self_attn.grep_linear.weight"] = (8, width // 2)
        shapes[f"{layer}self_attn.grep_linear.bias"] = (8,)
        shapes[f"{layer}self_attn.grep_a"] = (1, 2, 1, 1)
        for name in ("self_attn_layer_norm", "final_layer_norm"):
            shapes |= {f"{layer}{name}.{p}": (width,) for p in ("weight", "bias")}
        shapes |= {f"{layer}fc1.weight": (32, width), f"{layer}fc1.bias": (32,),
                   f"{layer}fc2.weight": (width, 32), f"{layer}fc2.bias": (width,)}  # fmt: skip
    shapes["encoder.layers.0.self_attn.relative_attention_bias.weight"] = (32, 2)
    names = {f"wavlm_model.{name}": shape for name, shape in shapes.items()}
    for axis in ("CE", "CU", "PC", "PQ"):
        names[f"layer_weights.{axis}"] = (3,)
        names |= {f"proj_layer.{axis}.0.{p}": s for p, s in
                  (("weight", (width, width)), ("bias", (width,)))}  # fmt: skip
        names |= {f"proj_layer.{axis}.1.{p}": (width,) for p in ("weight", "bias")}
        names |= {f"proj_layer.{axis}.4.weight": (1, width), f"proj_layer.{axis}.4.bias": (1,)}
    return {
        name: (rng.normal(0, 0.5, shape) + ("norm.weight" in name)).astype(np.float32)
        for name, shape in names.items()
    }


AUDIOBOX = {
    "proj_num_layer": 2, "proj_ln": True, "proj_act_fn": "gelu", "proj_dropout": 0.1,
    "nth_layer": 3, "use_weighted_layer_sum": True, "precision": "bf16", "normalize_embed": True,
    "output_dim": 1,
}  # fmt: skip
"""The configuration of :func:`tiny_audiobox`."""
TRANSFORM = {axis: {"mean": 5.0 + i, "std": 1.0 + i / 10} for i, axis in
             enumerate(("CE", "CU", "PC", "PQ"))}  # fmt: skip


def save_tiny_audiobox(folder: Path, *, as_pickle: bool = False) -> Path:
    """As the hub has it, or (``checkpoint.pt``) as the authors' server."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: torch.from_numpy(value) for name, value in tiny_audiobox().items()}
    if as_pickle:
        content = {
            "state_dict": {f"model.{name}": value for name, value in weights.items()},
            "model_cfg": AUDIOBOX,
            "target_transform": TRANSFORM,
        }
        torch.save(content, folder / "checkpoint.pt")
        return folder / "checkpoint.pt"
    save_file(weights, folder / "model.safetensors")
    config = {**AUDIOBOX, "target_transform": TRANSFORM}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
