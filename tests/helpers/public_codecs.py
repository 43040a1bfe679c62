"""Tiny random DAC, EnCodec, Mimi and HuBERT, as ``transformers`` saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def tiny(name: str) -> Any:
    """A model of the published architecture and rates, a few thousand weights, not trained."""
    import transformers

    torch.manual_seed(0)
    model: Any = {"dac": _dac, "encodec": _encodec, "mimi": _mimi, "hubert": _hubert}[name](
        transformers
    )
    with torch.no_grad():
        for key, buffer in model.named_buffers():
            if key.endswith((".embed", ".embed_sum")):  # zeros: every code would be 0
                buffer.normal_()
    return model.eval()


def _dac(transformers: Any) -> Any:
    config = transformers.DacConfig(
        encoder_hidden_size=4,
        downsampling_ratios=[2, 4, 8, 8],
        upsampling_ratios=[8, 8, 4, 2],
        decoder_hidden_size=32,
        n_codebooks=3,
        codebook_size=16,
        codebook_dim=4,
        sampling_rate=44_100,
    )
    return transformers.DacModel(config)


def _encodec(transformers: Any) -> Any:
    config = transformers.EncodecConfig(
        target_bandwidths=[3.0, 6.0],
        sampling_rate=48_000,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        num_filters=4,
        num_lstm_layers=1,
        upsampling_ratios=[8, 5, 4, 2],
        norm_type="time_group_norm",
        use_causal_conv=False,
        hidden_size=16,
        codebook_size=1024,
    )
    return transformers.EncodecModel(config)


def _mimi(transformers: Any) -> Any:
    config = transformers.MimiConfig(
        num_filters=4,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=32,
        codebook_size=16,
        codebook_dim=16,
        num_quantizers=4,
        vector_quantization_hidden_dimension=16,
        upsample_groups=32,
    )
    return transformers.MimiModel(config)


def _hubert(transformers: Any) -> Any:
    config = transformers.HubertConfig(
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
    )
    return transformers.HubertModel(config)


def saved(name: str, folder: Path) -> Path:
    """The model's folder."""
    tiny(name).save_pretrained(folder / name)
    return folder / name
