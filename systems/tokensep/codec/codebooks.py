"""A codec's entries as vectors, obtained only through its interface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tokensep.codec.interface import Codes, device_of


@torch.no_grad()
def codebooks(codec: Any) -> Tensor:
    """Every entry of every layer ``[K, V, D]``, semantic first.

    The latent of a frame is the sum of its layers' entries, ``z(i) = sum_k c_k[i_k]``. With
    ``e_kv`` the codes that are v in layer k and 0 elsewhere,

        z(e_kv) - z(0) = c_k[v] - c_k[0].

    These differences, with ``z(0) = sum_k c_k[0]`` added to the first layer, sum to the latents
    exactly: ``z(i) = sum_k books[k, i_k]``. Computed on the CPU, so that they (and their hash) do
    not depend on the codec's device.
    """
    layers, entries = codec.semantic_layers + codec.acoustic_layers, codec.codebook_size
    # one "frame" for each e_kv, and the last one all zero
    codes = torch.zeros(1, layers, layers * entries + 1, dtype=torch.long)
    for k in range(layers):
        codes[0, k, k * entries : (k + 1) * entries] = torch.arange(entries)
    place = device_of(codec)
    codec.to("cpu")
    latents: Tensor = codec.latents(Codes.unstack(codes, codec.semantic_layers))[0]  # [K V + 1, D]
    codec.to(place)
    books = (latents[:-1] - latents[-1]).unflatten(0, (layers, entries)).clone()
    books[0] += latents[-1]
    return books
