"""The configurations of the two small models.

``arguments`` are those of the upstream class, complete enough to rebuild the model from the
metadata of a checkpoint; nothing else defines the architecture.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from benchsep_baselines.train.data import SOURCES, Mixing

BANDS_24 = (8,) * 8 + (16,) * 6 + (32,) * 4 + (64,) * 4 + (256, 225)
"""24 bands over the 1025 bins of a 2048-point transform, narrow at low frequencies."""


@dataclass(frozen=True)
class Preset:
    """Architecture and training settings of one small model."""

    arguments: dict[str, Any]
    seconds: float
    """Length of a training crop."""
    batch: int
    rate: float
    """Peak learning rate."""
    warmup: int = 100


@dataclass(frozen=True)
class Course:
    """Initial weights and losses of a training; the defaults are for a first training."""

    init: Path | None = None
    """Initial weights; ``None``: random."""
    mixing: Mixing = field(default_factory=Mixing)
    spectral: float = 0.0
    """Weight of :func:`benchsep_baselines.train.losses.spectral_distance` beside the error."""
    excess: float = 0.5
    """Its ``excess``."""


PRESETS = {
    "bs_roformer": Preset(
        arguments={
            "dim": 64,
            "depth": 3,
            "heads": 4,
            "dim_head": 16,
            "stereo": True,
            "num_stems": 4,
            "time_transformer_depth": 1,
            "freq_transformer_depth": 1,
            "freqs_per_bands": list(BANDS_24),
            "stft_n_fft": 2048,
            "stft_hop_length": 1024,
            "stft_win_length": 2048,
            "mask_estimator_depth": 1,
            "mlp_expansion_factor": 1,
            "zero_dc": True,
        },
        seconds=2.0,
        batch=4,
        rate=2e-3,
        warmup=40,
    ),
    "htdemucs": Preset(
        arguments={
            # Magnitudes with the mixture's phase: the model then learns a mask, in hundreds of
            # steps, while complex regression takes thousands.
            "cac": False,
            "wiener_iters": -1,
            "end_iters": -1,
            # Wide at the top, where a gate for each bin, channel and stem has to fit.
            "channels": 48,
            "growth": 1,
            "rewrite": True,
            "context": 0,
            "dconv_mode": 0,
            "bottom_channels": 128,
            "t_layers": 2,
            "t_heads": 4,
            "t_hidden_scale": 2.0,
            "segment": 3,
        },
        seconds=1.5,
        batch=4,
        rate=3e-3,
        warmup=40,
    ),
}


def build(name: str, arguments: dict[str, Any]) -> nn.Module:
    """The upstream class with these arguments, randomly initialised."""
    model: nn.Module
    if name == "bs_roformer":
        from pymss_core.modules.bs_roformer.bs_roformer import BSRoformer

        plain = dict(arguments)
        plain["freqs_per_bands"] = tuple(plain["freqs_per_bands"])
        model = BSRoformer(**plain)
        return model
    from demucs.htdemucs import HTDemucs

    model = HTDemucs(list(SOURCES), **arguments)
    return model
