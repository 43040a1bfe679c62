"""A codec small enough for tests."""

from __future__ import annotations

from tokensep.config import CodecConfig, TeacherConfig

TINY = CodecConfig(
    dim=32,
    ffn=48,
    encoder_blocks=1,
    decoder_blocks=1,
    heads=2,
    transformer_ffn=32,
    latent_dim=8,
    codebook_size=16,
    acoustic_layers=3,
    semantic_layers=2,
    semantic_dim=16,
    mels=24,
    teacher=TeacherConfig(
        dim=32, heads=2, layers=2, ffn=48, mels=20, conv_pos_groups=4, classes=10
    ),
)
