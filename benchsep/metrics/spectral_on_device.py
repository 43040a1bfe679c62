"""MR-STFT with torch on a device, in float64.

Conventions
-----------
padded    a filtered signal with :func:`edge` reflected samples at both ends; frame ``k`` of a size
          begins at sample ``edge - size / 2 + k * size / 4``
segment   :data:`SEGMENT` samples of hops, with all samples of their frames: the block that is on
          the device, for any length of the song

The CPU engine (:mod:`benchsep.metrics.spectral`) computes in float32. The difference is its
rounding, mainly in the logarithms of quiet bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep.metrics.device import uploaded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

SEGMENT = 1 << 19
"""A multiple of every hop; about 200 MB of spectra."""


def mrstft(
    reference: Array,
    estimate: Array,
    taps: Array,
    sizes: tuple[int, ...],
    floor: float,
    device: Any,
) -> float:
    """As :func:`benchsep.metrics.spectral.mrstft`, of signals ``[frames]`` longer than an edge.

    Parameters
    ----------
    taps
        Taps of the symmetric filter, an odd number.
    sizes
        Frame lengths; hops are a quarter of each.
    floor
        Smallest power of a bin.
    """
    import torch

    signals, frames = [reference, estimate], len(reference)
    kernel = torch.from_numpy(taps).to(device).double()
    windows = {size: torch.hann_window(size, dtype=torch.float64, device=device) for size in sizes}
    sums = {size: torch.zeros(3, dtype=torch.float64, device=device) for size in sizes}
    for start in range(0, frames + 1, SEGMENT):
        segment = _padded(signals, start, max(sizes), kernel, device)
        for size, window in windows.items():
            hop, first = size // 4, (max(sizes) - size) // 2
            count = (min(start + SEGMENT, frames + 1) - start + hop - 1) // hop
            part = segment[:, first : first + (count - 1) * hop + size]
            sums[size] += _sums(torch.fft.rfft(part.unfold(1, size, hop) * window), floor)
    total = 0.0
    for size, found in sums.items():
        error, energy, logs = found.tolist()
        bins = (size // 2 + 1) * (1 + frames // (size // 4))
        total += (error / energy) ** 0.5 + logs / bins
    return total / len(sizes)


def _padded(signals: list[Array], start: int, size: int, kernel: Any, device: Any) -> Any:
    """``[signals, samples]`` of the padded signals from ``start`` on, for one segment of frames."""
    from torch.nn.functional import conv1d, pad

    frames, edge, reach = len(signals[0]), size // 2, len(kernel) // 2
    stop = min(start + SEGMENT + size, frames + 2 * edge)
    # The reflected samples near the ends must be filtered too.
    low, high = max(0, start - 2 * edge - 1), min(frames, stop + 1)
    given = uploaded(signals, low - reach, high - low + 2 * reach, device)
    filtered = conv1d(given[:, None], kernel[None, None])[:, 0]
    left = edge if low == 0 else 0
    right = edge if high == frames else 0
    padded = pad(filtered[None], (left, right), mode="reflect")[0]
    begin = start - (low + edge - left)
    return padded[:, begin : begin + stop - start]


def _sums(spectra: Any, floor: float) -> Any:
    """For magnitudes ``Y`` and ``X``: sums of ``(Y - X)^2``, ``Y^2`` and ``|ln Y - ln X|``."""
    import torch

    powers = torch.view_as_real(spectra).square().sum(-1).clamp_min_(floor)
    y, x = powers  # [frames, bins]
    gap = (y.sqrt() - x.sqrt()).square().sum()
    return torch.stack([gap, y.sum(), (y / x).log().abs().sum() / 2])
