"""tokensep as a benchsep system.

Options of a spec string (all text)
-----------------------------------
checkpoint    ``auto`` and ``mini`` (the shipped weights) or a folder
mode          ``generate``; ``oracle-tokens``: the true stems encoded and decoded, the upper bound
              of every LM on this codec (short form ``tokensep:oracle-tokens``) or on another one
              named by ``codec`` (:mod:`tokensep.integration.ceiling`); ``oracle-context``: each
              stem is drawn after the true tokens of the previous stems
decoding      ``sequential`` | ``parallel`` | ``one-pass`` (``passes``: how many)
order         stems in the order they are drawn, ``other+bass+drums+vocals``
refine        ``none``, ``mask`` or ``blend``, for all stems or per stem:
              ``vocals:blend+drums:blend``; per stem also ``guided``, the guided decoder's stem from
              the same latents
precision     ``float64``: the same tokens on every processor (default ``float32``)
render        ``tokens``: only the codec's decoder on the drawn tokens, as in the paper (without
              ``refine``, unless it is given too); ``mean`` and ``consensus`` decode an estimate of
              the latents instead; ``guided``: our own decoder, not in the paper, which also gets
              the mixture (:mod:`tokensep.decode.guide`), by default with the latents of one pass
every other field of :class:`tokensep.lm.config.InferenceConfig` (``draws``, ``step`` …) and of its
:class:`~tokensep.lm.config.SamplingConfig` (``temperature``, ``top_k``, ``top_p``, ``cfg``,
``sampled_layers``; ``none`` switches a filter off); default: the checkpoint's own

The name distinguishes variants that must not share a row. ``tokensep`` uses the checkpoint's
refinement (shipped: the guided decoder for all stems except other); other names are
``tokensep-unrefined``, ``tokensep+bass-mask+other-blend``, ``tokensep-parallel``,
``tokensep-one-pass``, ``tokensep-tokens``, ``tokensep-guided``, ``tokensep-oracle-tokens``,
``tokensep-oracle-context``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchsep._util import invalid
from benchsep._util.absent import in_short
from benchsep._util.device import torch_device
from benchsep._util.suggest import did_you_mean
from benchsep.audio import STEMS, Audio
from benchsep.errors import UsageError
from benchsep.systems.contract import SystemInfo
from tokensep.integration.ceiling import CODEC_OPTIONS, CodecCeiling, codecs, load_ceiling
from tokensep.lm.config import (
    RENDERINGS,
    UNREFINED,
    InferenceConfig,
    SamplingConfig,
    TokenSepConfig,
)

INFERENCE_OPTIONS = tuple(name for name in InferenceConfig.model_fields if name != "sampling")
SAMPLING_OPTIONS = tuple(SamplingConfig.model_fields)
OPTIONS_IN_NAME = ("checkpoint", "mode", "refine", "codec", "precision")
"""Options that the name or the checkpoint of a system shows, and the precision, with which tokens
are others of the same distribution, as with a seed; see ``SystemInfo``."""
MODES = ("generate", "oracle-tokens", "oracle-context")
TRAINING_DATA = (
    "MUSDB18 7-second edition, train split without the 14 validation songs (10 min of stems)"
)
TRAINED_ON = {"mini": ("musdb18:train-less-validation",)}
"""The same as data sets, by checkpoint; unknown for other checkpoints."""
TOKENS_REMARK = "the paper's rendering: drawn tokens through the codec's decoder, nothing else"
GUIDED_REMARK = (
    "not the paper's rendering: a decoder of tokensep that also gets the mixture as input"
)
LICENCE = "MIT code; weights for non-commercial use (MUSDB18)"


def load(
    checkpoint: str = "auto", mode: str = "generate", device: str = "cpu", **options: str
) -> TokenSepSystem | TokenSepOracle | TokenSepInContext | CodecCeiling:
    """Token-generative separator: a codec and a language model over its tokens.

    Parameters
    ----------
    checkpoint, mode : see the module.
    device : ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
    options : fields of :class:`InferenceConfig` and :class:`SamplingConfig`, as text; an empty text
        leaves the checkpoint's own value. With ``mode="oracle-tokens"``: ``codec`` and its options.

    Raises
    ------
    UsageError
        an option is unknown, or a value is not allowed.
    CheckpointError
        weights are missing, corrupt, or for another model.
    Unavailable
        the device does not exist here.
    """
    torch_device(device)
    if mode not in MODES:
        raise UsageError(f"tokensep: found mode={mode!r}, expected {', '.join(MODES)}")
    known = ["checkpoint", "mode", *INFERENCE_OPTIONS, *SAMPLING_OPTIONS, *CODEC_OPTIONS]
    for option in options:
        if option not in known:
            raise UsageError(
                f"system 'tokensep' has no option {option!r}{did_you_mean(option, known)}"
            )
    of_codec = {name: options.pop(name) for name in CODEC_OPTIONS if name in options}
    codec = of_codec.pop("codec", "mini")
    if mode != "oracle-tokens" and (of_codec or codec != "mini"):
        raise UsageError(
            f"tokensep: codec={codec} is for mode=oracle-tokens; an LM always uses the codec of "
            "its checkpoint"
        )
    if mode == "oracle-tokens" and options:
        raise UsageError(
            f"tokensep: mode=oracle-tokens decodes the true tokens; {', '.join(sorted(options))} "
            "would change nothing"
        )
    if codec != "mini":
        return load_ceiling(codec, device, of_codec)
    if of_codec:
        raise UsageError(f"tokensep: codec=mini has no option {', '.join(sorted(of_codec))}")
    from tokensep.separator import TokenSep

    source = "mini" if checkpoint in ("auto", "mini") else checkpoint
    model = TokenSep.from_checkpoint(source, device)
    if mode == "oracle-tokens":
        return TokenSepOracle(model)
    inference = _inference(model.config, options)
    inference.refine_of(model.config.stems)  # names only stems that there are
    if mode == "oracle-context":
        return TokenSepInContext(model, inference)
    return TokenSepSystem(model, inference)


def _listed() -> str:
    """``mini; codecs: mini, dac (absent) …``: what ``benchsep list systems`` shows."""
    found = codecs().items()
    states = (f"{name} ({in_short(reason)})" if reason else name for name, reason in found)
    return f"mini; codecs: {', '.join(states)}"


load.about = {  # type: ignore[attr-defined]
    "family": "generative",
    "licence": LICENCE,
    "what": "token-generative separator: a codec and a language model over its tokens; "
    "all stems but other by a decoder that also gets the mixture, unless refine=none",
    "checkpoints": _listed,
    "parts": lambda: {f"codec {name}": reason for name, reason in codecs().items()},
}


def _inference(config: TokenSepConfig, options: dict[str, str]) -> InferenceConfig:
    """The checkpoint's options with those given replaced; pydantic reads numbers from text."""
    from pydantic import ValidationError

    base = config.inference
    for render in RENDERINGS:
        base = base.rendered_as(render) if options.get("render") == render else base
    data = base.model_dump()
    for name, text in options.items():
        if not text:
            continue
        if name in SAMPLING_OPTIONS:
            data["sampling"][name] = None if text == "none" else text
        else:
            data[name] = _order(text, config.stems) if name == "order" else text
    try:
        return InferenceConfig.model_validate(data)
    except ValidationError as error:
        setting, fault = next(iter(invalid.settings(error).items()))
        named = [part for part in setting.split(".") if part in options]
        option = f"option {named[0]}={options[named[0]]!r}: " if named else ""
        raise UsageError(f"tokensep: {option}{fault}") from None


def _order(text: str, stems: tuple[str, ...]) -> tuple[str, ...]:
    """``other+bass+…`` as stems, all of them once."""
    order = tuple(text.split("+"))
    if sorted(order) != sorted(stems):
        raise UsageError(f"tokensep: found order={text}, expected each of {'+'.join(stems)} once")
    return order


def _name(options: InferenceConfig, config: TokenSepConfig) -> str:
    """``tokensep`` with the checkpoint's own rendering and refinement; others are in the name."""
    name = "tokensep"
    if options.decoding != ("one-pass" if options.render == "guided" else "sequential"):
        name += f"-{options.decoding}"
    own: tuple[str, ...] = config.inference.refine_of(config.stems)
    if _names_rendering(options, config):
        name, own = f"{name}-{options.render}", tuple("none" for _ in config.stems)
    if options.refine_of(config.stems) == own:
        return name
    if isinstance(options.refine, dict):
        return "+".join([name, *(f"{stem}-{how}" for stem, how in options.refine.items())])
    return f"{name}-unrefined" if options.refine == "none" else f"{name}+{options.refine}"


def _names_rendering(options: InferenceConfig, config: TokenSepConfig) -> bool:
    return options.render in UNREFINED and options.render != config.inference.render


def _guide_of(model: Any, options: InferenceConfig) -> dict[str, str]:
    """The hash of the guided decoder, where it is used; a checkpoint without one is refused."""
    return {"guide_sha256": model.guide_sha256} if _guided_stems(options) else {}


def _guided_stems(options: InferenceConfig) -> str:
    """The stems that the guided decoder makes, as text; empty if there are none."""
    if options.render == "guided":
        return "all stems"
    by_stem = options.refine if isinstance(options.refine, dict) else {}
    stems = [stem for stem, how in by_stem.items() if how == "guided"]
    return " and ".join(filter(None, (", ".join(stems[:-1]), *stems[-1:])))


def _remark(options: InferenceConfig) -> str:
    """Whether the rendering is the paper's."""
    guided = _guided_stems(options)
    if options.render == "guided":
        return GUIDED_REMARK
    if guided:
        return (
            f"{_estimate_remark(options)}; {guided} by a decoder of tokensep that also gets the "
            "mixture as input"
        )
    if options.render != "tokens":
        return _estimate_remark(options)
    return TOKENS_REMARK if options.refine == "none" else ""


def _estimate_remark(options: InferenceConfig) -> str:
    """What is averaged, and with which weights."""
    share = options.one_pass_share
    averaged = "averaged over draws"
    if share:
        averaged += f" (weight {1 - share:g}) and one pass without draws ({share:g})"
    return (
        f"not the paper's rendering: it decodes the expected latents, {averaged}, not drawn tokens"
    )


class TokenSepSystem:
    """Generates the stems."""

    def __init__(self, model: Any, options: InferenceConfig) -> None:
        self.model, self.options = model, options
        self.info = SystemInfo(
            name=_name(options, model.config),
            family="generative",
            rate=model.config.rate,
            checkpoint=model.provenance.name,
            checkpoint_sha256=model.provenance.sha256,
            training_data=TRAINING_DATA if model.provenance.name == "mini" else "undeclared",
            trained_on=TRAINED_ON.get(model.provenance.name, ("unknown",)),
            licence=LICENCE,
            # the same seed gives the same stems; greedy decoding does not even need the seed
            deterministic=options.sampling.temperature == 0
            and options.draws == 1
            and model.device.type == "cpu",
            options={**_flat(options), **_guide_of(model, options)},
            remark=_remark(options),
            options_in_name=(*OPTIONS_IN_NAME, "render")
            if _names_rendering(options, model.config)
            else OPTIONS_IN_NAME,
        )

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        stems = self.model.separate(mixture.samples, mixture.rate, seed=seed, options=self.options)
        return {stem: Audio(samples, mixture.rate) for stem, samples in stems.items()}


class TokenSepInContext:
    """Generates each stem after the true tokens of the previous stems, without error
    accumulation.
    """

    def __init__(self, model: Any, options: InferenceConfig) -> None:
        self.model, self.options = model, options
        self.info = replace(
            TokenSepSystem(model, options).info,
            name=_name(options, model.config).replace("tokensep", "tokensep-oracle-context", 1),
            family="oracle",
            needs_references=True,
            remark="",
            options={"mode": "oracle-context", **_flat(options)},
        )

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]:
        stems = self.model.separate(
            mixture.samples,
            mixture.rate,
            seed=seed,
            options=self.options,
            truth={stem: audio.samples for stem, audio in references.items()},
        )
        return {stem: Audio(samples, mixture.rate) for stem, samples in stems.items()}


class TokenSepOracle:
    """The true stems, encoded and decoded: the error of the codec alone."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.info = SystemInfo(
            name="tokensep-oracle-tokens",
            family="oracle",
            rate=model.config.rate,
            checkpoint=model.provenance.name,
            checkpoint_sha256=model.provenance.sha256,
            training_data=TRAINING_DATA if model.provenance.name == "mini" else "undeclared",
            trained_on=TRAINED_ON.get(model.provenance.name, ("unknown",)),
            licence=LICENCE,
            needs_references=True,
            options={"mode": "oracle-tokens"},
            options_in_name=OPTIONS_IN_NAME,
        )

    def separate(
        self, mixture: Audio, *, seed: int, references: dict[str, Audio]
    ) -> dict[str, Audio]:
        from tokensep.dsp.stereo import rms

        level = rms(mixture.mono().samples)
        return {
            stem: Audio(
                self.model.oracle(references[stem].samples, mixture.rate, level=level), mixture.rate
            )
            for stem in STEMS
            if stem in references
        }


def _flat(options: InferenceConfig) -> dict[str, Any]:
    data = options.model_dump(mode="json")
    if isinstance(data["refine"], dict):
        data["refine"] = "+".join(f"{stem}:{how}" for stem, how in data["refine"].items())
    if data["precision"] == "float32":  # cells made before there was a choice stay valid
        del data["precision"]
    return {**data.pop("sampling"), **data}
