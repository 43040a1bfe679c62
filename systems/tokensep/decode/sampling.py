"""From logits to tokens: temperature, top k, top p, classifier-free guidance.

Conventions
-----------
logits ``[R, K, V]``, natural logarithms up to a constant per row and layer; tokens int64 ``[R, K]``
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from tokensep.lm.config import SamplingConfig


def guided(logits: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (arXiv 2207.12598): ``u + scale (c - u)``.

    ``logits [2 R, …]``: conditional rows, then the same rows without the mixture.
    """
    with_mixture, without = logits.chunk(2)
    return without + scale * (with_mixture - without)


def filtered(logits: Tensor, top_k: int | None, top_p: float | None) -> Tensor:
    """Logits with everything outside the top k and the nucleus p at -inf; the best always stays."""
    if top_k is not None and top_k < logits.shape[-1]:
        lowest = logits.topk(top_k, dim=-1).values[..., -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    if top_p is not None and top_p < 1:
        ordered, index = logits.sort(dim=-1, descending=True)
        # probability mass before each entry; the first has none, so it is always kept
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        ordered = ordered.masked_fill(before >= top_p, -torch.inf)
        logits = torch.full_like(logits, -torch.inf).scatter(-1, index, ordered)
    return logits


def within_64_bits(seed: int) -> int:
    """``seed`` as torch takes it: unchanged where it fits (-2^63 to 2^64 - 1), otherwise hashed.

    A row's seed is made of a song's seed, its window and its draw, and passes 64 bits for songs'
    seeds from about 2^37 on. Python's integers hold it exactly, so that rows stay distinct. (On
    the CPU torch reads the lower 32 bits of a seed only.)
    """
    if -(2**63) <= seed < 2**64:
        return seed
    digest = hashlib.blake2b(str(seed).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def gumbel(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """Gumbel noise ``-log(-log U)``, ``[R, *shape]``: row r from generator r alone.

    So a row's noise is the same in any batch.
    """
    rows = [torch.rand(tuple(shape), generator=g, device=g.device) for g in generators]
    return -(-torch.stack(rows).clamp(1e-20, 1 - 1e-7).log()).log()


class Sampler:
    """Logits → tokens, by one configuration and one noise generator per row."""

    def __init__(self, config: SamplingConfig, seeds: Sequence[int], device: torch.device) -> None:
        self.config = config
        self.generators = [torch.Generator(device).manual_seed(within_64_bits(s)) for s in seeds]

    def __call__(self, logits: Tensor, first_layer: int = 0) -> Tensor:
        """``[R, K, V]`` → ``[R, K]``; the first of these layers is ``first_layer`` of the step."""
        config = self.config
        if config.temperature == 0:
            return logits.argmax(-1)
        # argmax(logits / T + G) is a draw from softmax(logits / T)
        noise = gumbel(self.generators, logits.shape[1:])
        scaled = filtered(logits / config.temperature, config.top_k, config.top_p)
        tokens = logits.argmax(-1)
        sampled = self._sampled_layers(logits.shape[1], first_layer)
        tokens[:, :sampled] = (scaled + noise)[:, :sampled].argmax(-1)
        return tokens

    def _sampled_layers(self, layers: int, first_layer: int) -> int:
        """How many of these layers are sampled; the rest is taken greedily."""
        if self.config.sampled_layers is None:
            return layers
        return max(0, min(layers, self.config.sampled_layers - first_layer))
