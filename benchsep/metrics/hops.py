"""Energies of hops: short parts of a signal, one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep.metrics.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Real = NDArray[np.float64]

CHAINS = 8
"""Partial sums of a hop, because additions to a single sum wait for each other."""


def hop_energies(samples: NDArray[np.float32], hop: int) -> Real:
    """Energy of each hop of ``[channels, frames]``, summed over channels: ``[hops]``.

    The last hop counts as padded with zeros.
    """
    out = np.zeros(-(-samples.shape[1] // hop))
    for channel in np.ascontiguousarray(samples, np.float32):
        _add(channel, hop, out)
    return out


@kernel
def _add(signal: NDArray[np.float32], hop: int, out: Real) -> None:
    sums = np.empty(CHAINS)
    for index in range(out.shape[0]):
        part = signal[index * hop : (index + 1) * hop]
        whole = part.shape[0] // CHAINS * CHAINS
        sums[:] = 0.0
        for n in range(0, whole, CHAINS):
            for k in range(CHAINS):
                value = np.float64(part[n + k])
                sums[k] += value * value
        for n in range(whole, part.shape[0]):
            sums[n - whole] += np.float64(part[n]) * np.float64(part[n])
        out[index] += sums.sum()
