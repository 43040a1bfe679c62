"""The loss of :class:`tokensep.codec.harmonic.HarmonicDecoder`: distances of magnitudes.

Conventions
-----------
Log-magnitudes ``[B, N, bins]`` in nats, 10 ms apart; every term is a mean, unweighted.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from tokensep.codec.harmonic import FLOOR
from tokensep.codec.layers import mel_filters
from tokensep.codec.losses import gammatone_filters
from tokensep.config import SpectrogramLossConfig

ERB_BANDS = 32
FINE_BINS, FINE_FRAMES = 32, 4
"""A block of the term ``fine``: bins by frames."""


def structure(estimate: Tensor, reference: Tensor, dims: tuple[int, ...], soft: float) -> Tensor:
    """Mean of one minus the correlation over ``dims``, with ``soft`` added above and below.

    The structure term of SSIM (Wang et al. 2004). ``soft`` is a variance in nats squared: flat
    patches count as equal, and what is softer than it hardly counts.
    """
    a = estimate - estimate.mean(dims, keepdim=True)
    b = reference - reference.mean(dims, keepdim=True)
    product = (a * b).mean(dims)
    norm = (a.pow(2).mean(dims) * b.pow(2).mean(dims) + 1e-6).sqrt()
    return 1 - ((product + soft) / (norm + soft)).mean()


def blocks(x: Tensor) -> Tensor:
    """Whole blocks of the lower half of the bins: ``[B, n, frames, m, bins of a block]``."""
    width = x.shape[-1] // 2 // FINE_BINS * FINE_BINS
    count = x.shape[1] // FINE_FRAMES * FINE_FRAMES
    x = x[:, :count, 4 : 4 + width].unflatten(1, (-1, FINE_FRAMES))
    return x.unflatten(-1, (-1, FINE_BINS))


def patches(x: Tensor) -> Tensor:
    """All 3 x 3 patches of ``[B, N, bands]``: ``[B, n, m, 9]``."""
    return x.unfold(1, 3, 1).unfold(2, 3, 1).flatten(-2)


class SpectrogramLoss(nn.Module):
    """Terms by name:

    ``bins`` : asymmetric absolute error. A value below the reference costs ``quantile``, one above
        ``1 - quantile``, times 2: 0.5 gives the median of noise, which is 1.6 dB below its power.
    ``loud`` : absolute error of magnitudes to the power 0.3.
    ``erb``, ``mel`` : absolute errors of log levels in 32 gammatone bands of 80 ms, 128 mel bands.
    ``patches`` : structure of the ERB bands, 3 x 3 values a patch.
    ``fine`` : structure of blocks of 32 bins by 4 frames: partials must be where they are.
    ``convergence`` : relative error of linear magnitudes.
    """

    bin_weights: Tensor
    filters: Tensor

    def __init__(self, config: SpectrogramLossConfig, rate: int, n_fft: int) -> None:
        super().__init__()
        self.config = config
        hz = torch.arange(n_fft // 2 + 1) * rate / n_fft
        density = 1 / (24.7 * (4.37 * hz / 1000 + 1))  # ERB bands per Hz
        weights = 0.5 + 0.5 * density / density.mean()
        self.register_buffer("bin_weights", weights, persistent=False)
        filters = [gammatone_filters(rate, n_fft, ERB_BANDS), mel_filters(rate, n_fft, 128)]
        self.register_buffer("filters", torch.cat(filters, 1), persistent=False)

    def levels(self, magnitude: Tensor) -> tuple[Tensor, Tensor]:
        """Log levels in ERB bands, 8 frames each, and in mel bands."""
        erb, mel = (magnitude**2 @ self.filters).tensor_split([ERB_BANDS], -1)
        erb = fn.avg_pool1d(erb.transpose(1, 2), 8, 2).transpose(1, 2)
        return 0.5 * torch.log(erb + FLOOR**2), 0.5 * torch.log(mel + FLOOR**2)

    def forward(self, estimate: Tensor, reference: Tensor) -> dict[str, Tensor]:
        q, difference = 2 * self.config.quantile, reference - estimate
        error = torch.maximum(q * difference, (q - 2) * difference)
        terms = {"bins": (error * self.bin_weights).mean()}
        soft = (0.3 * reference).exp()
        loud = (((0.3 * estimate.clamp_max(2.0)).exp() - soft).abs() * self.bin_weights).mean()
        terms["loud"] = loud / soft.mean()
        out, ref = estimate.clamp_max(2.0).exp(), reference.exp()
        (out_erb, out_mel), (ref_erb, ref_mel) = self.levels(out), self.levels(ref)
        terms["erb"] = (out_erb - ref_erb).abs().mean()
        terms["mel"] = (out_mel - ref_mel).abs().mean()
        terms["patches"] = structure(patches(out_erb), patches(ref_erb), (-1,), 0.05)
        terms["fine"] = structure(blocks(estimate), blocks(reference), (2, 4), 0.05)
        relative = (out - ref).pow(2).sum((1, 2)) / (ref.pow(2).sum((1, 2)) + 1e-4)
        # bounded per crop: a nearly silent one must not rule the step
        terms["convergence"] = (relative + 1e-6).sqrt().clamp_max(3.0).mean()
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Weighted sum of the terms."""
        weights = self.config.model_dump()
        return torch.stack([weights[name] * value for name, value in terms.items()]).sum()


def pitch_loss(weights: Tensor, salience: Tensor, confidence: Tensor) -> Tensor:
    """Cross entropy of the first comb's weights with the salience, where there is a pitch.

    ``weights [B, N, grid]``, ``salience [B, M, grid]``, ``confidence [B, M]``; ``N`` is a whole
    multiple of ``M``.
    """
    near = weights.unflatten(1, (salience.shape[1], -1))  # [B, M, N / M, grid]
    entropy = -(salience[:, :, None] * torch.log(near + 1e-6)).sum(-1)
    return (entropy * confidence[:, :, None]).mean() / confidence.mean().clamp_min(0.05)
