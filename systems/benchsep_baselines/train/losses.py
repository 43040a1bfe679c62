"""What the minis are trained on: a logarithmic error, and a distance of compressed spectra.

Conventions
-----------
arguments  estimate and target ``[B, 4, 2, T]`` of mixtures of unit standard deviation
"""

from __future__ import annotations

import torch
from torch import Tensor

FLOOR = 0.003
"""Of the mixture's power: below -25 dB an error, or a stem, is as good as silent."""

SIZES = (512, 2048)
"""Samples of the windows of the spectra, half a window apart."""

POWER = 0.3
"""Of the magnitudes: -40 dB count as 0.25 of 0 dB, so that a noise floor is heard."""

SMALLEST = 1e-3
"""Of a magnitude; smoother below, where the power's slope has no bound."""


def log_error_ratio(estimate: Tensor, target: Tensor) -> Tensor:
    """``log10((|s - e|^2 + FLOOR) / (|s|^2 + FLOOR))``, mean over items and stems: -uSDR / 10.

    Powers are means over channels and samples.

    Most separators train with L1. Its optimum is a median, which for a weak model of a quiet stem
    is silence. Squared error leads to the mean, and the logarithm gives quiet stems the weight of
    loud ones. The two were not compared with all else equal; the model cards say what was tried.
    """
    error = (estimate - target).square().mean((-2, -1))
    power = target.square().mean((-2, -1))
    return ((error + FLOOR) / (power + FLOOR)).log10().mean()


def spectral_distance(estimate: Tensor, target: Tensor, excess: float = 0.5) -> Tensor:
    """Mean absolute difference of magnitudes to the power 0.3, mean over :data:`SIZES`.

    Squared error leaves a noise floor 20 to 25 dB below the stem: less of it would not be worth a
    decibel. It is audible, fills what is silent in the mixture, and lowers ViSQOL; the power makes
    it count.

    ``excess`` is the share of the weight that lies on what the estimate has too much of. At 1/2 the
    best estimate of an uncertain bin is the median of what it may be, so a bin that is more often
    than not the stem's is given to it whole, and other stems are heard there. At ``1 - q`` it is
    the quantile ``q``: less is given, and less bleeds.
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
