"""The output heads other than the plain linear one: the depth transformer and latent regression.

Conventions
-----------
K layers (semantic stream first, then acoustic), V entries per layer, ``w = code_dim``
tables  ``c [K, V, w]``: the LM's vector of every entry of every layer
hidden  ``h [..., dim]``: the decoder's output at a step
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokensep.lm import layout as layouts
from tokensep.lm.config import TokenSepConfig
from tokensep.lm.decoder import Decoder


class DepthHead(nn.Module):
    """A small transformer over the layers of one step (RQ-Transformer, arXiv 2203.01941).

    Layer k is predicted from the step's hidden state and the tokens of layers < k.
    """

    def __init__(self, config: TokenSepConfig) -> None:
        super().__init__()
        lm, dim = config.lm, config.lm.depth_dim
        self.join = nn.Linear(lm.dim, dim, bias=False)
        self.layer = nn.Parameter(torch.randn(config.layers, dim) * 0.02)
        self.token = nn.Linear(lm.code_dim, dim, bias=False)
        self.decoder = Decoder(
            dim, lm.depth_layers, lm.depth_heads, 2 * dim, lm.norm_eps, lm.rope_theta, lm.dropout
        )
        self.out = nn.Linear(dim, lm.code_dim, bias=False)

    def forward(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """``hidden [M, dim]``, vectors of the first j layers' tokens ``[M, j, w]``.

        Returns ``[M, j + 1, w]``: the queries of layers 0 … j.
        """
        count = tokens.shape[1] + 1
        # position k holds the token of layer k - 1 (zero at k = 0), the step's hidden state and
        # the embedding of layer k
        x = F.pad(self.token(tokens), (0, 0, 1, 0))  # [M, j + 1, depth_dim]
        x = x + self.join(hidden)[:, None] + self.layer[:count]
        cos, sin = self.decoder.rope(torch.arange(count, device=hidden.device))
        return self.out(self.decoder(x, cos, sin))


class LatentRegressionHead(nn.Module):
    """Estimates the codec's latent of a frame; logits are distances of entries to the estimate.

    In configurations and checkpoints it is called ``anchored``.

    The latent of a frame in one stream is the sum of its layers' entries,
    ``z = sum_k c_k[code_k]``. From the hidden state, the head estimates ``z`` for each frame that
    has tokens in the step (by its lag in frames) and each stream:

        z_hat[g, s] = W[g, s] h + b[g, s]

    When layer k of that frame is predicted, the layers of its stream from earlier steps are known.
    Layer k and later ones must code their residual:

        q_k = z_hat[lag(k), stream(k)] - sum_{j known to k} c_j[code_j]

    With a Gaussian error of diagonal precision ``p_k`` (learned), the log likelihood of entry v is

        log N(q_k | c_kv, diag(1 / p_k)) = -1/2 sum_d p_kd (q_kd - c_kvd)^2 + const
                                         = sum_d p_kd (q_kd c_kvd - c_kvd^2 / 2) + const'

    because ``q_kd^2`` is the same for every v. This plus a learned bias per entry are the logits,
    computed by one matrix product. So one regression loss on ``z_hat`` trains all layers together,
    and ``z_hat`` itself can be decoded to audio.

    Attributes
    ----------
    lags : frame lags in the step, newest first; G of them.
    head_of_layer : int ``[K]``, which of the ``2 G`` estimates a layer compares with.
    known_layers : 0 or 1 ``[K, K]``, row k marks the layers known to layer k.
    stream : int ``[K]``, 0 semantic, 1 acoustic.
    last_head_of_stream : int ``[2]``, the estimate made when most of a stream's frame is known.
    basis ``[2, w, D]``, mean ``[2, w]``, scale ``[2]`` : the codec's latent is
        ``sum_s (z_hat_s scale_s + mean_s) basis_s``; set by :meth:`TokenLM.fit_latent_head`.
    """

    LOG_PRECISION_SCALE = 4.0
    """``p = exp(4 a)`` with the parameter a: precisions range over orders of magnitude, and an
    optimiser that moves every parameter at about the same speed would reach them too slowly."""
    INITIAL_PRECISION = 0.03
    """Of standardised latents. Logits are nearly flat at first, which is a fair prior already: the
    codec puts its entries where latents are dense."""

    head_of_layer: Tensor
    known_layers: Tensor
    stream: Tensor
    last_head_of_stream: Tensor
    basis: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, config: TokenSepConfig, layout: layouts.Layout) -> None:
        super().__init__()
        width, layers = config.lm.code_dim, config.layers
        self.lags = layout.groups
        self.out = nn.Linear(config.lm.dim, len(self.lags) * 2 * width)
        start = math.log(self.INITIAL_PRECISION) / self.LOG_PRECISION_SCALE
        self.log_precision = nn.Parameter(torch.full((layers, width), start))
        stream = [0] * config.semantic_layers + [1] * config.acoustic_layers
        lag = [offset // layout.stride for offset in layout.offsets]
        # estimates are ordered [lag 0 semantic, lag 0 acoustic, lag 1 semantic, …]
        head = [self.lags.index(g) * 2 + s for g, s in zip(lag, stream, strict=True)]
        known = [
            [
                stream[j] == stream[k] and layout.offsets[j] < layout.offsets[k]
                for j in range(layers)
            ]
            for k in range(layers)
        ]
        # a larger lag is a later look at the same frame
        last = [max(h for h, s in zip(head, stream, strict=True) if s == i) for i in set(stream)]
        self.register_buffer("head_of_layer", torch.tensor(head), persistent=False)
        self.register_buffer("known_layers", torch.tensor(known).float(), persistent=False)
        self.register_buffer("stream", torch.tensor(stream), persistent=False)
        self.register_buffer("last_head_of_stream", torch.tensor(last), persistent=False)
        self.register_buffer("basis", torch.zeros(2, width, 2 * width))
        self.register_buffer("mean", torch.zeros(2, width))
        self.register_buffer("scale", torch.ones(2))

    def precision(self) -> Tensor:
        """``p [K, w]``, of each layer and dimension."""
        return (self.LOG_PRECISION_SCALE * self.log_precision).exp()

    def estimates(self, hidden: Tensor) -> Tensor:
        """``z_hat``: ``[..., dim] → [..., 2 G, w]``."""
        return self.out(hidden).unflatten(-1, (2 * len(self.lags), -1))

    def denormalised(self, latents: Tensor) -> Tensor:
        """Estimates of both streams ``[..., 2, w]`` → the codec's latents ``[..., D]``."""
        value = latents * self.scale[:, None] + self.mean
        # each stream has its own D-dimensional basis; the codec's latent is the sum over streams
        return torch.einsum("...sw,swd->...d", value, self.basis)

    def residuals(self, hidden: Tensor, vectors: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Queries ``q [B, S, N, K, w]`` given the true tokens, and ``z_hat [B, S, N, 2 G, w]``.

        Parameters
        ----------
        hidden : ``[B, S, N, dim]``.
        vectors : entries of the true codes ``[B, S, F, K, w]``.
        frame : int ``[N, K]``, the frame of each token of a step (:meth:`Layout.frame_index`).
        """
        latents = self.estimates(hidden)
        # what is known of each frame, per layer: [K, K] x [B, S, F, K, w] -> [B, S, F, K, w]
        known = torch.einsum("kj,bsfjw->bsfkw", self.known_layers, vectors)
        # from frames to steps: step n, layer k takes frame[n, k] (any frame where there is none)
        layer = torch.arange(frame.shape[1], device=frame.device)
        known = known[:, :, frame.clamp_min(0), layer]  # [B, S, N, K, w]
        return latents[..., self.head_of_layer, :] - known, latents

    def true_latents(self, vectors: Tensor) -> Tensor:
        """Sums over each stream's layers: ``[B, S, F, K, w] → [B, S, F, 2, w]``."""
        streams = F.one_hot(self.stream, 2).to(vectors)  # [K, 2]
        return torch.einsum("kt,bsfkw->bsftw", streams, vectors)

    def latent_error(self, latents: Tensor, true: Tensor, stride: int) -> Tensor:
        """Mean squared error of ``z_hat`` where the lag's frame exists.

        ``latents [B, S, N, 2 G, w]``, ``true [B, S, F, 2, w]``; ``stride``: steps per frame.
        """
        latents = latents.unflatten(-2, (len(self.lags), 2))  # [B, S, N, G, 2, w]
        frames, steps = true.shape[2], latents.shape[2]
        step = torch.arange(steps, device=true.device)[:, None]
        frame = torch.div(step, stride, rounding_mode="floor")
        frame = frame - torch.tensor(self.lags, device=true.device)  # [N, G]
        exists = ((frame >= 0) & (frame < frames)).to(true)
        # true[:, :, frame] is [B, S, N, G, 2, w]; the mean over streams and dimensions leaves
        # [B, S, N, G]
        error = (latents - true[:, :, frame.clamp(0, frames - 1)]).square().mean((-1, -2))
        return (error * exists).sum() / (exists.sum() * true.shape[0] * true.shape[1])
