"""A codec's entries as vectors, read through its interface alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tokensep.codec.interface import Codes, device_of


@torch.no_grad()
def codebooks(codec: Any) -> Tensor:
    """Every entry of every layer ``[K, V, D]``, semantic first.

    The latent of a frame is the sum of its layers' entries. So the difference to the latent of
    all-zero codes is an entry less the layer's entry 0; adding that latent's share to the first
    layer makes sums over layers exact: ``latents(codes) = sum_k books[k, codes[k]]``. Computed on
    the CPU, so that they (and a hash of them) are the same wherever the codec is.
    """
    layers, entries = codec.semantic_layers + codec.acoustic_layers, codec.codebook_size
    codes = torch.zeros(1, layers, layers * entries + 1, dtype=torch.long)
    for k in range(layers):
        codes[0, k, k * entries : (k + 1) * entries] = torch.arange(entries)
    place = device_of(codec)
    codec.to("cpu")
    latents = codec.latents(Codes.unstack(codes, codec.semantic_layers))[0]
    codec.to(place)
    books = (latents[:-1] - latents[-1]).unflatten(0, (layers, entries)).clone()
    books[0] += latents[-1]
    return books
