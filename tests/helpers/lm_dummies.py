"""A codec without training, a small LM and two songs: what the tests of tokensep train on."""

from __future__ import annotations

import numpy as np
import torch
from tokensep.codec.interface import Codes
from tokensep.lm.config import (
    EncoderConfig,
    InferenceConfig,
    LayoutConfig,
    LMConfig,
    TokenSepConfig,
)
from tokensep.train.data import STEMS, Source
from torch import Tensor

RATE, HOP, ENTRIES, SEMANTIC, ACOUSTIC = 8000, 320, 16, 2, 3


class DummyCodec:
    """Each layer quantises the level of the frame in its own slice of ``HOP`` samples."""

    rate, channels, frame_hop, codebook_size = RATE, 1, HOP, ENTRIES
    frame_rate = RATE / HOP
    semantic_layers, acoustic_layers = SEMANTIC, ACOUSTIC

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        layers = SEMANTIC + ACOUSTIC
        basis = torch.linalg.qr(torch.randn(HOP, HOP, generator=generator))[0][:layers]
        self.basis = basis
        self.levels = torch.linspace(-3.0, 3.0, ENTRIES)

    def to(self, device: object) -> DummyCodec:
        return self

    def encode(self, wave: Tensor) -> Codes:
        pad = -wave.shape[-1] % HOP
        frames = torch.nn.functional.pad(wave, (0, pad)).unflatten(-1, (-1, HOP))
        value = frames @ self.basis.T  # [B, F, K]
        codes = (value[..., None] - self.levels).abs().argmin(-1).transpose(1, 2)
        return Codes.unstack(codes, SEMANTIC)

    def decode(self, codes: Codes) -> Tensor:
        return self.decoder(self.latents(codes))

    def decoder(self, latents: Tensor) -> Tensor:
        return (latents @ self.basis).flatten(1)

    def latents(self, codes: Codes) -> Tensor:
        return self.levels[codes.stack()].transpose(1, 2)


def tiny_config(kind: str = "grouped-delay", **overrides: object) -> TokenSepConfig:
    anchored = kind == "anchored"
    kind = "grouped-delay" if anchored else kind
    delays = (0, 1, 1, 2, 2) if kind == "grouped-delay" else None
    values: dict[str, object] = {
        "rate": RATE,
        "frame_hop": HOP,
        "codebook_size": ENTRIES,
        "semantic_layers": SEMANTIC,
        "acoustic_layers": ACOUSTIC,
        "encoder": EncoderConfig(
            mels=20, n_fft=512, dim=32, layers=1, heads=2, kernel=5, latent_dim=SEMANTIC + ACOUSTIC
        ),
        "layout": LayoutConfig(kind=kind, delays=delays),
        "lm": LMConfig(
            dim=32,
            layers=2,
            heads=2,
            ffn=48,
            code_dim=8,
            prefix_pool=2,
            depth_dim=16,
            depth_heads=2,
            anchored=anchored,
        ),
        "window_frames": 12,
        "inference": InferenceConfig(overlap_frames=2),
    }
    return TokenSepConfig(**{**values, **overrides})


class SyntheticSongs:
    """Two synthetic songs, int16 stereo, as ``StemStore`` gives them."""

    rate = RATE

    def __init__(self, seconds: float = 2.0) -> None:
        rng = np.random.default_rng(0)
        time = np.arange(int(seconds * RATE)) / RATE
        self.sources = []
        for song in ("one", "two"):
            for stem in STEMS:
                wave = np.sin(2 * np.pi * rng.uniform(80, 900) * time) * rng.uniform(0.1, 0.3)
                wave += rng.normal(0, 0.05, time.size)
                audio = np.repeat((wave * 32767).astype(np.int16)[None], 2, 0)
                self.sources.append(Source(song, stem, audio))

    def songs(self) -> list[str]:
        return ["one", "two"]
