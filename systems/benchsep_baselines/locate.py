"""Finds weights: bundled with this package, in a cache, or in the user's folder.

Conventions
-----------
auto      official weights if they are cached or can be downloaded, else the bundled mini (with a
          warning on stderr), else an error
official  the published weights, or an error
mini      the small checkpoint in this package's ``weights``
PATH      a local file

This module does not import torch, so that ``benchsep list`` is fast.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from benchsep._util.cache import cache_folder
from benchsep._util.notify import notify
from benchsep.errors import CheckpointError
from benchsep_baselines.fetch import fetched, is_address

WEIGHTS = Path(__file__).parent / "weights"

BUNDLED_CHECKPOINTS = ("htdemucs", "bs_roformer")

MINI_TRAINED_ON = ("musdb18:train-less-validation",)
"""Training data that all bundled checkpoints share, for :attr:`benchsep.SystemInfo.trained_on`."""

DEMUCS_MODELS = ("htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi", "mdx", "mdx_extra")
"""Names of demucs' remote models that load without diffq."""

WEIGHT_SUFFIXES = (".ckpt", ".pt", ".pth", ".th", ".chpt", ".bin", ".safetensors")
"""Files of weights of the MSST ecosystem."""

DEMUCS_ROOT = "https://dl.fbaipublicfiles.com/demucs/"


def user_folder() -> Path:
    """The user's folder for published weights that benchsep does not download."""
    return cache_folder() / "checkpoints"


def bundled_path(name: str) -> Path:
    """The shipped mini checkpoint of a family.

    Raises
    ------
    CheckpointError
        it is missing in this installation.
    """
    path = WEIGHTS / f"{name}-mini.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{name}: no mini checkpoint at {path}; reinstall benchsep, or train it with "
            f"'python -m benchsep_baselines.train --model {name} --root MUSDB18-7S --out DIR'"
        )
    return path


def existing_file(
    name: str, text: str, suffixes: tuple[str, ...], option: str = "checkpoint"
) -> Path:
    """The file of ``checkpoint=PATH``; an address is downloaded.

    Raises
    ------
    CheckpointError
        it cannot be downloaded, does not exist, or has a wrong suffix.
    """
    path = fetched(text) if is_address(text) else Path(text).expanduser()
    if not path.is_file():
        raise CheckpointError(f"{name}: {option}={text}: expected auto, official, mini or a file")
    if path.suffix.lower() not in suffixes:
        raise CheckpointError(f"{name}: {path.name}: expected a file ending in {suffixes}")
    return path


@dataclass(frozen=True)
class Bag:
    """A named demucs model: its files on upstream's server, weights per stem, segment."""

    name: str
    files: tuple[str, ...]
    weights: list[list[float]] | None
    segment: float | None

    @property
    def signatures(self) -> list[str]:
        return [Path(file).name.split("-")[0] for file in self.files]


def demucs_bag(name: str) -> Bag:
    """The description of a model in the installed demucs package, read without importing it.

    Raises
    ------
    CheckpointError
        the package is not installed or does not know the name.
    """
    import yaml

    spec = importlib.util.find_spec("demucs")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError("demucs is not installed: pip install 'demucs>=4.1,<5'")
    remote = Path(next(iter(spec.submodule_search_locations))) / "remote"
    try:
        bag = yaml.safe_load((remote / f"{name}.yaml").read_text(encoding="utf-8"))
        listed = (remote / "files.txt").read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"demucs has no model {name!r} ({error})") from error
    folder, files = "", {}
    for line in filter(None, (line.strip() for line in listed.splitlines())):
        if line.startswith("root:"):
            folder = line.partition(":")[2].strip()
        elif not line.startswith("#"):
            files[line.split("-")[0]] = folder + line
    return Bag(name, tuple(files[s] for s in bag["models"]), bag.get("weights"), bag.get("segment"))


def torch_cache() -> Path:
    """``torch.hub``'s checkpoint folder, found without importing torch."""
    home = os.environ.get("TORCH_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "torch"
    )
    return Path(home) / "hub" / "checkpoints"


def hub_cache() -> Path:
    """The HuggingFace hub's cache folder, found without importing it."""
    if explicit := os.environ.get("HF_HUB_CACHE"):
        return Path(explicit)
    home = os.environ.get("HF_HOME") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "huggingface"
    )
    return Path(home) / "hub"


def cached_official(bag: Bag) -> list[Path] | None:
    """The bag's files if all exist on this machine, else None.

    Searched in the user folder and ``torch.hub``'s cache (``.th``), then in the HuggingFace cache
    (``.safetensors`` of the same models).
    """
    names = [Path(file).name for file in bag.files]
    for folder in (user_folder(), torch_cache()):
        if all((folder / name).is_file() for name in names):
            return [folder / name for name in names]
    tail = bag.name.removeprefix("htdemucs_") if bag.name.startswith("htdemucs_") else ""
    repository = (
        "HTDemucs"
        if bag.name == "htdemucs"
        else f"HTDemucs-{tail}"
        if tail
        else f"Demucs-{bag.name}"
    )
    snapshots = hub_cache() / f"models--adefossez--{repository}" / "snapshots"
    for snapshot in sorted(snapshots.glob("*")):
        paths = [snapshot / f"{signature}.safetensors" for signature in bag.signatures]
        if all(path.is_file() for path in paths):
            return paths
    return None


def demucs_download_hint(bag: Bag) -> str:
    """The end of an error: which files, from where, into which folder."""
    names = ", ".join(Path(file).name for file in bag.files)
    return (
        f"put {names} (from {DEMUCS_ROOT}{bag.files[0].rpartition('/')[0]}/) into {torch_cache()} "
        f"or {user_folder()}, or give checkpoint=PATH"
    )


def warn_bundled(name: str, why: str) -> None:
    """Warn on stderr that the mini is used instead; labels also show it."""
    notify(
        f"{name}: {why}; the small checkpoint of benchsep is used ({name}@mini). For published "
        f"quality: {name}:checkpoint=official"
    )
