"""Models of the MSST ecosystem: a ``.ckpt`` of weights next to a ``.yaml`` of settings.

Conventions
-----------
yaml      ``model`` (the class's arguments), ``audio.chunk_size``, ``inference.num_overlap``,
          ``training.instruments`` (stem names in output order)
ckpt      a state dict, bare or under ``state``, ``state_dict`` or ``model_state_dict``
weights   loaded strictly: a key that does not fit is an error, never a zero-padded guess
precision float32; upstream runs its GPU models in half precision by default

Source: ZFTurbo/Music-Source-Separation-Training; the classes are those of ``pymss-core``,
which load its checkpoints strictly and reproduce its outputs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util import yamlfile
from benchsep._util.device import torch_device
from benchsep._util.tensors import load_strictly
from benchsep.errors import CheckpointError
from benchsep.systems.contract import SystemInfo
from benchsep_baselines import locate, safe_load
from benchsep_baselines.chunking import demix
from benchsep_baselines.common import (
    Separator,
    offered_stems,
    package_version,
    switch,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

STATE_KEYS = ("state", "state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "model.", "_orig_mod.")


@dataclass(frozen=True)
class Found:
    """A resolved checkpoint: label, files, and what may be said of it."""

    label: str
    weights: Path
    config: Path | None
    training_data: str
    licence: str
    trained_on: tuple[str, ...] = ("unknown",)


@dataclass(frozen=True)
class Settings:
    """What a configuration says: model arguments, stems in output order, chunking."""

    arguments: dict[str, Any]
    instruments: list[str]
    """What the model returns."""
    names: list[str]
    """All instruments of the configuration; with a target, more than the model returns."""
    chunk: int
    overlap: int
    normalize: bool = False


class MsstSeparator(Separator):
    """A loaded model, its chunking and its declaration; see the subclasses' modules."""

    def __init__(
        self,
        name: str,
        found: Found,
        build: Callable[[dict[str, Any], Path], Any],
        *,
        overlap: str | int,
        trust_pickle: str | bool,
        device: str,
        batch: str | int = 1,
        **declared: Any,
    ) -> None:
        self.device = torch_device(device)
        settings, state = read_pair(found, trust_pickle=switch("trust_pickle", trust_pickle))
        self.settings = settings
        self.overlap = settings.overlap
        if overlap != "":
            self.overlap = whole("overlap", overlap, low=1, high=64)
        self.batch = whole("batch", batch, low=1, high=256)
        model = build(dict(settings.arguments), found.config or found.weights)
        load_strictly(model, state, found.weights)
        self.model = model.to(self.device).eval()
        self.stems = offered_stems(settings.names, settings.instruments, found.weights)
        self.info = SystemInfo(
            name=name,
            family="discriminative",
            stems=self.stems.stems,
            checkpoint=found.label,
            checkpoint_sha256=locate.combined_sha256(
                [p for p in (found.weights, found.config) if p is not None]
            ),
            training_data=found.training_data,
            trained_on=found.trained_on,
            licence=found.licence,
            deterministic=self.device.type == "cpu",
            version=f"1+pymss-core{package_version('pymss-core')}",
            options={
                "chunk": settings.chunk,
                "overlap": self.overlap,
                "precision": "float32",
                **({"batch": self.batch} if self.batch > 1 else {}),
                **({"stems": self.stems.folded} if self.stems.folded else {}),
                **declared,
            },
            options_in_name=("checkpoint", "config", "trust_pickle"),
        )

    def _estimate(self, mixture: NDArray[np.float32], seed: int) -> dict[str, NDArray[np.float32]]:
        stems = demix(
            self._forward,
            mixture,
            chunk=self.settings.chunk,
            overlap=self.overlap,
            stems=len(self.settings.instruments),
            batch=self.batch,
        )
        return dict(zip(self.settings.instruments, stems, strict=True))

    def _forward(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[B, 2, chunk]`` → ``[B, stems, 2, chunk]``."""
        import torch

        with torch.inference_mode():
            estimate = self.model(torch.from_numpy(chunks).to(self.device))
        out: NDArray[np.float32] = estimate.float().cpu().numpy()
        return out[:, None] if out.ndim == 3 else out  # a single-stem model drops the stem axis


def find(name: str, checkpoint: str, config: str) -> Found:
    """Resolve the options ``checkpoint`` and ``config`` to files.

    Raises
    ------
    CheckpointError
        naming what is missing and where to get it.
    """
    if checkpoint == "mini":
        return _mini(name)
    if checkpoint not in ("auto", "official", ""):
        return _local(name, checkpoint, config)
    pair = locate.msst_official(name)
    if pair:
        licence = "unstated (code: MIT)"
        return Found("official", *pair, "MUSDB18-HQ train", licence, ("musdb18:train",))
    where = locate.msst_download_hint(name)
    if checkpoint == "official" or name not in locate.BUNDLED_CHECKPOINTS:
        raise CheckpointError(f"{name}: the published weights are not on this machine; {where}")
    locate.warn_bundled(name, "the published weights are not on this machine")
    return _mini(name)


def _mini(name: str) -> Found:
    if name not in locate.BUNDLED_CHECKPOINTS:
        raise CheckpointError(f"{name} has no mini checkpoint; {locate.msst_download_hint(name)}")
    return Found(
        "mini",
        locate.bundled_path(name),
        None,
        "MUSDB18 (7-second edition) train without its 14 validation songs",
        "MUSDB18's terms: academic, non-commercial use",
        locate.MINI_TRAINED_ON,
    )


def _local(name: str, checkpoint: str, config: str) -> Found:
    kinds = (".ckpt", ".pt", ".pth", ".th", ".chpt", ".safetensors")
    weights = locate.existing_file(name, checkpoint, kinds)
    if config:
        settings: Path | None = locate.existing_file(name, config, (".yaml", ".yml"))
    elif weights.suffix == ".safetensors":
        settings = None
    else:
        settings = weights.with_suffix(".yaml")
        if not settings.is_file():
            raise CheckpointError(
                f"{name}: {weights.name} needs its configuration: add config=PATH.yaml, or put it "
                f"beside it as {settings.name}"
            )
    return Found(
        weights.stem, weights, settings, "undeclared (local file)", "undeclared (local file)"
    )


# --- reading -------------------------------------------------------------------------------


def read_pair(found: Found, *, trust_pickle: bool) -> tuple[Settings, dict[str, Any]]:
    """``(settings, state dict)``, from a yaml and a checkpoint or from one safetensors file.

    Raises
    ------
    CheckpointError
        if either is unreadable, unsafe or incomplete.
    """
    metadata: dict[str, str] = {}
    if found.weights.suffix == ".safetensors":
        state, metadata = safe_load.load_safetensors(found.weights)
    else:
        admitted = safe_load.numpy_scalars()
        package = safe_load.load_pickle(found.weights, admitted=admitted, trust_pickle=trust_pickle)
        state = unwrapped(package, found.weights)
    if found.config is not None:
        return settings_of(read_yaml(found.config), found.config), state
    try:
        return settings_of(json.loads(metadata["config"]), found.weights), state
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{found.weights}: its metadata holds no configuration; add config=PATH.yaml"
        ) from error


def unwrapped(package: Any, path: Path) -> dict[str, Any]:
    """The state dict of a checkpoint, whatever key or prefix a training program put around it.

    Keys of wrappers (``{"model": {...}}``, Lightning's ``state_dict``) are opened; prefixes that
    every tensor's name has (``module.`` of DataParallel, ``model.`` of Lightning, ``_orig_mod.`` of
    torch.compile) are removed.
    """
    if not isinstance(package, dict):
        raise CheckpointError(f"{path}: holds a {type(package).__name__}, expected a state dict")
    for key in STATE_KEYS:
        if isinstance(package.get(key), dict):
            return unwrapped(package[key], path)
    prefix = next((p for p in PREFIXES if package and all(k.startswith(p) for k in package)), None)
    if prefix is None:
        return dict(package)
    return unwrapped({key.removeprefix(prefix): value for key, value in package.items()}, path)


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration with ``!!python/tuple`` and no other tag beyond plain YAML.

    Raises
    ------
    CheckpointError
        if the file is no mapping, or asks for any other Python object.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def construct_tuple(loader: Loader, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(loader.construct_sequence(node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", construct_tuple)
    try:
        content = yamlfile.read_yaml(path, Loader)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a usable configuration ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a mapping")
    return content


def settings_of(config: dict[str, Any], path: Path) -> Settings:
    """The parts of a configuration that inference needs.

    Raises
    ------
    CheckpointError
        naming the section that is missing.
    """
    try:
        model = dict(config["model"])
        training = config["training"]
        inference = config.get("inference") or {}
        chunk = int(inference.get("chunk_size") or (config.get("audio") or {})["chunk_size"])
        target = training.get("target_instrument")
        names = [str(s).lower() for s in training.get("instruments") or [target]]
        instruments = [str(target).lower()] if target else names
        overlap, normalize = int(inference.get("num_overlap", 2)), bool(inference.get("normalize"))
        return Settings(model, instruments, names, chunk, overlap, normalize)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: {error!r}: expected the sections model, audio.chunk_size, "
            "inference.num_overlap and training.instruments"
        ) from error


def built(cls: Any, arguments: dict[str, Any], path: Path) -> Any:
    """``cls(**arguments)``, or an error that names the configuration."""
    try:
        return cls(**arguments)
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise CheckpointError(f"{path}: does not configure a {cls.__name__} ({error})") from error
