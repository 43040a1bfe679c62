"""Small random networks in folders as the Hugging Face hub has them: no test fetches weights."""

from __future__ import annotations

import json
from pathlib import Path

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
