"""LM and codec in float64, so that draws are the same on every processor.

A token is drawn by comparing sums of logits and noise. In float32, these differ between processors
by about 1e-6 (order of additions, rounding of exp and log). Some of the ten thousand draws of a
clip then differ, and so do all later tokens. In float64, the difference is about 1e-14. The weights
keep their float32 values; tables that depend only on the configuration (windows, mel filters,
rotations) are also computed in float64. Only the parts that decide tokens use float64: the
condition, the LM, and the logarithms of the noise. The codec decodes in float32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tokensep.codec.model import HCodec
from tokensep.lm.conditioner import SSLEncoder
from tokensep.lm.model import TokenLM


class Drawing(NamedTuple):
    """The parts that draw tokens: the LM, its codebook entries and the codec of the mixture."""

    lm: TokenLM
    codec: Any
    codebooks: Tensor | None


@contextmanager
def _float64_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def in_float64(lm: TokenLM, codec: Any, codebooks: Tensor | None) -> Drawing:
    """Copies in float64 on the same device; a codec of another class keeps its own tables."""
    with _float64_by_default():
        exact_lm = TokenLM(lm.config)
        own = type(codec) is HCodec and codec.config.teacher.kind == "mini"
        exact_codec = HCodec(codec.config) if own else copy.deepcopy(codec)
    exact_lm, exact_codec = _filled(exact_lm, lm), _filled(exact_codec, codec)
    if isinstance(exact_lm.encoder, SSLEncoder):
        exact_lm.encoder.attach(exact_codec.teacher)
    return Drawing(exact_lm, exact_codec, None if codebooks is None else codebooks.double())


def _filled(exact: Any, model: Any) -> Any:
    """``exact`` with the weights of ``model``, frozen, where ``model`` is."""
    if not isinstance(model, nn.Module):
        return exact
    exact.double().load_state_dict(model.state_dict())
    first = next(model.parameters(), torch.empty(0))
    return exact.to(first.device).eval().requires_grad_(False)
