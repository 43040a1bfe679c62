"""A codec small enough for tests."""

from __future__ import annotations

from tokensep.config import BandsConfig, CodecConfig, TeacherConfig

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

TINY_BANDS = TINY.model_copy(
    update={
        "design": "bands",
        "bands": BandsConfig(
            bands=16,
            context=1,
            pitch_low=80,
            pitch_octaves=2,
            pitch_per_octave=12,
            pitch_dims=3,
            search=3,
            envelope_bands=8,
            dim=16,
            ffn=24,
            blocks=1,
            heads=2,
            transformer_ffn=16,
            fine_dim=16,
            fine_ffn=16,
            fine_blocks=1,
        ),
    }
)
"""The other design, as small."""
