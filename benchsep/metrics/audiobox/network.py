"""The network of Audiobox Aesthetics: WavLM's base trunk and a head for each of four axes.

Conventions
-----------
signal    ``[frames]`` float32 at 16 kHz, as it is: no normalisation, no level change
windows   10 s each, the last one padded with zeros; its padding is masked in the trunk
trunk     the embedding and the outputs of all layers, weighted by the axis' softmax weights, and
          averaged over the steps that hold signal (20 ms each): ``[hidden]``
head      linear layers, then ``value * std + mean`` of the axis
score     the mean over windows, weighted by the signal in each; about 1 to 10
layout    the published state dict and configuration (``checkpoint.pt``, or ``config.json`` with
          ``model.safetensors``). Sizes are read off the weights, strides and the largest
          distance of the relative positions are WavLM's. Every weight must be there and used

Source: Tjandra et al., "Meta Audiobox Aesthetics", 2025 (arXiv 2502.05139); code and weights CC-BY
4.0, its WavLM MIT (microsoft/unilm). The trunk is transformers' own WavLM.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Weights = dict[str, torch.Tensor]

AXES = ("CE", "CU", "PC", "PQ")
"""Content enjoyment, content usefulness, production complexity, production quality."""
CONFIG = "config.json"
RATE = 16_000
WINDOW = 10 * RATE
SHORTEST = 400
"""Samples of one step of the trunk."""
STRIDES = (5, 2, 2, 2, 2, 2, 2)
MAX_DISTANCE = 800
HOP = 320

_POSITION = "encoder.pos_conv_embed.conv."
_NAMES = (
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (r"^feature_extractor\.conv_layers\.0\.2\.", r"feature_extractor.conv_layers.0.layer_norm."),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^mask_emb$", "masked_spec_embed"),
    (r"^encoder\.pos_conv\.0\.weight_g$", f"{_POSITION}parametrizations.weight.original0"),
    (r"^encoder\.pos_conv\.0\.weight_v$", f"{_POSITION}parametrizations.weight.original1"),
    (r"^encoder\.pos_conv\.0\.", _POSITION),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
)  # fmt: skip
"""Names of the published WavLM, as patterns, and those of transformers; the first match counts."""


@dataclass(frozen=True)
class Published:
    """A checkpoint as published: its weights and its configuration."""

    weights: Weights
    config: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Published:
        """``checkpoint.pt``, or a folder with it or with ``config.json`` and the safetensors.

        Raises
        ------
        OSError
            a file is absent or cannot be read.
        ValueError
            the file is not a checkpoint of Audiobox Aesthetics.
        """
        file, *configuration = weights_files(path)
        if not configuration:
            return cls._of_pickle(file)
        from safetensors.torch import load_file

        return cls(load_file(file), json.loads(configuration[0].read_text("utf-8")))

    @classmethod
    def _of_pickle(cls, path: Path) -> Published:
        import torch

        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # torch.load raises many types of errors for bad files
            raise ValueError(f"{path} is no file of weights alone") from error
        absent = {"state_dict", "model_cfg", "target_transform"} - set(found)
        if absent:
            raise ValueError(f"{path} has no {', '.join(sorted(absent))}")
        weights = {re.sub(r"^model\.", "", k): v for k, v in found["state_dict"].items()}
        return cls(weights, {**found["model_cfg"], "target_transform": found["target_transform"]})


def weights_files(path: Path) -> list[Path]:
    """The files that a network is read from: the weights (the file itself, or of a folder first the
    safetensors) and, beside safetensors, their configuration.
    """
    weights = path
    if path.is_dir():
        safe = path / "model.safetensors"
        weights = safe if safe.is_file() else path / "checkpoint.pt"
    return [weights, weights.with_name(CONFIG)] if weights.suffix == ".safetensors" else [weights]


class Network:
    """A loaded checkpoint; a call gives the score of each window and axis."""

    def __init__(self, published: Published, device: str = "cpu") -> None:
        """
        Raises
        ------
        ValueError
            a weight is missing, unknown or has a wrong shape, or an option is unknown.
        """
        config = published.config
        for key, expected in (("use_weighted_layer_sum", True), ("output_dim", 1)):
            if config.get(key, expected) != expected:
                raise ValueError(f"{key}={config[key]!r} is not known; expected {expected}")
        self._device = device
        weights = dict(published.weights)
        trunk = {k: weights.pop(k) for k in list(weights) if k.startswith("wavlm_model.")}
        self._trunk = _trunk({k.partition(".")[2]: v for k, v in trunk.items()}).to(device)
        hidden = int(self._trunk.config.hidden_size)
        self._heads = {axis: _head(axis, weights, config, hidden).to(device) for axis in AXES}
        layers = len(self._trunk.encoder.layers) + 1
        if (depth := config.get("nth_layer", 13)) != layers:
            raise ValueError(f"nth_layer={depth}; expected {layers}, all layers of the trunk")
        self._layers = {axis: _layer_weights(axis, weights, layers).to(device) for axis in AXES}
        if weights:
            raise ValueError(f"unknown weights: {', '.join(sorted(weights)[:3])}")
        self._normalize = bool(config.get("normalize_embed", True))
        self._scale = {axis: _scale(axis, config) for axis in AXES}

    def __call__(self, signal: NDArray[np.float32]) -> tuple[dict[str, list[float]], list[float]]:
        """Scores of each window by axis, and the share of each window that is signal."""
        scores: dict[str, list[float]] = {axis: [] for axis in AXES}
        shares = []
        for start in range(0, len(signal), WINDOW):
            window = signal[start : start + WINDOW]
            shares.append(len(window) / WINDOW)
            for axis, value in self._window(window).items():
                scores[axis].append(value)
        return scores, shares

    def _window(self, signal: NDArray[np.float32]) -> dict[str, float]:
        import torch

        padded = np.zeros(WINDOW, dtype=np.float32)
        padded[: len(signal)] = signal
        with torch.no_grad():
            states, mask = self._states(
                torch.from_numpy(padded)[None].to(self._device), signal.size
            )
            return {axis: self._score(axis, states, mask) for axis in AXES}

    def _states(self, signal: torch.Tensor, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """States ``[layers, steps, hidden]`` and which steps hold signal ``[steps]``."""
        import torch

        trunk = self._trunk
        x = trunk.feature_extractor(signal).transpose(1, 2)  # [1, steps, channels]
        # A step is padding if all samples of its hop are padding.
        mask = torch.arange(x.shape[1], device=x.device)[None] < -(-length // HOP)
        x = trunk.feature_projection(x)[0] * mask[..., None]
        x = trunk.encoder.layer_norm(x + trunk.encoder.pos_conv_embed(x))
        return torch.cat(self._layer_outputs(x, None if bool(mask.all()) else mask)), mask[0]

    def _layer_outputs(self, x: torch.Tensor, mask: torch.Tensor | None) -> list[torch.Tensor]:
        """The embedding and the output of each layer, ``[1, steps, hidden]``."""
        import warnings

        states, bias = [x], None
        with warnings.catch_warnings():
            # Transformers gives torch a mask of bool and a bias of float, which torch deprecates.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            for index, layer in enumerate(self._trunk.encoder.layers):
                x, bias = layer(x, attention_mask=mask, position_bias=bias, index=index)[:2]
                states.append(x)
        return states

    def _score(self, axis: str, states: torch.Tensor, mask: torch.Tensor) -> float:
        import torch

        mixed = torch.einsum("lth,l->th", states, self._layers[axis])
        embedding = mixed[mask].mean(0)
        if self._normalize:
            embedding = torch.nn.functional.normalize(embedding, dim=-1)
        mean, std = self._scale[axis]
        return float(self._heads[axis](embedding)) * std + mean


def _trunk(weights: Weights) -> Any:
    """WavLM of ``transformers`` with the published weights; its sizes are read from the weights."""
    from transformers import WavLMConfig, WavLMModel

    config = WavLMConfig(**_sizes(weights), conv_stride=STRIDES, conv_bias=False)
    config.max_bucket_distance = MAX_DISTANCE
    model: Any = WavLMModel(config)
    _load(model, {_renamed(name): value for name, value in weights.items()}, "trunk")
    return model.eval()


def _renamed(name: str) -> str:
    for pattern, new in _NAMES:
        changed, count = re.subn(pattern, new, name)
        if count:
            return changed
    return name


def _sizes(weights: Weights) -> dict[str, Any]:
    try:
        convolutions = [
            weights[f"feature_extractor.conv_layers.{i}.0.weight"].shape
            for i in range(len(STRIDES))
        ]
        hidden = weights["post_extract_proj.weight"].shape[0]
        buckets, heads = weights["encoder.layers.0.self_attn.relative_attention_bias.weight"].shape
        position = weights["encoder.pos_conv.0.weight_v"].shape  # [hidden, hidden / groups, kernel]
        inner = weights["encoder.layers.0.fc1.weight"].shape[0]
    except KeyError as error:
        raise ValueError(f"no WavLM of Audiobox Aesthetics: {error.args[0]} is missing") from error
    layers = {int(m[1]) for name in weights if (m := re.match(r"encoder\.layers\.(\d+)\.", name))}
    return {
        "hidden_size": hidden,
        "num_hidden_layers": max(layers) + 1,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "num_buckets": buckets,
        "conv_dim": [shape[0] for shape in convolutions],
        "conv_kernel": [shape[2] for shape in convolutions],
        "num_conv_pos_embeddings": position[2],
        "num_conv_pos_embedding_groups": hidden // position[1],
    }


def _head(axis: str, weights: Weights, config: Mapping[str, Any], hidden: int) -> Any:
    from torch import nn

    if (name := config.get("proj_act_fn", "gelu")) != "gelu":
        raise ValueError(f"proj_act_fn={name!r} is not known; expected gelu")
    parts: list[Any] = []
    for _ in range(int(config.get("proj_num_layer", 1)) - 1):
        parts.append(nn.Linear(hidden, hidden))
        parts += [nn.LayerNorm(hidden)] if config.get("proj_ln") else []
        parts.append(nn.GELU())
        # Dropout does nothing in inference, but the numbering of the weights' names includes it.
        parts += [nn.Identity()] if config.get("proj_dropout") else []
    head = nn.Sequential(*parts, nn.Linear(hidden, 1))
    prefix = f"proj_layer.{axis}."
    own = {k.removeprefix(prefix): weights.pop(k) for k in list(weights) if k.startswith(prefix)}
    _load(head, own, f"head {axis}")
    return head.eval()


def _layer_weights(axis: str, weights: Weights, layers: int) -> torch.Tensor:
    import torch

    found = weights.pop(f"layer_weights.{axis}", None)
    if found is None or found.shape != (layers,):
        shape = None if found is None else list(found.shape)
        raise ValueError(f"layer_weights.{axis} is {shape}; expected {[layers]}")
    return torch.softmax(found.float(), dim=-1)


def _scale(axis: str, config: Mapping[str, Any]) -> tuple[float, float]:
    own = (config.get("target_transform") or {}).get(axis) or {}
    if not {"mean", "std"} <= set(own):
        raise ValueError(f"target_transform of the configuration has no mean and std of {axis}")
    return float(own["mean"]), float(own["std"])


def _load(module: Any, weights: Weights, what: str) -> None:
    try:
        module.load_state_dict({k: v.float() for k, v in weights.items()})
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:2]]
        raise ValueError(f"weights of the {what} do not fit: {' '.join(lines)[:200]}") from error
