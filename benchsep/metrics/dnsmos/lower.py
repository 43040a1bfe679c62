"""The part of the P.835 network before its first pool: four convolutions, nearly all of its work.

Conventions
-----------
spectrum   float32 ``[frames, 161]``, the input of the first convolution
pooled     float32 ``[32, frames / 2, 80]``, the output of the first pool

The convolutions (:mod:`benchsep.metrics.dnsmos.winograd`) run over strips of frames, so that the
activations between them stay in the processor's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.dnsmos import winograd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

STRIP = 16
"""Frames per strip, an even number."""
REACH = 4
"""Context of four convolutions on either side, in frames."""
_SPARE = 6
"""Rows beside a strip's own: three of the strip before, a zero, one more for an odd count."""


class Filters:
    """Filters ``[out, in, 3, 3]`` and biases ``[out]`` of the convolutions, ready for the kernels.

    Axes of a filter are frames and frequencies.
    """

    def __init__(self, layers: Sequence[tuple[Array, Array]]) -> None:
        (first, _), *later = layers
        self.first = np.ascontiguousarray(first.reshape(len(first), 9).T)
        self.later = [winograd.transformed(filters) for filters, _ in later]
        self.biases = [np.ascontiguousarray(bias) for _, bias in layers]
        self.channels = [len(bias) for bias in self.biases]


class Lower:
    """The convolutions with work memory, for one thread."""

    def __init__(self, filters: Filters) -> None:
        self._filters = filters
        rows, inner = STRIP + _SPARE, filters.channels[:-1]
        self._spectrum = winograd.zeros(rows, winograd.COLUMNS)
        self._maps = [winograd.zeros(rows, winograd.COLUMNS, width) for width in inner]
        self._rooms = {width: winograd.room_for(width) for width in inner}
        self._sums = {width: winograd.room_for(width) for width in filters.channels[1:]}

    def pooled(self, spectrum: Array, before: bool = False, after: bool = False) -> Array:
        """Activations of all frames with complete context.

        ``before`` and ``after``: the signal begins (ends) here, so the context is zeros. Without
        them, the output has four frames fewer at that end.

        Raises
        ------
        ValueError
            if the number of output frames is odd, because the pool takes pairs.
        """
        frames = len(spectrum) - REACH * (2 - before - after)
        if frames % 2 or frames < 0:
            raise ValueError(
                f"{frames} frames are left of {len(spectrum)}: expected an even number"
            )
        out = np.empty((frames // 2, winograd.TILES - 1, self._filters.channels[-1]), np.float32)
        layers = [self._spectrum, *self._maps]
        for rows in layers:
            rows[0] = 0.0
        have, done = [int(before)] * len(layers), 0
        for start in range(0, len(spectrum), STRIP):
            given, last = spectrum[start : start + STRIP], start + STRIP >= len(spectrum)
            layers[0][have[0] : have[0] + len(given), 1 : 1 + winograd.FREQUENCIES] = given
            have[0] += len(given)
            for k, rows in enumerate(layers):
                if last and after:
                    rows[have[k]] = 0.0
                    have[k] += 1
                count = have[k] - 2
                if not last:
                    count -= count % 2
                if k + 1 < len(layers):
                    self._convolve(k, count, layers[k + 1], have[k + 1])
                    have[k + 1] += count
                else:
                    self._convolve(k, count, out, done)
                    done += count // 2
                have[k] -= count
                rows[: have[k]] = rows[count : count + have[k]].copy()
        return np.ascontiguousarray(out.transpose(2, 0, 1))

    def _convolve(self, layer: int, count: int, out: Array, at: int) -> None:
        """``count`` rows by a convolution, to ``out`` from row ``at`` on."""
        bias = self._filters.biases[layer]
        if layer == 0:
            winograd.convolve_first(self._spectrum, self._filters.first, bias, count, out, at)
            return
        maps, filters = self._maps[layer - 1], self._filters.later[layer - 1]
        room, sums = self._rooms[maps.shape[2]], self._sums[out.shape[2]]
        pooled = layer == len(self._maps)
        winograd.convolve(maps, filters, bias, count, room, sums, out, at, pooled)
