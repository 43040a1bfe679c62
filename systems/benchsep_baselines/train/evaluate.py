"""Validation in uSDR over whole excerpts, for the model cards.

``uSDR = 10 log10((|s|^2 + 1e-7) / (|s - e|^2 + 1e-7))`` of a stem ``s`` and its estimate ``e``,
summed over channels and samples; the mean over songs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchsep_baselines.train import data
from benchsep_baselines.train.presets import Preset, build


def usdr(song: data.Song, estimate: NDArray[np.float32]) -> list[float]:
    """USDR in dB of each stem; both arguments are ``[4, 2, T]``."""
    true = song.astype(np.float64)
    error = ((true - estimate) ** 2).sum((1, 2))
    power = (true**2).sum((1, 2))
    return list(10 * np.log10((power + 1e-7) / (error + 1e-7)))


def means(scores: NDArray[np.float64]) -> dict[str, float]:
    """Mean over songs of ``scores [songs, 4]`` per stem, and the mean of the four as ``mean``."""
    per_stem = scores.mean(0)
    result = {s: round(float(v), 3) for s, v in zip(data.SOURCES, per_stem, strict=True)}
    return result | {"mean": round(float(scores.mean()), 3)}


def evaluate(
    name: str, preset: Preset, state: dict[str, Tensor], songs: list[data.Song]
) -> dict[str, float]:
    """Mean uSDR of a model with the weights ``state``.

    A separate model is used, not the one in training, because upstream's models cache tensors in
    their forward pass that a later training step must not use.
    """
    with torch.random.fork_rng():
        model = build(name, preset.arguments)
    model.load_state_dict(state)
    model.eval()
    return means(np.array([usdr(song, separate(name, model, song)) for song in songs]))


@torch.inference_mode()
def separate(name: str, model: Any, song: data.Song) -> NDArray[np.float32]:
    """Estimates ``[4, 2, T]`` for the sum of a song's stems ``[4, 2, T]``."""
    mixture = torch.from_numpy(song.astype(np.float32).sum(0))  # [2, T]
    if name == "bs_roformer":
        estimates: Tensor = model(mixture[None])[0]
    else:
        from demucs.apply import apply_model

        # upstream's normalisation: by mean and deviation of the mono mixture
        mean, std = mixture.mean(0).mean(), mixture.mean(0).std() + 1e-8
        out = apply_model(model, ((mixture - mean) / std)[None], shifts=0, overlap=0.25)
        estimates = (out * std + mean)[0]
    return np.asarray(estimates.numpy())
