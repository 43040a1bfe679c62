"""Lloyd's k-means in torch: codebook starts and HuBERT's first targets.

Distances and sums are in float32, under autocast too.
"""

from __future__ import annotations

import torch
from torch import Tensor


def nearest(vectors: Tensor, centres: Tensor) -> Tensor:
    """Index of the nearest centre (Euclidean): ``[N, D]``, ``[K, D]`` → ``[N]``."""
    with torch.autocast(vectors.device.type, enabled=False):
        return _nearest(vectors.float(), centres.float())


def _nearest(vectors: Tensor, centres: Tensor) -> Tensor:
    # |v - c|^2 = |v|^2 - 2 v.c + |c|^2, and |v|^2 is the same for every centre
    return (centres.pow(2).sum(1) - 2 * vectors @ centres.T).argmin(1)


@torch.no_grad()
def kmeans(
    vectors: Tensor, count: int, iterations: int = 10, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Centres ``[K, D]`` and how many vectors each holds ``[K]``.

    Centres without vectors stay where they are. With fewer vectors than centres, vectors repeat.
    """
    vectors, total = vectors.float(), len(vectors)
    order = torch.randperm(total, generator=generator, device="cpu").to(vectors.device)
    start = order[torch.arange(count, device=vectors.device) % total]
    centres = vectors[start].clone()
    sizes = torch.zeros(count, device=vectors.device)
    for _ in range(iterations):
        index = nearest(vectors, centres)
        sizes = torch.bincount(index, minlength=count).to(vectors.dtype)
        sums = torch.zeros_like(centres).index_add_(0, index, vectors)
        filled = sizes > 0
        centres[filled] = sums[filled] / sizes[filled, None]
    return centres, sizes
