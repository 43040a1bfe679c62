"""The LM's files: ``lm.safetensors`` and ``config.json`` in one folder; never a pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from tokensep import config as configs
from tokensep.errors import CheckpointError
from tokensep.files import replacing, write_text
from tokensep.lm.config import TokenSepConfig
from tokensep.lm.model import TokenLM

WEIGHTS, CONFIG = "lm.safetensors", "lm.json"


def save_lm(folder: Path, model: TokenLM, *, half: bool = True) -> None:
    """Write weights (fp16 unless ``half`` is false) and configuration, each by rename."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    with replacing(folder / WEIGHTS) as partial:
        save_file(tensors, partial)
    write_text(folder / CONFIG, json.dumps(model.config.model_dump(mode="json"), indent=1) + "\n")


def load_lm(folder: Path) -> TokenLM:
    """The model of a folder, float32, frozen and in eval mode.

    Raises
    ------
    CheckpointError
        A file is missing, corrupt, or the weights do not belong to the configuration.
    ConfigError
        The configuration has an unknown key or parts that do not fit.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder}: no {name}; expected a folder with {CONFIG} and {WEIGHTS} "
                "as `tokensep train lm` writes it"
            )
    try:
        data = json.loads((folder / CONFIG).read_text())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / CONFIG} is not JSON ({error})") from error
    model = TokenLM(configs.load(TokenSepConfig, data))
    _load_state(model, folder / WEIGHTS)
    return model.eval().requires_grad_(False)


def _load_state(model: TokenLM, path: Path) -> None:
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except Exception as error:
        raise CheckpointError(f"{path} is not a whole safetensors file ({error})") from error
    expected: dict[str, Tensor] = model.state_dict()
    missing, extra = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    wrong = [k for k in expected.keys() & tensors if expected[k].shape != tensors[k].shape]
    if missing or extra or wrong:
        raise CheckpointError(
            f"{path} was made for another model: {len(missing)} tensors missing {missing[:2]}, "
            f"{len(extra)} unknown {extra[:2]}, {len(wrong)} of another shape {wrong[:2]}; use the "
            f"{CONFIG} that was written beside it"
        )
    bad = [k for k, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if bad:
        raise CheckpointError(f"{path} holds values that are not finite in {bad[:3]}")
    model.load_state_dict({k: v.to(expected[k].dtype) for k, v in tensors.items()})


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
