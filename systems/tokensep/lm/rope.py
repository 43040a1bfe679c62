"""Rotary position embedding, in the half-split convention of ``transformers``' LLaMA."""

from __future__ import annotations

import torch
from torch import Tensor


def tables(positions: Tensor, width: int, theta: float = 10_000.0) -> tuple[Tensor, Tensor]:
    """Cosine and sine ``[*, width]`` of ``positions [*]``: angles ``p / theta^(2i/width)``."""
    exponent = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width
    angle = positions[..., None].float() * theta**-exponent
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x [..., n, width]`` rotated by tables ``[n, width]``."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin
