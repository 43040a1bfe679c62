"""From mono stems to the channels of the mixture: masks, panning, and a blend of both.

All work on spectra a block at a time (:mod:`tokensep.dsp.spectra`): what they need besides the
samples does not grow with the song.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokensep.dsp.spectra import BINS, FFT, Synthesis, blocks

Samples = NDArray[np.float32]
SILENT = 1e-6
"""RMS below which a signal is silence (-120 dBFS): nothing is generated for it."""


def rms(samples: Samples) -> float:
    """Root mean square over all channels and samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@dataclass(frozen=True)
class Stereo:
    """How mono stems become the channels of the mixture.

    ``refine`` ``mask`` or ``blend`` decides alone; with ``none`` the ``mode`` does.
    """

    mode: str
    """``panning``, ``mid-side`` or ``mono``."""
    refine: str
    """``none``, ``mask`` or ``blend``."""
    mask_power: float = 1.0

    def separate(
        self, mixture: Samples, separate_mono: Callable[[Samples, int], Samples]
    ) -> Samples:
        """Stems ``[S, C, T]`` of ``mixture [C, T]``.

        ``separate_mono(signal [T], song) → [S, T]``; ``song`` is 0 for the mean of the channels
        and 1 for the side signal, so that the two draw with different seeds.
        """
        channels = mixture.shape[0]
        stems = separate_mono(mixture.mean(0), 0)
        if rms(mixture) < SILENT:
            return np.zeros((len(stems), *mixture.shape), np.float32)
        if self.refine == "mask":
            return mask_mixture(mixture, stems, self.mask_power)
        if self.refine == "blend":
            return blend_mixture(mixture, stems, self.mask_power)
        if channels == 1 or self.mode == "mono":
            return np.repeat(stems[:, None], channels, 1)
        if self.mode == "mid-side" and channels == 2:
            # mid = (L + R) / 2 and side = (L - R) / 2, so L = mid + side and R = mid - side
            sides = separate_mono(0.5 * (mixture[0] - mixture[1]), 1)
            return np.stack([stems + sides, stems - sides], 1)
        return pan(mixture, stems)


def mask_mixture(mixture: Samples, stems: Samples, power: float = 1.0) -> Samples:
    """Soft masks from mono ``stems [S, T]`` on every channel of ``mixture [C, T]``: ``[S, C, T]``.

    The result adds up to the mixture exactly, and has its phase.
    """
    out = Synthesis((len(stems), mixture.shape[0]), mixture.shape[1])
    for first, mixed, masks in _shared(mixture, stems, power):
        for s, mask in enumerate(masks):
            out.add(first, (s,), mask * mixed)
    return out.finish().numpy()


def pan(mixture: Samples, stems: Samples, bands: int = 24) -> Samples:
    """Mono ``stems [S, T]`` placed in the channels of ``mixture [C, T]``: ``[S, C, T]``.

    Through each stem's soft mask the energy of every channel is compared with the mono
    mixture's, per band over the whole signal; that ratio is the stem's gain in the channel.
    """
    edges = torch.unique((FFT // 2 * torch.linspace(0, 1, bands + 1) ** 2.5).round().long())
    edges[-1] += 1
    band = torch.bucketize(torch.arange(BINS), edges, right=True) - 1
    width, channels = len(edges) - 1, mixture.shape[0]
    energy = torch.zeros(len(stems), channels, width, dtype=torch.float64)
    reference = torch.zeros(len(stems), 1, width, dtype=torch.float64)
    for _, mixed, masks in _shared(mixture, stems, 2.0):
        power, mono = mixed.abs() ** 2, mixed.mean(0).abs() ** 2
        for s, mask in enumerate(masks):
            energy[s].index_add_(1, band, (mask * power).sum(-1).double())
            reference[s].index_add_(1, band, (mask * mono).sum(-1)[None].double())
    ratios = torch.sqrt((energy + 1e-9) / (reference + 1e-9)).clamp(0.0, 2.0)
    gains = ratios.float()[..., band, None]
    out = Synthesis((len(stems), channels), mixture.shape[1])
    for first, (spectra,) in blocks([torch.from_numpy(np.ascontiguousarray(stems))]):
        for s, spectrum in enumerate(spectra):
            out.add(first, (s,), gains[s] * spectrum)
    return out.finish().numpy()


def blend_mixture(mixture: Samples, stems: Samples, power: float = 1.0) -> Samples:
    """Geometric mean of the magnitudes of :func:`pan` and :func:`mask_mixture`, ``[S, C, T]``.

    The phase is the mixture's. In decibels it is the mean of two views of a stem: what was
    generated, which knows no leak, and what the mixture has there, which knows the timing.
    """
    out = Synthesis((len(stems), mixture.shape[0]), mixture.shape[1])
    views = (pan(mixture, stems), mask_mixture(mixture, stems, power))
    waves = [torch.from_numpy(wave) for view in views for wave in view]
    for first, (mixed, *spectra) in blocks([torch.from_numpy(mixture), *waves]):
        phase = mixed / mixed.abs().clamp_min(1e-9)
        pairs = zip(spectra[: len(stems)], spectra[len(stems) :], strict=True)
        for s, (generated, masked) in enumerate(pairs):
            out.add(first, (s,), (generated.abs() * masked.abs()).sqrt() * phase)
    return out.finish().numpy()


def _shared(mixture: Samples, stems: Samples, power: float) -> Iterator[tuple[int, Tensor, Tensor]]:
    """First frame, the mixture's spectra and the stems' shares ``[S, BINS, frames]``, by blocks.

    A share is of the energy (``power`` 2) or magnitude (1) of all stems in a bin, each lifted by
    a thousandth of its mean: shares add up to 1 everywhere, also where all are silent.
    """
    mono = torch.from_numpy(np.ascontiguousarray(stems))
    total, count = torch.zeros(len(stems), dtype=torch.float64), 0
    for _, (spectra,) in blocks([mono]):
        total += (spectra.abs() ** power).sum((1, 2)).double()
        count += spectra.shape[1] * spectra.shape[2]
    floor = (1e-3 * (total / count) + 1e-12).float()[:, None, None]
    for first, (mixed, spectra) in blocks([torch.from_numpy(mixture), mono]):
        level = spectra.abs() ** power + floor
        yield first, mixed, level / level.sum(0)
