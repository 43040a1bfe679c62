"""The published codecs by name: location of the weights, availability, loading.

A codec comes from a folder that ``transformers`` wrote, or from the Hugging Face hub's cache, which
is filled over the network unless ``BENCHSEP_OFFLINE`` or ``HF_HUB_OFFLINE`` is set. Only
safetensors files are read. Torch is imported when a codec is loaded.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.absent import package_absent, weights_absent
from benchsep._util.strict_json import parse_json
from tokensep.errors import CheckpointError, Unavailable, UsageError

if TYPE_CHECKING:
    from tokensep.codec.public.adapters import PublicCodec

INSTALL = "pip install 'benchsep[codecs]'"
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Published:
    """A codec on the hub.

    Attributes
    ----------
    repository : id on the hub.
    rate, channels : of the published weights.
    option : option that sets the bit rate.
    """

    repository: str
    rate: int
    channels: int
    option: str
    licence: str
    training_data: str
    trained_on: tuple[str, ...]
    """The same as data sets (:mod:`benchsep.systems.training`)."""


PUBLISHED = {
    "dac": Published(
        "descript/dac_44khz",
        44_100,
        1,
        "codebooks",
        "MIT",
        "speech, music (MUSDB18 among it) and environmental sounds",
        ("musdb18:train", "unknown"),
    ),
    "encodec": Published(
        "facebook/encodec_48khz",
        48_000,
        2,
        "bandwidth",
        "MIT",
        "music (Jamendo and others)",
        ("jamendo", "unknown"),
    ),
    "mimi": Published("kyutai/mimi", 24_000, 1, "codebooks", "CC-BY-4.0", "speech", ("unknown",)),
}


@dataclass(frozen=True)
class Choice:
    """The choice of a codec, its source and bit rate.

    Attributes
    ----------
    name : a key of :data:`PUBLISHED`.
    folder : files of ``transformers``; None: the hub's.
    codebooks, bandwidth : see :mod:`tokensep.codec.public.adapters`; None: all that it has.
    revision : commit, tag or branch on the hub; empty: its main branch.
    """

    name: str
    folder: Path | None = None
    codebooks: int | None = None
    bandwidth: float | None = None
    revision: str = ""

    @property
    def command(self) -> str:
        """The command that downloads the weights."""
        revision = f" --revision {self.revision}" if self.revision else ""
        return f"hf download {PUBLISHED[self.name].repository}{revision}"


def check_options(choice: Choice) -> None:
    """Raise for an option that this codec does not have.

    Raises
    ------
    UsageError
    """
    option = PUBLISHED[choice.name].option
    for other in ("codebooks", "bandwidth"):
        if other != option and getattr(choice, other) is not None:
            raise UsageError(f"{choice.name} has no option {other}; its option is {option}")
    if choice.folder and choice.revision:
        raise UsageError(
            f"revision={choice.revision} is only for files of the hub, and {choice.folder} is a "
            "folder; leave out revision"
        )


def missing(choice: Choice) -> str:
    """Why it cannot be loaded here, with the command that helps; empty if loading can be tried.

    Checks only local files.
    """
    if importlib.util.find_spec("transformers") is None:
        return package_absent(f"codec {choice.name} needs transformers: {INSTALL}")
    if choice.folder is not None or _cached(choice) or not _offline():
        return ""
    return _absent(choice, "the machine is offline (BENCHSEP_OFFLINE or HF_HUB_OFFLINE)")


def present(choice: Choice) -> str:
    """As :func:`missing`, for a listing: weights that would have to be fetched are missing too."""
    reason = missing(choice)
    if reason or choice.folder is not None or _cached(choice):
        return reason
    return weights_absent(
        f"{PUBLISHED[choice.name].repository} is not on this machine; to fetch it: {choice.command}"
    )


def _absent(choice: Choice, reason: str) -> str:
    repository = PUBLISHED[choice.name].repository
    return weights_absent(
        f"{repository} is not on this machine ({reason}); on a machine with a network, run: "
        f"{choice.command}"
    )


def _offline() -> bool:
    return bool(os.environ.get("BENCHSEP_OFFLINE") or os.environ.get("HF_HUB_OFFLINE"))


def _cached(choice: Choice) -> bool:
    from huggingface_hub import try_to_load_from_cache

    repository, revision = PUBLISHED[choice.name].repository, choice.revision or None
    return isinstance(try_to_load_from_cache(repository, WEIGHTS, revision=revision), str)


def folder_of(choice: Choice) -> Path:
    """The folder of configuration and weights, fetched if there is a network.

    Raises
    ------
    Unavailable
        No package, no weights and no network; the command that helps is named.
    """
    if reason := missing(choice):
        raise Unavailable(reason)
    if choice.folder is not None:
        return choice.folder
    from huggingface_hub import snapshot_download

    try:
        found = snapshot_download(
            PUBLISHED[choice.name].repository,
            revision=choice.revision or None,
            allow_patterns=["config.json", WEIGHTS],
            local_files_only=_offline() or _cached(choice),
        )
    except (OSError, ValueError) as error:
        first = str(error).split("\n")[0][:200]
        raise Unavailable(_absent(choice, f"fetching failed ({first})")) from error
    return Path(found)


def architecture(folder: Path) -> str:
    """The key of :data:`PUBLISHED` that a folder of ``transformers`` holds; empty if none."""
    try:
        kind = parse_json((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return kind if kind in PUBLISHED else ""


def open_public(choice: Choice) -> tuple[PublicCodec, Path]:
    """The codec on the CPU, and the file of its weights.

    Raises
    ------
    UsageError
        An option that it has not, or a value that it does not offer.
    Unavailable
        Package or weights are not here.
    CheckpointError
        The files are damaged, or not a whole model of this kind.
    """
    check_options(choice)
    folder = folder_of(choice)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise CheckpointError(f"{folder} has no {WEIGHTS}; to fetch it: {choice.command}")
    model = _model(choice.name, folder)
    from tokensep.codec.public import adapters

    if choice.name == "encodec":
        return adapters.EncodecCodec(model, choice.bandwidth), weights
    adapter = adapters.DacCodec if choice.name == "dac" else adapters.MimiCodec
    return adapter(model, choice.codebooks), weights


def _model(name: str, folder: Path) -> Any:
    import transformers
    from transformers.utils import logging

    chatter: Any = logging
    chatter.disable_progress_bar()  # a run has its own
    kinds = {"dac": "DacModel", "encodec": "EncodecModel", "mimi": "MimiModel"}
    if architecture(folder) != name:
        raise CheckpointError(f"{folder} holds no {kinds[name]}: see model_type in config.json")
    loader: Any = getattr(transformers, kinds[name])
    try:
        model, report = loader.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # damaged files make the loaders raise whatever they like
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointError(f"{folder}: cannot be loaded ({first})") from error
    if report["missing_keys"]:
        first = sorted(report["missing_keys"])[0]
        count = len(report["missing_keys"])
        raise CheckpointError(f"{folder}: {count} weights are missing, e.g. {first}")
    return model
