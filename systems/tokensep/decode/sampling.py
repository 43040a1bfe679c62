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

from tokensep.decode.position import Position
from tokensep.lm.config import SamplingConfig

CPU_NOISE_BYTES, GPU_NOISE_BYTES = 2**23, 2**30
"""Noise that is drawn at once: on a CPU what stays in its cache, on a GPU a minute of music."""


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


def gumbel(
    generators: Sequence[torch.Generator], shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    """Gumbel noise ``-log(-log U)``, ``[R, *shape]``: row r from generator r alone.

    So a row's noise is the same in any batch. U is float32 for any ``dtype``.
    """
    rows = [torch.rand(tuple(shape), generator=g, device=g.device) for g in generators]
    uniform = torch.stack(rows).to(dtype)
    return -(-uniform.clamp(1e-20, 1 - 1e-7).log()).log()


class Noise:
    """Gumbel noise for all steps of each row, drawn for many steps at once.

    Each row has its own generator, whose numbers are used in order, so a row's noise depends only
    on its seed; on a CPU it is the same as when drawn step by step. Drawing per step would launch
    one kernel per row and step, most of a GPU's time.

    Parameters
    ----------
    seeds : one per row, R.
    shape : ``(K, V)``, of a step.
    steps : how many there will be.
    position : of the step in ``gumbel``; :meth:`prepare` sets it.
    dtype : of ``gumbel``; the uniform numbers that it is made of are float32 always, so that
        float64 gives the same noise with more digits.

    Attributes
    ----------
    gumbel : ``[R, n, K, V]``, of n steps.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        shape: tuple[int, int],
        steps: int,
        device: torch.device,
        position: Position,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.generators = [torch.Generator(device).manual_seed(within_64_bits(s)) for s in seeds]
        step_bytes = 4 * len(seeds) * shape[0] * shape[1]
        limit = GPU_NOISE_BYTES if device.type == "cuda" else CPU_NOISE_BYTES
        self.held = max(1, min(steps, limit // step_bytes))
        self.gumbel = torch.empty(len(seeds), self.held, *shape, device=device, dtype=dtype)
        self.position = position

    def prepare(self, step: int) -> None:
        """Draw the next steps where ``step`` is the first of them; called before each step."""
        if step % self.held:
            return
        for row, generator in zip(self.gumbel, self.generators, strict=True):
            if row.dtype == torch.float32:
                row.uniform_(generator=generator)
            else:
                row.copy_(torch.rand(row.shape, generator=generator, device=row.device))
        # G = -log(-log U), in place
        self.gumbel.clamp_(1e-20, 1 - 1e-7).log_().neg_().log_().neg_()
        self.position.move(0)

    def take(self) -> Tensor:
        """``[R, K, V]`` of this step."""
        return self.position.take(self.gumbel, 1)


class Sampler:
    """Logits → tokens, by one configuration."""

    def __init__(self, config: SamplingConfig) -> None:
        self.config = config

    @property
    def draws(self) -> bool:
        """Whether it needs noise."""
        return self.config.temperature > 0

    def __call__(self, logits: Tensor, gumbel: Tensor | None, first_layer: int = 0) -> Tensor:
        """``[R, K, V]`` → ``[R, K]``; the first of these layers is ``first_layer`` of the step.

        ``gumbel [R, K', V]``: the noise of all layers of the step.
        """
        config, layers = self.config, logits.shape[1]
        sampled = self._sampled_layers(layers, first_layer)
        if gumbel is None or sampled == 0:
            return logits.argmax(-1)
        # Gumbel-max: argmax(logits / T + G), G = -log(-log U), is a draw from softmax(logits / T).
        scaled = logits if config.temperature == 1 else logits / config.temperature
        scaled = filtered(scaled, config.top_k, config.top_p)
        noisy = scaled + gumbel[:, first_layer : first_layer + layers]
        if sampled == layers:
            return noisy.argmax(-1)
        return torch.cat([noisy[:, :sampled].argmax(-1), logits[:, sampled:].argmax(-1)], 1)

    def _sampled_layers(self, layers: int, first_layer: int) -> int:
        """How many of these layers are sampled; the rest is taken greedily."""
        if self.config.sampled_layers is None:
            return layers
        return max(0, min(layers, self.config.sampled_layers - first_layer))
