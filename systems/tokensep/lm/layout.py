"""How the codes of one stem become LM steps, and back.

Conventions
-----------
codes     int64 ``[..., K, F]``: ``K`` layers (semantic first), ``F`` token frames
grid      int64 ``[..., N, K]``: ``N`` steps; a place without a token is ``pad`` (= codebook size)

Every layout is the affine map *step(layer, frame) = stride x frame + offset[layer]*:

==================  ======  =====================================================================
layout              stride  offsets
==================  ======  =====================================================================
interleaved-delay   2       semantic ``q``, acoustic ``1 + q``: S and A frames alternate in time
                            and layer q is late by q steps (UniTok-Audio 2510.26372 §3.2)
grouped-delay       1       the ``delays`` of the configuration: both streams in one step,
                            layers of a group share a delay
depth               1       0: a step is a frame; the depth transformer orders its layers
==================  ======  =====================================================================

So the inverse is a gather, exact for any codes, and ``F`` frames take
``stride (F - 1) + max offset + 1`` steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tokensep.errors import ConfigError
from tokensep.lm.config import TokenSepConfig


@dataclass(frozen=True)
class Layout:
    """An affine layout: ``stride`` steps per frame and one offset per layer."""

    kind: str
    stride: int
    offsets: tuple[int, ...]
    pad: int

    def __post_init__(self) -> None:
        if self.stride < 1 or not self.offsets or min(self.offsets) != 0:
            raise ConfigError(
                f"layout {self.kind}: found stride {self.stride} and offsets {self.offsets}, "
                "expected a stride of 1 or more and offsets from 0"
            )

    @property
    def layers(self) -> int:
        """Layers per frame."""
        return len(self.offsets)

    @property
    def span(self) -> int:
        """Largest offset: steps after the last frame's first token."""
        return max(self.offsets)

    @property
    def groups(self) -> tuple[int, ...]:
        """Distinct lags (in frames) of the frames whose tokens a step contains, newest first."""
        return tuple(sorted({offset // self.stride for offset in self.offsets}))

    @property
    def phases(self) -> tuple[tuple[int, ...], ...]:
        """The layers that can have a token in step n, for each ``n mod stride``.

        ``step = stride x frame + offset`` leaves a layer the steps of its own remainder only: with
        a stride of 2 a step holds one half of the layers, and the other half of the grid is pads.
        """
        remainders = [offset % self.stride for offset in self.offsets]
        return tuple(
            tuple(layer for layer, r in enumerate(remainders) if r == phase)
            for phase in range(self.stride)
        )

    def steps(self, frames: int) -> int:
        """LM steps for ``frames`` token frames of one stem."""
        return self.stride * (frames - 1) + self.span + 1

    def frame_index(self, frames: int) -> Tensor:
        """``[N, K]``: the frame whose token is in each place, -1 where there is none.

        The inverse of the affine map: ``frame = (step - offset) / stride`` where that is whole.
        """
        step = torch.arange(self.steps(frames))[:, None] - torch.tensor(self.offsets)[None]
        frame = torch.div(step, self.stride, rounding_mode="floor")
        holds = (step % self.stride == 0) & (frame >= 0) & (frame < frames)
        return torch.where(holds, frame, torch.full_like(frame, -1))

    def to_grid(self, codes: Tensor) -> Tensor:
        """``[..., K, F]`` → ``[..., N, K]``."""
        self._check(codes.shape[-2])
        # grid[..., n, k] = codes[..., k, index[n, k]]
        index = self.frame_index(codes.shape[-1]).to(codes.device)
        spread = codes.transpose(-1, -2)  # [..., F, K]
        grid = torch.gather(spread, -2, index.clamp_min(0).expand(*codes.shape[:-2], *index.shape))
        return grid.masked_fill(index < 0, self.pad)

    def to_codes(self, grid: Tensor) -> Tensor:
        """``[..., N, K]`` → ``[..., K, F]``; the exact inverse of :meth:`to_grid`."""
        self._check(grid.shape[-1])
        frames, rest = divmod(grid.shape[-2] - self.span - 1, self.stride)
        if rest or frames < 0:
            raise ConfigError(
                f"{grid.shape[-2]} steps are not a whole number of frames in the layout {self.kind}"
            )
        # codes[..., k, f] = grid[..., stride f + offset_k, k]
        index = self.stride * torch.arange(frames + 1)[:, None] + torch.tensor(self.offsets)[None]
        codes = torch.gather(grid, -2, index.to(grid.device).expand(*grid.shape[:-2], *index.shape))
        return codes.transpose(-1, -2)

    def _check(self, layers: int) -> None:
        if layers != self.layers:
            raise ConfigError(
                f"found {layers} layers, expected {self.layers} as in the layout {self.kind}"
            )


def build(config: TokenSepConfig) -> Layout:
    """The layout that a configuration names."""
    semantic, acoustic = config.semantic_layers, config.acoustic_layers
    kind, pad = config.layout.kind, config.codebook_size
    if kind == "interleaved-delay":
        first = 0 if semantic else 1
        offsets = (*range(semantic), *(1 - first + q for q in range(acoustic)))
        return Layout(kind, 2, tuple(offsets), pad)
    if kind == "depth":
        return Layout(kind, 1, (0,) * (semantic + acoustic), pad)
    delays = config.layout.delays or tuple(range(semantic + acoustic))
    return Layout(kind, 1, delays, pad)
