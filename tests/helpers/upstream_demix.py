"""Upstream's loop over chunks, written again in its own order of steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def upstream_demix(
    forward: Callable[[Tensor], Tensor], mixture: np.ndarray, chunk: int, overlap: int
) -> np.ndarray:
    """``demix`` of Music-Source-Separation-Training at batch size 1: ``[stems, 2, T]``.

    ``forward`` takes a chunk ``[2, chunk]`` and gives ``[stems, 2, chunk]``.
    """
    mix = torch.from_numpy(mixture)
    fade, step = chunk // 10, chunk // overlap
    border, length = chunk - step, mix.shape[-1]
    if length > 2 * border and border > 0:
        mix = torch.nn.functional.pad(mix, (border, border), mode="reflect")
    window = torch.ones(chunk)
    window[-fade:], window[:fade] = torch.linspace(1, 0, fade), torch.linspace(0, 1, fade)
    result, counter = torch.zeros(1), torch.zeros(mix.shape[-1])
    i = 0
    while i < mix.shape[1]:
        part = mix[:, i : i + chunk]
        size, start = part.shape[-1], i
        mode = "reflect" if size > chunk // 2 else "constant"
        part = torch.nn.functional.pad(part, (0, chunk - size), mode=mode)
        i += step
        w = window.clone()
        if start == 0:
            w[:fade] = 1
        elif i >= mix.shape[1]:
            w[-fade:] = 1
        out = forward(part)
        if start == 0:
            result = torch.zeros(out.shape[0], 2, mix.shape[-1])
        result[..., start : start + size] += out[..., :size] * w[:size]
        counter[start : start + size] += w[:size]
    estimated = np.nan_to_num((result / counter).numpy(), nan=0.0)
    return estimated[..., border:-border] if length > 2 * border and border > 0 else estimated
