"""NISQA v2's network: convolutions on short segments, attention over all segments, five outputs.

Conventions
-----------
segments   float32 ``[segments, 1, 48, 15]``: mel bands and frames, one every four frames
features   ``[segments, 384]``, the output of six convolutions for each segment
opinions   ``[5]``: the five outputs, over all segments

The weights are those of ``nisqa.tar``, by their names in it. The sizes are those of NISQA v2: the
file's hash is checked before.

Source: Mittag, Naderi, Chehadi, Möller, Interspeech 2021, section 3; equal to
``torchmetrics.functional.audio.nisqa``, whose import would cost each process three seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    Weights = Mapping[str, torch.Tensor]

LAYERS = 6
POOLS = {1: (24, 7), 2: (12, 5), 4: (6, 3)}
"""Convolution to the bands and frames of its pooled output."""
ATTENTIONS, OPINIONS = 2, 5
NORM = 1e-5
"""Added to variances, torch's default."""


class Network:
    """The network with its weights, for inference."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._convolutions = {number: self._folded(number) for number in range(1, LAYERS + 1)}

    def features(self, segments: torch.Tensor) -> torch.Tensor:
        """``[segments, 384]``; quickest with the channels innermost."""
        from torch.nn.functional import adaptive_max_pool2d, conv2d

        x = segments
        for number in range(1, LAYERS + 1):
            # The last kernel spans all three frames, so one frame remains.
            x = conv2d(x, *self._convolutions[number], padding=(1, 0 if number == LAYERS else 1))
            if number in POOLS:  # before the ReLU, which then has a tenth of the work
                x = adaptive_max_pool2d(x, POOLS[number])
            x = x.relu_()
        return x.flatten(1)

    def _folded(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of a convolution with its batch normalisation folded in."""
        weight, bias = self._pair(f"cnn.model.conv{number}")
        name = f"cnn.model.bn{number}"
        mean, variance = (self._weights[f"{name}.running_{kind}"] for kind in ("mean", "var"))
        scale, shift = self._pair(name)
        factor = scale.double() / (variance.double() + NORM).sqrt()
        folded = weight.double() * factor[:, None, None, None]
        return folded.float(), ((bias.double() - mean.double()) * factor + shift.double()).float()

    def opinions(self, features: torch.Tensor) -> torch.Tensor:
        """The opinions ``[5]`` of ``[segments, 384]``."""
        import torch

        x = self._linear("time_dependency.model.linear", features)
        x = self._norm("time_dependency.model.norm1", x)
        for number in range(ATTENTIONS):
            x = self._attention(f"time_dependency.model.layers.{number}", x)
        return torch.cat([self._pooled(f"pool_layers.{k}.model", x) for k in range(OPINIONS)])

    def _attention(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """One layer of self-attention with one head, and two dense layers: ``[segments, 64]``."""
        import torch

        inner = f"{name}.self_attn.in_proj_"
        weight, bias = (self._weights[inner + kind] for kind in ("weight", "bias"))
        query, key, value = torch.nn.functional.linear(x, weight, bias).chunk(3, dim=1)
        shares = torch.softmax(query / query.shape[1] ** 0.5 @ key.T, dim=1)
        x = self._norm(
            f"{name}.norm1", x + self._linear(f"{name}.self_attn.out_proj", shares @ value)
        )
        dense = self._linear(f"{name}.linear2", self._linear(f"{name}.linear1", x).relu())
        return self._norm(f"{name}.norm2", x + dense)

    def _pooled(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Attention pooling: a weighted mean over segments, then a linear layer to one output."""
        import torch

        shares = self._linear(f"{name}.linear2", self._linear(f"{name}.linear1", x).relu())
        # As upstream: a plain matrix product sums the segments in another order, which changes
        # values by 3e-6.
        mean = torch.bmm(torch.softmax(shares.T, dim=1)[None], x[None])[0]
        return self._linear(f"{name}.linear3", mean)[0]

    def _linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import linear

        return linear(x, *self._pair(name))

    def _norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import layer_norm

        weight, bias = self._pair(name)
        return layer_norm(x, weight.shape, weight, bias, NORM)

    def _pair(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias."""
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]
