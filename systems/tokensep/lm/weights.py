"""The LM's files: ``lm.safetensors`` and ``lm.json`` in one folder; never a pickle.

The tensors are named as the modules are, but for the latent regression head, which is ``anchored``
in files.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchsep._util.atomic import write_atomically
from benchsep._util.model_bounds import built
from benchsep._util.strict_json import parse_json
from benchsep._util.tensors import load_strictly, read_tensors, save_tensors
from tokensep import config as configs
from tokensep.errors import CheckpointError
from tokensep.lm.config import TokenSepConfig
from tokensep.lm.model import TokenLM

WEIGHTS, CONFIG = "lm.safetensors", "lm.json"
HEAD_IN_CODE, HEAD_IN_FILES = "latent_head.", "anchored."


def lm_files(folder: Path) -> list[Path]:
    """The files of an LM; each of them can change what it does."""
    return [folder / WEIGHTS, folder / CONFIG]


def save_lm(folder: Path, model: TokenLM, *, half: bool = True) -> None:
    """Write weights (fp16 unless ``half`` is false) and configuration, each by rename."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, value in model.state_dict().items():
        stored = value.half() if half and value.is_floating_point() else value
        tensors[_renamed(name, HEAD_IN_CODE, HEAD_IN_FILES)] = stored.contiguous()
    save_tensors(folder / WEIGHTS, tensors)
    write_atomically(
        folder / CONFIG, json.dumps(model.config.model_dump(mode="json"), indent=1) + "\n"
    )


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
                f"{folder}: {name} is missing; expected a folder with {CONFIG} and {WEIGHTS} as "
                "`tokensep train lm` writes it"
            )
    try:
        data = parse_json((folder / CONFIG).read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG} is not JSON ({error})") from error
    config = configs.load(TokenSepConfig, data)
    stored = read_tensors(folder / WEIGHTS)
    model = built(lambda: TokenLM(config), data, stored, folder / CONFIG)
    tensors = {_renamed(k, HEAD_IN_FILES, HEAD_IN_CODE): v for k, v in stored.items()}
    bad = [k for k, v in tensors.items() if v.is_floating_point() and not torch.isfinite(v).all()]
    if bad:
        raise CheckpointError(
            f"{folder / WEIGHTS} has NaN or infinite values in {bad[:3]}; use another copy of the "
            "checkpoint"
        )
    load_strictly(model, tensors, folder / WEIGHTS)
    return model.eval().requires_grad_(False)


def _renamed(name: str, old: str, new: str) -> str:
    """``name`` with the prefix ``old`` replaced by ``new``."""
    return new + name.removeprefix(old) if name.startswith(old) else name
