"""Closed-form start of the design ``bands``: regression, principal components, k-means.

If encoder and codebooks are trained together from random weights, each must follow changes of the
other. Here the encoder is computed without gradients and then fixed, and only the decoder is
trained.

1. The semantic tokens' best linear guess (ridge regression) of the band levels of their frame.
2. Principal components of its residual, and of the pitch salience: the acoustic latents.
3. Residual k-means of these latents: the acoustic codebooks.
4. The decoder's linear path is the inverse of 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from tokensep.codec.bands import BandEncoder, neighbours
from tokensep.codec.harmonic import HarmonicDecoder
from tokensep.codec.model import HCodec
from tokensep.errors import ConfigError

BAND_SCALE = 0.12
"""Latent units per nat of a band component (orthonormal), which makes the largest about 5."""
TONE_SCALE = 2.0
"""Latent units per unit of a tone component: an eighth of the variance is pitch."""
RIDGE = 0.01
"""Regularisation of the regression, in mean variances of its inputs."""


def ridge(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Weight ``[out, in]`` and bias ``[out]`` of the ridge regression of ``y`` on ``x``."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x / len(x)
    eye = torch.eye(len(gram), device=x.device)
    weight = torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * eye, x.T @ y / len(x)).T
    return weight, y_mean - weight @ x_mean


def components(x: Tensor, count: int) -> Tensor:
    """First ``count`` principal directions of ``[N, C]`` about its mean, orthonormal rows."""
    x = x - x.mean(0)
    vectors: Tensor = torch.linalg.eigh(x.T @ x / len(x)).eigenvectors
    return vectors.flip(1)[:, :count].T.contiguous()


@torch.no_grad()
def fit(codec: HCodec, batches: Iterable[Tensor]) -> dict[str, float]:
    """Set encoder, acoustic codebooks and the decoder's linear path from waves ``[B, T]``.

    The semantic branch must be trained already.

    Returns
    -------
    Mean absolute error of band levels in nats on these waves: of their mean (``mean``), after the
    semantic tokens' guess (``hint``), after projection, and after quantisation.

    Raises
    ------
    ConfigError
        The codec is of another design.
    """
    encoder, decoder = codec.encoder, codec.decoder
    if not isinstance(encoder, BandEncoder) or not isinstance(decoder, HarmonicDecoder):
        raise ConfigError(f"fit: found the design {codec.config.design!r}, expected 'bands'")
    was = codec.training
    codec.eval()
    levels, hints, tones = [], [], []
    for wave in batches:
        semantic = codec.quantised_semantic(wave)
        levels.append(encoder.band_levels(wave).flatten(0, 1))
        hints.append(neighbours(semantic, codec.config.bands.context).flatten(0, 1))
        tones.append(encoder.tones(wave).flatten(0, 1))
    found = set_matrices(encoder, decoder, torch.cat(levels), torch.cat(hints), torch.cat(tones))
    rest, latents = found
    codec.acoustic_rvq.start(latents, len(latents))
    kept = encoder.project.out_features
    guess = latents[:, :kept] @ encoder.project.weight / BAND_SCALE**2
    quantised = codec.acoustic_rvq(latents[None])[0][0]
    final = quantised[:, :kept] @ encoder.project.weight / BAND_SCALE**2
    codec.train(was)
    everything = torch.cat(levels)
    errors = {
        "mean": everything - everything.mean(0),
        "hint": rest,
        "projection": rest - guess,
        "quantised": rest - final,
    }
    return {name: float(error.abs().mean()) for name, error in errors.items()}


def set_matrices(
    encoder: BandEncoder, decoder: HarmonicDecoder, levels: Tensor, hints: Tensor, tones: Tensor
) -> tuple[Tensor, Tensor]:
    """Set every matrix from ``[N, C]`` data; returns what the hint leaves, and the latents."""
    weight, bias = ridge(hints, levels)
    encoder.hint.weight.copy_(weight)
    encoder.hint.bias.copy_(bias)
    rest = levels - encoder.hint(hints)
    directions = components(rest, encoder.project.out_features)
    encoder.project.weight.copy_(BAND_SCALE * directions)
    pitch = TONE_SCALE * components(tones, encoder.tone.out_features)
    encoder.tone.weight.copy_(pitch)
    encoder.tone.bias.copy_(-pitch @ tones.mean(0))
    # the inverse: components back to levels, plus the same guess from the semantic latents
    kept, width = len(directions), decoder.latent_dim
    decoder.linear.weight.zero_()
    decoder.linear.weight[:, :kept] = directions.T / BAND_SCALE
    decoder.linear.weight[:, width:] = weight
    decoder.linear.bias.copy_(bias)
    return rest, torch.cat([encoder.project(rest), encoder.tone(tones)], -1)
