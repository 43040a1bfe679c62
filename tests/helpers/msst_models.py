"""Tiny models of every architecture of MSST, as files in the official formats."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml

ROFORMER = {
    "dim": 8, "depth": 1, "heads": 1, "dim_head": 8, "stereo": True, "num_stems": 2,
    "time_transformer_depth": 1, "freq_transformer_depth": 1, "stft_n_fft": 256,
    "stft_hop_length": 64, "stft_win_length": 256, "mask_estimator_depth": 1,
    "mlp_expansion_factor": 1,
}  # fmt: skip
BANDS = {"freqs_per_bands": (64, 65)}
CONFORMER = {
    **{k: v for k, v in ROFORMER.items() if "transformer" not in k},
    "time_conformer_depth": 1,
    "freq_conformer_depth": 1,
}
BANDIT = {
    "n_bands": 8, "n_sqm_modules": 1, "emb_dim": 8, "rnn_dim": 8, "mlp_dim": 8, "n_fft": 512,
    "win_length": 512, "hop_length": 128, "rnn_type": "GRU", "hidden_activation": "Tanh",
    "stems": ["vocals", "other"],
}  # fmt: skip
AUDIO = {"chunk_size": 4096, "sample_rate": 44100, "num_channels": 2, "min_mean_abs": 0.0}
MDX_AUDIO = {**AUDIO, "chunk_size": 128 * 31, "dim_f": 128, "dim_t": 32, "hop_length": 128,
             "n_fft": 512}  # fmt: skip
MDX = {
    "act": "gelu", "bottleneck_factor": 2, "growth": 4, "norm": "InstanceNorm",
    "num_blocks_per_scale": 1, "num_channels": 4, "num_scales": 2, "num_subbands": 2,
    "scale": [2, 2],
}  # fmt: skip
HTDEMUCS = {"channels": 16, "nfft": 4096, "t_layers": 1, "t_heads": 2, "depth": 4,
            "dconv_init": 1e-3}  # fmt: skip

TRAINING = {"instruments": ["vocals", "other"], "target_instrument": None, "use_amp": True,
            "lr": 1e-5, "batch_size": 2}  # fmt: skip
INFERENCE = {"batch_size": 1, "dim_t": 256, "num_overlap": 2}


def config(model: Any, **sections: Any) -> dict[str, Any]:
    """A configuration of two stems with every section that the public ones have."""
    return {
        "audio": dict(AUDIO),
        "model": copy.deepcopy(model),
        "training": dict(TRAINING),
        "augmentations": {"enable": True},
        "inference": dict(INFERENCE),
        **sections,
    }


CONFIGS: dict[str, dict[str, Any]] = {
    "bs_roformer": config({**ROFORMER, **BANDS}),
    "bs_conformer": config({**CONFORMER, **BANDS}),
    "mel_band_roformer": config({**ROFORMER, "num_bands": 8, "sample_rate": 44100}),
    "mel_band_conformer": config({**CONFORMER, "num_bands": 8, "sample_rate": 44100}),
    "mdx23c": config(MDX, audio=MDX_AUDIO),
    "scnet": config({"sources": ["vocals", "other"], "dims": [4, 8, 8, 8], "num_dplayer": 2,
                     "nfft": 512, "hop_size": 128, "win_size": 512, "band_SR": [0.2, 0.4, 0.4],
                     "band_stride": [1, 4, 16], "band_kernel": [3, 4, 16]}),
    "bandit": config({**BANDIT, "in_channel": 1, "band_specs": "musical", "fs": 44100}),
    "bandit_v2": {
        "cls": "Bandit",
        "kwargs": {**BANDIT, "in_channels": 1, "band_type": "musical", "fs": 48000},
        "audio": {**AUDIO, "sample_rate": 48000},
        "training": dict(TRAINING),
        "inference": dict(INFERENCE),
    },
    "apollo": config(
        {"sr": 44100, "win": 20, "feature_dim": 32, "layer": 1},
        audio={**AUDIO, "chunk_size": 441 * 10},
        training={**TRAINING, "target_instrument": "vocals"},
    ),
    "htdemucs": {
        **config("htdemucs"),
        "htdemucs": dict(HTDEMUCS),
        "training": {**TRAINING, "segment": 0.5, "samplerate": 44100, "channels": 2},
    },
}  # fmt: skip
"""Architecture to the configuration of a tiny model of it."""


def build(architecture: str, content: dict[str, Any]) -> torch.nn.Module:
    """The package's own model, with the arguments that upstream gives it."""
    from pymss_core import to_attrdict

    modules = "pymss_core.modules"
    if architecture == "mdx23c":
        return import_module(f"{modules}.mdx23c_tfc_tdf_v3").TFC_TDF_net(to_attrdict(content))
    if architecture == "htdemucs":
        return import_module(f"{modules}.demucs4ht").get_model(to_attrdict(content))
    package, name, more = {
        "bs_roformer": ("bs_roformer", "BSRoformer", {"zero_dc": True}),
        "bs_conformer": ("bs_roformer", "BSConformer", {}),
        "mel_band_roformer": ("bs_roformer", "MelBandRoformer", {}),
        "mel_band_conformer": ("bs_roformer", "MelBandConformer", {}),
        "scnet": ("scnet", "SCNet", {}),
        "bandit": ("bandit.core.model", "MultiMaskMultiSourceBandSplitRNNSimple", {}),
        "bandit_v2": ("bandit_v2.bandit", "Bandit", {}),
        "apollo": ("look2hear.apollo", "Apollo", {}),
    }[architecture]
    arguments = content["kwargs" if "kwargs" in content else "model"]
    return getattr(import_module(f"{modules}.{package}"), name)(**{**more, **arguments})


def write(
    folder: Path,
    architecture: str,
    content: dict[str, Any] | None = None,
    wrap: Callable[[dict[str, Any]], Any] = lambda state: state,
    name: str = "model",
) -> tuple[Path, torch.nn.Module]:
    """``name.ckpt`` and ``name.yaml`` in ``folder``, and the model that they hold."""
    content = copy.deepcopy(CONFIGS[architecture] if content is None else content)
    torch.manual_seed(0)
    model = build(architecture, content).eval()
    folder.mkdir(exist_ok=True, parents=True)
    torch.save(wrap(model.state_dict()), folder / f"{name}.ckpt")
    # PyYAML's full dumper writes !!python/tuple, as the public configurations have it.
    (folder / f"{name}.yaml").write_text(yaml.dump(content), encoding="utf-8")
    return folder / f"{name}.ckpt", model
