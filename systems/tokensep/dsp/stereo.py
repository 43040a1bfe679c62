"""Places mono stems in the channels of the mixture: masks, panning, and a blend of both.

Conventions
-----------
mixture   float32 ``[C, T]``; mono stems ``[S, T]``; placed stems ``[S, C, T]``; all on one device
which     indices of the requested stems; the result for a stem does not depend on this choice
memory    spectra are processed in blocks (:mod:`tokensep.dsp.spectra`), so additional memory does
          not grow with the song
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tokensep.dsp.spectra import BINS, FFT, Synthesis, blocks, magnitude

Samples = NDArray[np.float32]
SILENT = 1e-6
"""RMS below which a signal is silence (-120 dBFS): nothing is generated for it."""
PAN_POWER = 2.0
"""Panning weighs bins by the stems' shares of the energy."""
BANDS = 24
"""In which the level of a stem in a channel is found."""


def rms(samples: Samples) -> float:
    """Root mean square over all channels and samples."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@dataclass(frozen=True)
class Stereo:
    """Settings of the placement."""

    mode: str
    """Of stems without refinement: ``panning``, ``mid-side`` or ``mono``."""
    refine: tuple[str, ...]
    """Of each stem: ``none``, ``mask`` or ``blend``."""
    mask_power: float = 1.0

    def separate(
        self, mixture: Samples, separate_mono: Callable[[Samples, int], Tensor]
    ) -> Samples:
        """Stems ``[S, C, T]`` of ``mixture [C, T]``.

        ``separate_mono(signal [T], song) → [S, T]``; ``song`` is 0 for the mean of the channels
        and 1 for the side signal, so that the two draw with different seeds. Stems are placed on
        the device that it returns them on.
        """
        stems = separate_mono(mixture.mean(0), 0)
        if rms(mixture) < SILENT:
            return np.zeros((len(stems), *mixture.shape), np.float32)
        mixed = torch.from_numpy(mixture).to(stems.device)
        return self._placed(mixed, stems, lambda side: separate_mono(side, 1)).cpu().numpy()

    def _placed(
        self, mixture: Tensor, stems: Tensor, separate_side: Callable[[Samples], Tensor]
    ) -> Tensor:
        """By panning and masks, except what the mode places otherwise."""
        channels = mixture.shape[0]
        is_mono = channels == 1 or self.mode == "mono"
        is_mid_side = self.mode == "mid-side" and channels == 2
        plain = [s for s, how in enumerate(self.refine) if how == "none"]
        if not plain or not (is_mono or is_mid_side):
            return place(mixture, stems, self.refine, self.mask_power)
        if is_mono:
            unrefined = stems[:, None].repeat(1, channels, 1)
        else:
            # mid = (L + R) / 2 and side = (L - R) / 2, so L = mid + side and R = mid - side
            sides = separate_side((0.5 * (mixture[0] - mixture[1])).cpu().numpy())
            unrefined = torch.stack([stems + sides, stems - sides], 1)
        if len(plain) == len(stems):
            return unrefined
        # panned too, though not used: masks need all stems, panning costs little beside the LM
        out = place(mixture, stems, self.refine, self.mask_power)
        out[plain] = unrefined[plain]
        return out


def place(mixture: Tensor, stems: Tensor, refine: Sequence[str], power: float = 1.0) -> Tensor:
    """Stems in the channels of the mixture, each by panning (``none``), ``mask`` or ``blend``.

    A stem costs what its own way needs; the mixture and the stems are analysed for all at once.
    """
    panned = [s for s, how in enumerate(refine) if how != "mask"]
    masked = [s for s, how in enumerate(refine) if how != "none"]
    by_pan, by_mask = _views(mixture, stems, power, panned, masked)
    if not masked or not panned:
        return by_mask if masked else by_pan
    # the views are used up row by row: a whole song is held no more often than needed
    out = by_pan if len(panned) == len(stems) else mixture.new_empty(len(stems), *mixture.shape)
    for s, how in enumerate(refine):
        if how == "blend":
            out[s] = _blended(mixture, by_pan[panned.index(s)], by_mask[masked.index(s)])
        elif how == "mask":
            out[s] = by_mask[masked.index(s)]
        elif out is not by_pan:
            out[s] = by_pan[panned.index(s)]
    return out


def mask_mixture(mixture: Tensor, stems: Tensor, power: float = 1.0) -> Tensor:
    """Soft masks from mono stems on every channel of the mixture.

    A mask is a stem's share of the magnitudes (``power`` 1) or energies (2). The masked stems add
    up to the mixture exactly, and have its phase.
    """
    return place(mixture, stems, ["mask"] * len(stems), power)


def pan(mixture: Tensor, stems: Tensor) -> Tensor:
    """Mono stems placed in the channels of the mixture.

    Through each stem's soft mask the energy of every channel is compared with the mono
    mixture's, per band over the whole signal; that ratio is the stem's gain in the channel.
    """
    return place(mixture, stems, ["none"] * len(stems))


def blend_mixture(mixture: Tensor, stems: Tensor, power: float = 1.0) -> Tensor:
    """Geometric mean of the magnitudes of :func:`pan` and :func:`mask_mixture`.

    The phase is the mixture's. In decibels, it is the mean of two estimates of a stem: the
    generated one, which has no leakage, and the masked mixture, which has the exact timing.
    """
    return place(mixture, stems, ["blend"] * len(stems), power)


def _blended(mixture: Tensor, generated: Tensor, masked: Tensor) -> Tensor:
    """The blend of two views of a stem, each ``[C, T]``."""
    out = Synthesis((len(mixture),), mixture.shape[1], mixture.device)
    for first, (mixed, one, other) in blocks([mixture, generated, masked]):
        phase = mixed / magnitude(mixed).clamp_min(1e-9)
        out.add(first, (), phase, (magnitude(one) * magnitude(other)).sqrt())
    return out.finish()


def _views(
    mixture: Tensor, stems: Tensor, power: float, panned: Sequence[int], masked: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Some stems placed by panning and some by masks (of ``power``), from one analysis."""
    powers = {PAN_POWER for _ in panned} | {power for _ in masked}
    floors = _floors(stems, powers)
    channels, length = mixture.shape
    levels = _Levels(len(stems), channels, mixture.device)
    out = Synthesis((len(masked), channels), length, mixture.device)
    for first, (mixed, spectra) in blocks([mixture, stems]):
        own = [magnitude(spectrum) for spectrum in spectra]
        shares = {p: _shares(own, p, floors[p]) for p in powers}
        if panned:
            levels.add(mixed, shares[PAN_POWER], panned)
        for row, s in enumerate(masked):
            out.add(first, (row,), mixed, shares[power][s])
    return _panned(stems, levels.gains(), panned), out.finish()


def _floors(stems: Tensor, powers: set[float]) -> dict[float, Tensor]:
    """What each stem's level is lifted by ``[S, 1, 1]``: a thousandth of its mean, by power."""
    totals = {p: stems.new_zeros(len(stems), dtype=torch.float64) for p in powers}
    count = 0
    for _, (spectra,) in blocks([stems]):
        for s, spectrum in enumerate(spectra):
            own = magnitude(spectrum)
            for p in powers:
                totals[p][s] += (own**p).sum().double()
        count += spectra.shape[1] * spectra.shape[2]
    return {p: (1e-3 * (t / count) + 1e-12).float()[:, None, None] for p, t in totals.items()}


def _shares(own: list[Tensor], power: float, floor: Tensor) -> list[Tensor]:
    """Shares of all stems in a bin, of their magnitudes ``own``, each ``[BINS, frames]``.

    With the floor, shares add up to 1 everywhere, also where all are silent.
    """
    levels = [magnitudes**power + lift for magnitudes, lift in zip(own, floor, strict=True)]
    total = sum(levels[1:], levels[0])
    return [level / total for level in levels]


class _Levels:
    """Energies of each stem in each channel, by band, and what gains follow from them."""

    def __init__(self, stems: int, channels: int, device: torch.device) -> None:
        edges = torch.unique((FFT // 2 * torch.linspace(0, 1, BANDS + 1) ** 2.5).round().long())
        edges[-1] += 1
        band = torch.bucketize(torch.arange(BINS), edges, right=True) - 1
        self.band, width = band.to(device), len(edges) - 1
        self.energy = torch.zeros(stems, channels, width, dtype=torch.float64, device=device)
        self.reference = torch.zeros(stems, 1, width, dtype=torch.float64, device=device)

    def add(self, mixed: Tensor, shares: list[Tensor], which: Sequence[int]) -> None:
        """A block ``[C, BINS, frames]`` of the mixture and the stems' shares of the energy."""
        power, mono = magnitude(mixed) ** 2, magnitude(mixed.mean(0)) ** 2
        for s in which:
            there, all_in_all = (shares[s] * power).sum(-1), (shares[s] * mono).sum(-1)[None]
            self.energy[s].index_add_(1, self.band, there.double())
            self.reference[s].index_add_(1, self.band, all_in_all.double())

    def gains(self) -> Tensor:
        """``[S, C, BINS, 1]``, 0 to 2."""
        ratios = torch.sqrt((self.energy + 1e-9) / (self.reference + 1e-9)).clamp(0.0, 2.0)
        return ratios.float()[..., self.band, None]


def _panned(stems: Tensor, gains: Tensor, which: Sequence[int]) -> Tensor:
    """The wanted stems with their gains ``[S, C, BINS, 1]``."""
    wanted = stems[list(which)]
    out = Synthesis((len(wanted), gains.shape[1]), stems.shape[1], stems.device)
    for first, (spectra,) in blocks([wanted]) if len(wanted) else ():
        for row, s in enumerate(which):
            out.add(first, (row,), spectra[row], gains[s])
    return out.finish()
