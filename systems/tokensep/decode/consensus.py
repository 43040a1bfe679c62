"""The consensus of several draws: expected latents averaged over draws and overlapping windows.

The language model gives ``E[z_t | past, mixture]``, the expected latent z_t of a frame given the
drawn past. By the law of total expectation, its mean over pasts is

    E_past[ E[z_t | past, mixture] ] = E[z_t | mixture],

the least-squares estimate of the latent from the mixture alone, which a few draws approximate.
With all tokens hidden, the model estimates ``E[z_t | mixture]`` in one pass. Its error differs from
that of the draws, so a weighted mean of both has a smaller error (``one_pass_share``).
Overlapping windows are further draws with another context. Latents are averaged, not waves, because
waves of two draws differ in phase and would cancel, while their latents are similar.

Conventions
-----------
latents   ``[S, F, D]``, F frames of a song or a window
weight    of a frame in its window: increases linearly from the edge (where context is missing) over
          the overlap
covered   a frame that at least one window with sound contains
"""

from __future__ import annotations

import torch
from torch import Tensor


def edge_weights(window: int, overlap: int) -> Tensor:
    """``[window]`` in (0, 1]: the distance from the nearer edge over ``overlap``, at most 1."""
    place = torch.arange(window) + 0.5
    return (torch.minimum(place, window - place) / max(overlap, 1)).clamp_max(1.0)


class Consensus:
    """Weighted mean of the windows' latents, a window at a time; all stays on ``device``."""

    def __init__(self, frames: int, window: int, overlap: int, device: torch.device) -> None:
        self.frames, self.weights = frames, edge_weights(window, overlap).to(device)
        # sum of the weights of a frame so far
        self._mass = torch.zeros(frames + window, device=device)
        self._sum: Tensor | None = None

    def add(self, start: int, latents: Tensor, share: float = 1.0) -> None:
        """One draw ``[S, window, D]`` of the window that begins at frame ``start``.

        ``share``: its weight, in draws.
        """
        stems, window, width = latents.shape
        if self._sum is None:
            self._sum = latents.new_zeros(stems, len(self._mass), width)
        weights = share * self.weights
        self._sum[:, start : start + window] += weights[:, None] * latents  # [S, W, D]
        self._mass[start : start + window] += weights

    @property
    def covered(self) -> Tensor:
        """``[frames]``, bool."""
        return self._mass[: self.frames] > 0

    def mean(self) -> Tensor | None:
        """``[S, frames, D]``, zero where no window covers it; None if nothing was added."""
        if self._sum is None:
            return None
        return (self._sum / self._mass.clamp_min(1e-9)[:, None])[:, : self.frames]
