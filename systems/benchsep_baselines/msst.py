"""Models of the MSST ecosystem: a ``.ckpt`` with weights and a ``.yaml`` with settings.

Conventions
-----------
yaml      the used settings are in :mod:`benchsep_baselines.msst_config`
ckpt      a state dict, possibly nested in other data of a training
          (:mod:`benchsep_baselines.wrapped`)
weights   loaded strictly: a key that does not fit is an error
normalize ``inference.normalize`` standardises the mixture by mean and standard deviation of its
          mono signal, and reverts this for the estimates
precision float32; upstream runs its GPU models in half precision by default

Source: ZFTurbo/Music-Source-Separation-Training; the classes are those of ``pymss-core``,
which load its checkpoints strictly and reproduce its outputs.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.device import torch_device
from benchsep._util.model_bounds import bounded
from benchsep._util.tensors import combined_sha256, load_strictly
from benchsep._util.yamlfile import check_nesting
from benchsep.errors import CheckpointError, SeparatorError, UsageError
from benchsep.systems.contract import SystemInfo
from benchsep_baselines import download, fetch, locate, safe_load, zoo
from benchsep_baselines.architectures import (
    ROFORMERS,
    architecture_of,
    constructor,
    likeliest,
    takes_one_channel,
)
from benchsep_baselines.chunking import demix
from benchsep_baselines.common import (
    Separator,
    offered_stems,
    package_version,
    switch,
    whole,
)
from benchsep_baselines.msst_config import LARGEST_FILE, Settings, read_yaml, settings_of
from benchsep_baselines.wrapped import State, chosen, elements, states

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISFITS = (TypeError, ValueError, AssertionError, KeyError, AttributeError, RuntimeError)
"""Exceptions of a model's class for wrong arguments."""


@dataclass(frozen=True)
class Found:
    """A resolved checkpoint: label, files, training data and licence."""

    label: str
    weights: Path
    config: Path | None
    training_data: str
    licence: str
    trained_on: tuple[str, ...] = ("unknown",)

    @property
    def settings(self) -> Path:
        """The file that holds the configuration."""
        return self.config or self.weights


@dataclass(frozen=True)
class Pair:
    """The content of a checkpoint's files."""

    config: dict[str, Any]
    settings: Settings
    states: list[State]


@dataclass(frozen=True)
class Model:
    """A loaded network with its properties."""

    net: Any
    architecture: str
    arguments: dict[str, Any]
    weights: State


class MsstSeparator(Separator):
    """A loaded model, its chunking and its declaration.

    Parameters
    ----------
    architecture
        One of :data:`benchsep_baselines.architectures.NAMES`; empty: recognised from the files.
    arguments
        Arguments of the model that replace those of the configuration.
    """

    def __init__(
        self,
        name: str,
        found: Found,
        *,
        architecture: str = "",
        arguments: dict[str, Any] | None = None,
        overlap: str | int,
        trust_pickle: str | bool,
        device: str,
        batch: str | int = 1,
    ) -> None:
        self.device = torch_device(device)
        pair = read_pair(found, trust_pickle=switch("trust_pickle", trust_pickle))
        self.settings = settings = pair.settings
        self.rate = settings.rate
        self.overlap = settings.overlap
        if overlap != "":
            self.overlap = whole("overlap", overlap, low=1, high=64)
        self.batch = whole("batch", batch, low=1, high=256)
        model = load_model(pair, found, architecture, arguments or {})
        self.architecture = model.architecture
        self.stems = offered_stems(settings.names, settings.instruments, found.weights)
        check_outputs(model, settings, found)
        self.apart = takes_one_channel(model.architecture, model.arguments, settings.channels)
        self.model = model.net.to(self.device).eval()
        self.info = self._info(name, found, model)

    def _info(self, name: str, found: Found, model: Model) -> SystemInfo:
        return SystemInfo(
            name=name,
            family="discriminative",
            stems=self.stems.stems,
            rate=self.rate,
            checkpoint=found.label,
            checkpoint_sha256=combined_sha256(
                [p for p in (found.weights, found.config) if p is not None]
            ),
            training_data=found.training_data,
            trained_on=found.trained_on,
            licence=found.licence,
            deterministic=self.device.type == "cpu",
            version=f"1+pymss-core{package_version('pymss-core')}",
            options={
                "chunk": self.settings.chunk,
                "overlap": self.overlap,
                "precision": "float32",
                **self._declared(model),
            },
            options_in_name=("checkpoint", "config", "trust_pickle", "model"),
        )

    def _declared(self, model: Model) -> dict[str, Any]:
        """Options that are only listed if they differ from the default."""
        return {
            **({"batch": self.batch} if self.batch > 1 else {}),
            **({"stems": self.stems.folded} if self.stems.folded else {}),
            **({"normalize": True} if self.settings.normalize else {}),
            **({"channels": "each apart"} if self.apart else {}),
            **({"weights": model.weights.path} if model.weights.averaged else {}),
            **(
                {"zero_dc": bool(model.arguments["zero_dc"])}
                if model.architecture in ROFORMERS
                else {}
            ),
        }

    def _estimate(self, mixture: NDArray[np.float32], seed: int) -> dict[str, NDArray[np.float32]]:
        if not self.settings.normalize:
            return self._demixed(mixture)
        mono = mixture.mean(0)
        mean, deviation = float(mono.mean()), float(mono.std())
        if deviation == 0:  # anti-phase stereo: upstream divides by zero here
            return self._demixed(mixture)
        stems = self._demixed((mixture - mean) / deviation)
        return {stem: samples * deviation + mean for stem, samples in stems.items()}

    def _demixed(self, mixture: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        stems = demix(
            self._forward,
            mixture,
            chunk=self.settings.chunk,
            overlap=self.overlap,
            stems=len(self.settings.instruments),
            batch=self.batch,
            plain=self.architecture == "htdemucs",
        )
        return dict(zip(self.settings.instruments, stems, strict=True))

    def _forward(self, chunks: NDArray[np.float32]) -> NDArray[np.float32]:
        """``[B, 2, chunk]`` → ``[B, stems, 2, chunk]``.

        Raises
        ------
        SeparatorError
            the model cannot compute a chunk of this length.
        """
        import torch

        batch, channels, frames = chunks.shape
        given = torch.from_numpy(chunks).to(self.device)
        if self.apart:
            given = given.reshape(batch * channels, 1, frames)
        with torch.inference_mode(), warnings.catch_warnings():
            # SCNet's transform has a rectangular window, and newer torch warns of that.
            warnings.filterwarnings("ignore", message=".*window.*", category=UserWarning)
            try:
                estimate = self.model(given)
            except (RuntimeError, AssertionError) as error:
                if "memory" in str(error):
                    raise
                raise SeparatorError(self._why_not(frames, str(error))) from error
        out: NDArray[np.float32] = estimate.float().cpu().numpy()
        if out.ndim == 3:
            out = out[:, None]  # a single-stem model drops the stem axis
        if self.apart:  # [B·2, stems, 1, T] → [B, stems, 2, T]
            out = out.reshape(batch, channels, -1, out.shape[-1]).swapaxes(1, 2)
        if out.shape[-1] != frames:
            raise SeparatorError(self._why_not(frames, f"it returns {out.shape[-1]}"))
        return out

    def _why_not(self, frames: int, why: str) -> str:
        first = (why.strip().splitlines() or ["no reason"])[0][:200]
        return (
            f"{self.info.label}: the model does not work on chunks of {frames} samples ({first}); "
            "change chunk_size in its configuration to a length that its transform accepts, "
            "often a multiple of the hop"
        )


# --- which files -------------------------------------------------------------------------------


def find(name: str, checkpoint: str, config: str) -> Found:
    """Resolve the options ``checkpoint`` and ``config`` to files.

    Raises
    ------
    CheckpointError
        a file is missing; the message names it and its source.
    """
    if checkpoint == "mini":
        return _mini(name)
    if checkpoint not in ("auto", "official", ""):
        return given(name, checkpoint, config)
    entry = zoo.entry(zoo.OFFICIAL[name])
    if zoo.kept(entry) or checkpoint == "official" or name not in locate.BUNDLED_CHECKPOINTS:
        return replace(public(entry), label="official")
    try:
        if not download.online(fetch.parse_address(entry.weights).url):
            raise CheckpointError("there is no network")
        return replace(public(entry), label="official")
    except CheckpointError:
        locate.warn_bundled(name, "the published weights are neither cached nor reachable")
    return _mini(name)


def public(entry: zoo.Entry) -> Found:
    """A checkpoint of the public list, downloaded if necessary."""
    weights, config = zoo.kept(entry) or zoo.fetched(entry)
    return Found(entry.name, weights, config, entry.training_data, entry.licence, entry.trained_on)


def _mini(name: str) -> Found:
    if name not in locate.BUNDLED_CHECKPOINTS:
        command = zoo.entry(zoo.OFFICIAL[name]).command
        raise CheckpointError(f"{name} has no mini checkpoint; the published one: {command}")
    return Found(
        "mini",
        locate.bundled_path(name),
        None,
        "MUSDB18 (7-second edition) train without its 14 validation songs",
        "MUSDB18's terms: academic, non-commercial use",
        locate.MINI_TRAINED_ON,
    )


def given(name: str, checkpoint: str, config: str) -> Found:
    """Files or addresses of the user: weights, and a configuration beside or inside them.

    Raises
    ------
    CheckpointError
        a file is missing, cannot be downloaded, or has a wrong type.
    """
    weights = locate.existing_file(name, checkpoint, locate.WEIGHT_SUFFIXES)
    if config:
        settings: Path | None = locate.existing_file(name, config, (".yaml", ".yml"), "config")
    elif weights.suffix == ".safetensors":
        settings = None
    else:
        settings = weights.with_suffix(".yaml")
        if not settings.is_file():
            raise CheckpointError(
                f"{name}: {weights.name} needs its configuration: add config=PATH.yaml, or put "
                f"the configuration beside the checkpoint as {settings.name}"
            )
    known = f"undeclared ({'address' if fetch.is_address(checkpoint) else 'local file'})"
    return Found(weights.stem, weights, settings, known, known)


# --- reading -------------------------------------------------------------------------------


def read_pair(found: Found, *, trust_pickle: bool) -> Pair:
    """Configuration and weights, from a yaml and a checkpoint or from one safetensors file.

    Raises
    ------
    CheckpointError
        one of them is unreadable, unsafe or incomplete.
    """
    metadata: dict[str, str] = {}
    if found.weights.suffix == ".safetensors":
        package, metadata = safe_load.load_safetensors(found.weights)
    else:
        admitted = safe_load.harmless()
        package = safe_load.load_pickle(found.weights, admitted=admitted, trust_pickle=trust_pickle)
    held = states(package, found.weights)
    config = read_yaml(found.config) if found.config else _inside(metadata, found.weights)
    return Pair(config, settings_of(config, found.settings), held)


def _inside(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    """The configuration in the metadata of a safetensors file."""
    text = metadata.get("config", "")
    try:
        if len(text) > LARGEST_FILE:
            raise ValueError(f"larger than {LARGEST_FILE:,} bytes")
        check_nesting(text)
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: its metadata holds no configuration ({error}); add config=PATH.yaml"
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError(f"{path}: its metadata holds no configuration; add config=PATH.yaml")
    return config


def load_model(pair: Pair, found: Found, architecture: str, replaced: dict[str, Any]) -> Model:
    """The network that a configuration describes, with the checkpoint's weights.

    Raises
    ------
    CheckpointError
        the configuration is invalid, or its model is larger than or different from the weights.
    """
    names = [key for state in pair.states for key in state.tensors]
    kind = architecture_of(pair.config, names, architecture, found.settings)
    if "zero_dc" in replaced and kind not in ROFORMERS:
        raise UsageError(
            f"option zero_dc: a {kind} does not have this option; only RoFormers have it"
        )
    arguments = {**pair.settings.arguments, **replaced}
    build = constructor(kind, pair.config, arguments)
    tensors = max(len(state.tensors) for state in pair.states)
    try:
        net = bounded(build, elements(pair.states), tensors, found.settings)
    except MISFITS as error:
        raise CheckpointError(
            f"{found.settings}: is not a valid configuration of a {kind} ({_first_line(error)})"
        ) from error
    weights = chosen(pair.states, net.state_dict())
    _load(net, weights, found, kind)
    return Model(net, kind, arguments, weights)


def _load(net: Any, weights: State, found: Found, kind: str) -> None:
    """Load strictly; for a mismatch, the message has the first name that differs."""
    try:
        load_strictly(net, weights.tensors, found.weights)
    except CheckpointError as error:
        looks = likeliest(weights.tensors) or "an unknown architecture"
        raise CheckpointError(
            f"{error}; the first difference is {_first_difference(net, weights)}; the weights look "
            f"like {looks}, the configuration is of {kind}"
        ) from error


def _first_difference(net: Any, weights: State) -> str:
    expected = net.state_dict()
    for key, tensor in expected.items():
        if key not in weights.tensors:
            return f"{key} (absent)"
        if weights.tensors[key].shape != tensor.shape:
            shape = tuple(weights.tensors[key].shape)
            return f"{key} ({shape} in the checkpoint, {tuple(tensor.shape)} in the configuration)"
    return f"{next(key for key in weights.tensors if key not in expected)} (unexpected)"


def check_outputs(model: Model, settings: Settings, found: Found) -> None:
    """Raise a :class:`CheckpointError` unless the model returns what the configuration names."""
    net = model.net
    if model.architecture == "mdx23c":
        number = int(net.num_target_instruments)
    elif model.architecture == "apollo":
        number = 1
    elif model.architecture in ROFORMERS:
        number = len(net.mask_estimators)
    else:
        number = len(net.stems if model.architecture.startswith("bandit") else net.sources)
    if number != len(settings.instruments):
        raise CheckpointError(
            f"{found.settings}: the model returns {number} stems, its configuration names "
            f"{len(settings.instruments)}: {', '.join(settings.instruments)} "
            "(training.instruments, training.target_instrument)"
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
