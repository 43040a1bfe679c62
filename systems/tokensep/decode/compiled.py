"""The decoding step as one compiled call per row (numba), with fp32 or int8 weights.

At batch size 1, the call overhead of the small operations is a third of the time of a step. Here a
step is one call (:mod:`tokensep.decode.kernels`): products read each weight once, in memory order,
with few allocations. No C++ compiler is needed, but the first use in a process compiles (2.4 CPU
seconds measured, and numba's import 0.2), so :func:`should_compile` decides by the length of the
job.

``int8``: each column of a matrix is stored as 8-bit integers and one scale (weight only,
activations stay fp32): a quarter of the memory to read.

Conventions
-----------
As :mod:`tokensep.decode.static`: ``x [R, dim]``, one position at a time; its numbers up to
rounding in fp32 (tested). Rows are computed one after the other: for many rows in fp32
``tokensep.decode.static`` is faster.
Matrices ``[layers, in, out]``, caches ``[rows, layers, length, dim]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokensep.decode.position import HostPosition
from tokensep.decode.static import StaticDecoder
from tokensep.errors import ConfigError
from tokensep.lm.decoder import Decoder, KVCache

STEPS_WORTH_COMPILING = 5_000
"""Number of steps of one row for which compilation saves time: each step is about 1 ms faster."""


def should_compile(steps: int, rows: int, reference_tensor: Tensor) -> bool:
    """Whether the compiled step saves time: one row, on a CPU, in fp32, and many steps."""
    return rows == 1 and is_supported(reference_tensor) and steps >= STEPS_WORTH_COMPILING


def is_supported(reference_tensor: Tensor) -> bool:
    """Whether a model with weights like this one can be run by the compiled step."""
    return reference_tensor.device.type == "cpu" and reference_tensor.dtype == torch.float32


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices ``[L, in, out]`` as int8 and the scale of each column ``[L, out]``.

    ``W ~ scale * round(W / scale)`` with ``scale = max |column| / 127``: symmetric, no offset.
    """
    scale = weight.abs().amax(1).clamp_min(1e-12) / 127
    return (weight / scale[:, None]).round().to(torch.int8), scale


class CompiledDecoder(StaticDecoder):
    """A :class:`StaticDecoder` whose step is one compiled call per row.

    Parameters
    ----------
    int8 : store the matrices as 8-bit integers.

    Raises
    ------
    ConfigError
        the model is not on a CPU in fp32.
    """

    def __init__(
        self,
        decoder: Decoder,
        rows: int,
        length: int,
        cos: Tensor,
        sin: Tensor,
        *,
        int8: bool = False,
    ) -> None:
        if not is_supported(cos):
            raise ConfigError(
                f"step=compiled and step=int8 need a CPU and fp32, "
                f"found {cos.device}, {cos.dtype}; use step=plain"
            )
        super().__init__(decoder, rows, 0, cos, sin)  # its caches stay empty
        # from a tuple of four matrices per layer to four stacks [layers, in, out]
        kinds = zip(*self.weights, strict=True)
        stacked = [torch.stack([m.weight for m in kind]) for kind in kinds]
        # no scales [layers, 0] in fp32: the kernel then scales nothing
        pairs = [quantised(w) if int8 else (w, w.new_empty(len(w), 0)) for w in stacked]
        self.matrices = tuple(_array(w) for w, _ in pairs)
        self.scales = tuple(_array(s) for _, s in pairs)
        self.weights = []
        shape = (rows, len(decoder.blocks), length, self.dim)
        self.stored = np.empty(shape, np.float32), np.empty(shape, np.float32)
        self.tables = _array(self.cos), _array(self.sin)
        self.gain, self.lowest = _array(self.last), float(self.floor)
        from tokensep.decode import kernels

        self.run = kernels.step

    def fill(self, decoder: Decoder, prefix: Tensor) -> None:
        """As :meth:`StaticDecoder.fill`; what it stores is laid out for the compiled step."""
        rows, count, blocks = *prefix.shape[:2], len(decoder.blocks)
        cache = KVCache.empty(blocks, rows, self.heads, count, self.width, prefix)
        self.keys, self.values = cache.keys, cache.values
        super().fill(decoder, prefix)
        for filled, target in zip((cache.keys, cache.values), self.stored, strict=True):
            for layer in range(blocks):
                # [R, heads, P, width] -> [R, P, dim]
                target[:, layer, :count] = filled[layer].transpose(1, 2).flatten(2).numpy()
        self.keys, self.values = [], []

    def step(self, x: Tensor) -> Tensor:
        """``[R, dim]`` → normed output ``[R, dim]``; the caches grow by one."""
        state, out = x.numpy().copy(), np.empty(x.shape, np.float32)
        now = self.position
        assert isinstance(now, HostPosition)
        keys, values = self.stored
        for row in range(len(state)):
            self.run(
                state[row], self.matrices, self.scales, keys[row], values[row],
                *self.tables, now.index, self.heads, self.lowest, self.gain, out[row],
            )  # fmt: skip
        now.advance()
        return torch.from_numpy(out)


def _array(x: Tensor) -> NDArray[Any]:
    return np.ascontiguousarray(x.detach().numpy())
