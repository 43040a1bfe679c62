"""Rotary position embedding (arXiv 2104.09864), in the half-split convention of ``transformers``.

Dimensions i and i + width / 2 are one plane; position p turns it by the angle
``a_i = p theta^(-2 i / width)``:

    [x_i, x_{i + width/2}] -> [x_i cos a_i - x_{i + width/2} sin a_i,
                               x_{i + width/2} cos a_i + x_i sin a_i]

so the product of a query at p and a key at q depends on p - q alone.
"""

from __future__ import annotations

import torch
from torch import Tensor


def tables(
    positions: Tensor, width: int, theta: float = 10_000.0, like: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Cosine and sine ``[*, width]`` of ``positions [*]``: angles ``p / theta^(2i/width)``.

    They are in float32, or in the type ``like`` of what is rotated where that is wider.
    """
    dtype = torch.promote_types(like, torch.float32)
    exponent = torch.arange(0, width, 2, device=positions.device, dtype=dtype) / width
    angle = positions[..., None].to(dtype) * theta**-exponent  # [*, width / 2]
    angle = torch.cat([angle, angle], dim=-1)  # both dimensions of a plane have the same angle
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """``x [..., n, width]`` rotated by tables ``[n, width]``."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-right, left], dim=-1) * sin
