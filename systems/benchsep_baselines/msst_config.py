"""Reads a configuration of the MSST ecosystem: used, ignored and refused settings.

Conventions
-----------
honoured  ``model`` (the class's arguments), ``audio.chunk_size``, ``audio.sample_rate``,
          ``audio.num_channels``, ``training.instruments``, ``training.target_instrument``,
          ``inference.chunk_size``, ``inference.num_overlap``, ``inference.normalize``
ignored   :data:`IGNORED`, each with its reason; other settings in ``training`` and
          ``augmentations`` only affect a training
refused   any other setting of ``inference`` that is on, because it would change an estimate but is
          not supported
warned    any other section or setting of ``audio``, in one line on stderr

Source: ``demix`` and ``inference.py`` of ZFTurbo/Music-Source-Separation-Training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsep._util import yamlfile
from benchsep._util.model_bounds import MOST_ITEMS, check_arguments
from benchsep._util.notify import notify
from benchsep._util.reason import without_path
from benchsep.errors import CheckpointError

RATE = 44_100
LONGEST_CHUNK = 10_000_000
"""Samples: almost four minutes at 44.1 kHz; public configurations have 3 to 20 seconds."""
MOST_OVERLAP = 64
LARGEST_FILE = 1_000_000
"""Bytes of a configuration; the public one of 53 instruments has 4,200."""

IGNORED = {
    "inference.batch_size": "changes the speed only; the option batch=N of a spec sets it",
    "inference.dim_t": "upstream does not read it; chunk_size is used instead",
    "training.use_amp": "everything is computed in float32",
}
"""Known settings that are ignored, with the reason."""

ARCHITECTURE_ONLY = ("dim_f", "dim_t", "hop_length", "n_fft")
"""Settings of ``audio`` for the transform of MDX23C; other architectures have their own."""
HONOURED = {
    "audio": ("chunk_size", "sample_rate", "num_channels", "min_mean_abs", *ARCHITECTURE_ONLY),
    "inference": ("chunk_size", "num_overlap", "normalize"),
}
SECTIONS = (
    *("audio", "model", "kwargs", "training", "inference", "augmentations", "htdemucs"),
    *("optimizer", "lora", "model_type", "name", "cls", "stft"),
)
"""Known top-level sections; also those that begin with ``loss``."""
EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+")
"""A number that plain YAML parses as text, because it has no decimal point."""
OFF = (None, False, 0, "", "none", "null")


@dataclass(frozen=True)
class Settings:
    """The used parts of a configuration: model arguments, stems in output order, chunking."""

    arguments: dict[str, Any]
    instruments: list[str]
    """The stems that the model returns."""
    names: list[str]
    """All instruments of the configuration; with a target, more than the model returns."""
    chunk: int
    overlap: int
    normalize: bool = False
    rate: int = RATE
    channels: int = 2


def read_yaml(path: Path) -> dict[str, Any]:
    """A configuration with ``!!python/tuple`` and no other tag beyond plain YAML.

    Numbers such as ``1e-3`` are numbers, as in upstream's reader.

    Raises
    ------
    CheckpointError
        the file is not a mapping, or contains other Python objects.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def construct_tuple(loader: Loader, node: yaml.SequenceNode) -> tuple[Any, ...]:
        return tuple(loader.construct_sequence(node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:python/tuple", construct_tuple)
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+0123456789"))
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"larger than {LARGEST_FILE:,} bytes")
        content = yamlfile.read_yaml(path, Loader)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not a usable configuration ({without_path(error)})"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: found a {type(content).__name__}, expected a mapping")
    return content


def settings_of(config: dict[str, Any], path: Path) -> Settings:
    """The parts of a configuration that inference needs, each within its bounds.

    Raises
    ------
    CheckpointError
        a section is missing, or a setting is not supported; the message names it.
    """
    try:
        arguments = model_arguments(config)
        training, audio = config["training"], config.get("audio") or {}
        inference = config.get("inference") or {}
        chunk = int(inference.get("chunk_size") or _segment(config) or audio["chunk_size"])
        names, instruments = _instruments(training)
        overlap, normalize = int(inference.get("num_overlap", 2)), bool(inference.get("normalize"))
        rate = int(audio.get("sample_rate") or training.get("samplerate") or RATE)
        channels = int(audio.get("num_channels") or 2)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: {error!r}: expected the sections model, audio.chunk_size, "
            "inference.num_overlap and training.instruments"
        ) from error
    check_arguments(arguments, path)
    check_arguments({k: audio.get(k) for k in ARCHITECTURE_ONLY}, path, "audio")
    _within(path, "chunk_size", chunk, 1, LONGEST_CHUNK)
    _within(path, "inference.num_overlap", overlap, 1, min(MOST_OVERLAP, chunk))
    _within(path, "audio.sample_rate", rate, 8000, 192_000)
    _within(path, "audio.num_channels", channels, 1, 2)
    _check_settings(config, path)
    return Settings(arguments, instruments, names, chunk, overlap, normalize, rate, channels)


def model_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the model's class: ``model``, ``kwargs`` or, by name, its own section."""
    if isinstance(config.get("model"), str):
        return dict(config[config["model"]])
    return dict(config["model"] if "model" in config else config["kwargs"])


def _segment(config: dict[str, Any]) -> int:
    """HTDemucs' chunk: ``training.segment`` seconds; 0 for any other architecture."""
    if not isinstance(config.get("model"), str):
        return 0
    return int(config["training"]["segment"] * config["training"].get("samplerate", RATE))


def _instruments(training: dict[str, Any]) -> tuple[list[str], list[str]]:
    """All instruments, and those that the model returns."""
    target = training.get("target_instrument")
    names = [str(s).lower() for s in training.get("instruments") or [target]]
    if not names or len(names) > MOST_ITEMS or any(len(name) > 100 for name in names):
        raise ValueError(f"{len(names)} instruments")
    if len(set(names)) < len(names):
        raise ValueError(f"an instrument occurs twice: {', '.join(names)}")
    return names, [str(target).lower()] if target else names


def _within(path: Path, name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        shown = f"{value:,}" if abs(value) < 10**30 else "a number of more than 30 digits"
        raise CheckpointError(f"{path}: {name} is {shown}, expected {low:,} to {high:,}")


def _check_settings(config: dict[str, Any], path: Path) -> None:
    """Raise for unsupported settings that would change an estimate; report other unknown ones."""
    inference, audio = config.get("inference") or {}, config.get("audio") or {}
    known = {key.partition(".")[2] for key in IGNORED} | set(HONOURED["inference"])
    followed = ", ".join(HONOURED["inference"])
    for key, value in inference.items():
        if key not in known and value not in OFF:
            raise CheckpointError(
                f"{path}: inference.{key} = {str(value)[:60]!r} is not supported and may change "
                f"the result; remove it from the file (supported: {followed})"
            )
    unknown = [f"audio.{key}" for key in audio if key not in HONOURED["audio"]]
    unknown += [str(k) for k in config if k not in SECTIONS and not str(k).startswith("loss")]
    if unknown:
        shown = ", ".join(name[:60] for name in unknown[:8])
        notify(f"{path.name}: not read: {shown}{' …' if len(unknown) > 8 else ''}")
