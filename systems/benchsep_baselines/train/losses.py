"""Losses of the minis: a logarithmic error, and a distance of compressed spectra.

Conventions
-----------
arguments  estimate and target ``[B, 4, 2, T]`` of mixtures of unit standard deviation
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 0.003
"""Floor relative to the mixture's power (-25 dB): quieter errors or stems count as silent."""

SIZES = (512, 2048)
"""Window lengths of the spectra in samples; the hop is half a window."""

POWER = 0.3
"""Exponent of the magnitudes: -40 dB count as 0.25 of 0 dB, so that a noise floor has an
influence."""

SMALLEST = 1e-3
"""Smoothing limit of a magnitude, because the slope of the power is unbounded at zero."""


def log_error_ratio(estimate: Tensor, target: Tensor) -> Tensor:
    """``log10((|s - e|^2 + FLOOR) / (|s|^2 + FLOOR))``, mean over items and stems: -uSDR / 10.

    Powers are means over channels and samples.

    Most separators are trained with L1. Its optimum is a median, which for a weak model and a quiet
    stem is silence. The optimum of the squared error is the mean, and the logarithm gives quiet and
    loud stems equal weight. The two were not compared with all else equal; the model cards list
    what was tried.
    """
    error = (estimate - target).square().mean((-2, -1))
    power = target.square().mean((-2, -1))
    return ((error + FLOOR) / (power + FLOOR)).log10().mean()


def spectral_distance(estimate: Tensor, target: Tensor, excess: float = 0.5) -> Tensor:
    """Mean absolute difference of magnitudes to the power 0.3, mean over :data:`SIZES`.

    The squared error leaves a noise floor 20 to 25 dB below the stem, because a reduction would
    improve it by less than 1 dB. This noise is audible, fills silent parts of the mixture, and
    lowers ViSQOL; with the exponent it has an influence.

    ``excess`` is the share of the weight on excess energy of the estimate. With 1/2, the optimal
    estimate of an uncertain bin is the median, so a bin that usually belongs to the stem is
    assigned to it completely, with audible bleed. With ``1 - q``, the optimum is the quantile
    ``q``: less energy and less bleed.
    """
    total = estimate.new_zeros(())
    for size in SIZES:
        over = _compressed(estimate, size) - _compressed(target, size)
        # |x| is relu(x) + relu(-x), each of weight 1; here 2 * excess and 2 - 2 * excess
        total = total + over.abs().mean() + (2 * excess - 1) * over.mean()
    return total / len(SIZES)


def _compressed(audio: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size, device=audio.device)
    spectrum = torch.stft(
        audio.reshape(-1, audio.shape[-1]), size, size // 2, window=window, return_complex=True
    )
    # The root of the window's energy makes white noise of unit deviation a magnitude near 1.
    power = (spectrum.real.square() + spectrum.imag.square()) / window.square().sum()
    compressed: Tensor = (power + SMALLEST**2).pow(POWER / 2)
    return compressed
