"""The MSST architectures in ``pymss-core``: finds the one for a configuration and weights.

Conventions
-----------
declared  ``model_type`` in the configuration (upstream passes it on its command line)
by shape  without it, the names of the model's arguments decide; ``HyperACE`` has BS-RoFormer's
          arguments and is recognised by its weights
zero_dc   since September 2025, upstream sets the lowest bin of a RoFormer's estimates to zero,
          which its public configurations do not state. Here the configuration's value is used; the
          default is true
length    Mel-Band RoFormer is called with ``match_input_audio_length``: the same samples where
          upstream works, and a result also if the chunk is not a multiple of the hop
bandit    BandIt's core takes one channel: each channel is a separate input, as in upstream
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchsep.errors import CheckpointError

ROFORMERS = {
    "bs_roformer": "BSRoformer",
    "bs_roformer_hyperace": "BSRoformerHyperACE",
    "bs_conformer": "BSConformer",
    "mel_band_roformer": "MelBandRoformer",
    "mel_band_conformer": "MelBandConformer",
}
"""Architecture to the class of ``pymss_core.modules.bs_roformer``."""

NAMES = (*ROFORMERS, "mdx23c", "scnet", "bandit", "bandit_v2", "apollo", "htdemucs")

MARKS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ("a LoRA", ("lora_A",), ()),
    ("bs_roformer_hyperace", ("mask_estimators", ".segm."), ()),
    ("bs_conformer", ("band_split.to_features", ".ff1.", "final_norm."), ()),
    ("mel_band_conformer", ("band_split.to_features", ".ff1."), ()),
    ("bs_roformer", ("band_split.to_features", "final_norm."), ()),
    ("mel_band_roformer", ("band_split.to_features", "mask_estimators"), ()),
    ("scnet", ("separation_net.dp_modules", "SDlayer"), ()),
    ("mdx23c", ("encoder_blocks.", "tfc_tdf"), ()),
    ("bandit", ("bsrnn.",), ()),
    ("bandit_v2", ("mask_estim.", "band_split.", "tf_model."), ()),
    ("apollo", ("BN.0.", "output.0.", "net.0."), ()),
    ("htdemucs", ("tencoder.", "crosstransformer."), ()),
    ("demucs' own (system htdemucs)", ("encoder.", "decoder."), ("SDlayer", "bsrnn.")),
)
"""Architecture, parts of names that its weights have, and parts that they do not have; the first
match is used."""


def likeliest(names: Iterable[str]) -> str:
    """The likely architecture for the names of weights; empty if unknown."""
    text = "\n".join(names)
    for architecture, present, absent in MARKS:
        if all(p in text for p in present) and not any(p in text for p in absent):
            return architecture
    return ""


def architecture_of(config: dict[str, Any], names: Iterable[str], asked: str, path: Path) -> str:
    """The architecture to build: requested, declared, or recognised by the arguments.

    Parameters
    ----------
    names
        Names of the weights, to distinguish architectures with the same arguments.

    Raises
    ------
    CheckpointError
        it is unknown or not in :data:`NAMES`; the message has the likely one for the weights.
    """
    from pymss_core import ModelTypeDetectionError, detect_model_type

    looks = likeliest(names)
    if looks == "a LoRA":
        raise CheckpointError(
            f"{path}: the weights are a LoRA (lora_A, lora_B), which is not supported; first "
            "merge it into its base model, with the program of upstream"
        )
    found = asked
    if not found:
        try:
            found = str(detect_model_type(config))
        except ModelTypeDetectionError as error:
            found = looks if looks in NAMES else ""
            if not found:
                raise CheckpointError(_untold(path, str(error), looks)) from error
    if found == "bs_roformer" and looks == "bs_roformer_hyperace":
        found = looks
    if found not in NAMES:
        raise CheckpointError(
            f"{path}: the architecture {found!r} is not supported; expected one of "
            f"{', '.join(NAMES)}" + (f" (the weights look like {looks})" if looks else "")
        )
    return found


def _untold(path: Path, why: str, looks: str) -> str:
    first = why.partition(". Set")[0].removesuffix(".")
    guess = f"; the weights look like {looks}" if looks else ""
    return (
        f"{path}: its architecture is not recognised ({first}){guess}; give it with "
        f"architecture=NAME, one of {', '.join(NAMES)}"
    )


def constructor(
    architecture: str, config: dict[str, Any], arguments: dict[str, Any]
) -> Callable[[], Any]:
    """A function that builds the model with ``arguments``, which are updated in place to the used
    ones.

    Raises
    ------
    TypeError, ValueError, AssertionError, KeyError, AttributeError, RuntimeError
        when called: the arguments do not fit the class.
    """
    modules = "pymss_core.modules"
    for label in ("type", "model_type", "architecture"):
        arguments.pop(label, None)
    if architecture in ROFORMERS:
        cls = getattr(import_module(f"{modules}.bs_roformer"), ROFORMERS[architecture])
        arguments.setdefault("zero_dc", True)
        if architecture.startswith("mel"):
            arguments["match_input_audio_length"] = True
        if "freqs_per_bands" in arguments:
            arguments["freqs_per_bands"] = tuple(arguments["freqs_per_bands"])
    elif architecture == "scnet":
        cls = import_module(f"{modules}.scnet").SCNet
    elif architecture == "bandit":
        cls = import_module(f"{modules}.bandit.core.model").MultiMaskMultiSourceBandSplitRNNSimple
    elif architecture == "bandit_v2":
        cls = import_module(f"{modules}.bandit_v2.bandit").Bandit
    elif architecture == "apollo":
        cls = import_module(f"{modules}.look2hear.apollo").Apollo
    else:
        return lambda: _from_config(architecture, {**config, **_section(config, arguments)})
    return lambda: cls(**arguments)


def _section(config: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    name = config["model"] if isinstance(config.get("model"), str) else "model"
    return {name: arguments}


def _from_config(architecture: str, config: dict[str, Any]) -> Any:
    """The two classes that take the whole configuration."""
    from pymss_core import to_attrdict

    if architecture == "mdx23c":
        from pymss_core.modules.mdx23c_tfc_tdf_v3 import TFC_TDF_net

        return TFC_TDF_net(to_attrdict(config))
    from pymss_core.modules.demucs4ht import get_model

    training = {"samplerate": 44_100, "channels": 2, **config["training"]}
    return get_model(to_attrdict({**config, "training": training}))


def takes_one_channel(architecture: str, arguments: dict[str, Any], channels: int) -> bool:
    """Whether a model takes each channel as a separate input."""
    if architecture in ROFORMERS:
        return not arguments.get("stereo", False)
    return architecture == "bandit" or channels == 1
