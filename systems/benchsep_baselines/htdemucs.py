"""HTDemucs and related models, through the official ``demucs`` package.

Conventions
-----------
call      bit-identical to upstream on the CPU: normalise by mean and standard deviation of the mono
          mixture, then ``demucs.apply.apply_model`` (``demucs.api.Separator.separate_tensor`` does
          the same)
shifts    drawn from stdlib ``random``, which upstream's command line never seeds. Here it is seeded
          for the call and restored afterwards, so estimates are reproducible
stems     mapped by ``model.sources``, never by position; ``htdemucs_6s`` returns six stems, of
          which the rest is ``other6``, and ``other`` as the sum of ``other6``, guitar and piano
files     ``.th`` (torch.save of class, arguments, half-precision state) and ``.safetensors``
          (the same in metadata), as upstream writes them

Source: A. Défossez, "Hybrid spectrogram and waveform source separation" (2021); S. Rouard,
F. Massa, A. Défossez, "Hybrid transformers for music source separation" (ICASSP 2023).
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchsep._util.device import torch_device
from benchsep._util.model_bounds import bounded, check_arguments
from benchsep._util.tensors import combined_sha256, load_strictly
from benchsep._util.yamlfile import check_nesting
from benchsep.errors import CheckpointError, UsageError
from benchsep.systems.contract import SystemInfo
from benchsep_baselines import availability, download, locate, safe_load
from benchsep_baselines.common import (
    Separator,
    number,
    offered_stems,
    package_version,
    switch,
    whole,
)
from benchsep_baselines.demucs_batches import BatchPool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEMUCS_CLASSES = ("demucs.htdemucs.HTDemucs", "demucs.hdemucs.HDemucs", "demucs.demucs.Demucs")

TRAINING_DATA = {
    "htdemucs": "MUSDB18-HQ train + 800 songs",
    "htdemucs_ft": "MUSDB18-HQ train + 800 songs, fine-tuned per stem",
    "htdemucs_6s": "MUSDB18-HQ train + 800 songs + guitar and piano stems",
    "hdemucs_mmi": "MUSDB18-HQ train + 800 songs",
    "mdx": "MUSDB18-HQ train",
    "mdx_extra": "MUSDB18-HQ train and test + extra songs",
}
"""From upstream's README. ``mdx_extra`` was trained on the test songs, so its scores on them are
not a valid test."""

TRAINED_ON = {
    "htdemucs": ("musdb18:train", "demucs-800"),
    "htdemucs_ft": ("musdb18:train", "demucs-800"),
    "htdemucs_6s": ("musdb18:train", "demucs-800", "unknown"),
    "hdemucs_mmi": ("musdb18:train", "demucs-800"),
    "mdx": ("musdb18:train",),
    "mdx_extra": ("musdb18:train", "musdb18:test", "unknown"),
}
"""The same as data sets. ``demucs-800`` are upstream's 800 songs, which are not public. For a
folder of estimates of ``mdx_extra_q`` (the quantised ``mdx_extra``), the user must declare the
training data: ``dir:PATH::discriminative::musdb18:train+musdb18:test``."""

WHAT = {
    "htdemucs": "Hybrid Transformer Demucs",
    "htdemucs_ft": "the same, four models fine-tuned per stem",
    "htdemucs_6s": "six stems; other is their rest, or a sum with guitar and piano",
    "hdemucs_mmi": "Hybrid Demucs v3, retrained",
    "mdx": "the MDX 2021 bag of four",
    "mdx_extra": "the MDX 2021 bag of four with extra songs (saw MUSDB18's test songs)",
}

MIT = "MIT (upstream states no separate terms for the weights)"


@dataclass(frozen=True)
class Weights:
    """A resolved checkpoint: short name, files, bag layout, training data and licence."""

    label: str
    paths: list[Path]
    training_data: str
    licence: str
    bag_weights: list[list[float]] | None = None
    segment: float | None = None
    trained_on: tuple[str, ...] = ("unknown",)


class Demucs(Separator):
    """A demucs model or bag as a system.

    Parameters
    ----------
    name
        Upstream's model name.
    checkpoint
        ``auto``, ``official``, ``mini`` (htdemucs only), or a ``.th`` / ``.safetensors`` file.
    shifts
        Number of random shifts that are averaged (upstream's default 1; 0 is upstream's
        deterministic mode).
    overlap
        Overlap of segments as a fraction (0.25).
    segment
        Length in seconds; empty: the model's own. HTDemucs does not accept longer segments than in
        training.
    batch
        Chunks per batch, see :mod:`benchsep_baselines.demucs_batches`: larger is faster on a GPU.
        Samples then differ in their last digits.
    trust_pickle
        Unpickle a local ``.th`` fully: see :mod:`benchsep_baselines.safe_load`.
    """

    def __init__(
        self,
        name: str,
        *,
        checkpoint: str = "auto",
        shifts: str | int = 1,
        overlap: str | float = 0.25,
        segment: str | float = "",
        trust_pickle: str | bool = False,
        batch: str | int = 1,
        device: str = "cpu",
    ) -> None:
        self.shifts = whole("shifts", shifts, low=0, high=100)
        self.overlap = number("overlap", overlap, low=0.0, high=0.99)
        self.segment = number("segment", segment, low=0.1, high=3600) if segment != "" else None
        self.batch = whole("batch", batch, low=1, high=256)
        self.device = torch_device(device)
        weights = find_weights(name, checkpoint)
        self.model = _assemble(weights, trust_pickle=switch("trust_pickle", trust_pickle))
        self._check_segment()
        self.model.to(self.device).eval()
        sources = list(self.model.sources)
        self.stems = offered_stems(sources, sources, weights.paths[0])
        self.info = SystemInfo(
            name=name,
            family="discriminative",
            stems=self.stems.stems,
            checkpoint=weights.label,
            checkpoint_sha256=combined_sha256(weights.paths),
            training_data=weights.training_data,
            trained_on=weights.trained_on,
            licence=weights.licence,
            deterministic=self.device.type == "cpu",
            version=f"1+demucs{package_version('demucs')}",
            options={
                "shifts": self.shifts,
                "overlap": self.overlap,
                "segment": self.segment,
                **({"batch": self.batch} if self.batch > 1 else {}),
            },
            options_in_name=("checkpoint", "trust_pickle"),
        )

    def _check_segment(self) -> None:
        longest = getattr(self.model, "max_allowed_segment", None)
        models = getattr(self.model, "models", [self.model])
        own = [float(m.segment) for m in models if type(m).__name__ == "HTDemucs"]
        limit = min(own) if own else longest
        if self.segment is not None and limit is not None and self.segment > limit:
            raise UsageError(
                f"option segment={self.segment:g}: expected at most {float(limit):g}, because the "
                f"transformer of this model was trained on {float(limit):g} s"
            )

    def _estimate(self, mixture: NDArray[np.float32], seed: int) -> dict[str, NDArray[np.float32]]:
        import torch
        from demucs.apply import apply_model

        mix = torch.from_numpy(mixture)
        ref = mix.mean(0)
        mean, std = ref.mean(), ref.std() + 1e-8
        caller = random.getstate()
        random.seed(seed)
        try:
            with torch.inference_mode():
                out = apply_model(
                    self.model,
                    ((mix - mean) / std)[None],
                    shifts=self.shifts,
                    split=True,
                    overlap=self.overlap,
                    segment=self.segment,
                    device=self.device,
                    progress=False,
                    num_workers=0,
                    pool=BatchPool(self.batch) if self.batch > 1 else None,
                )
        finally:
            random.setstate(caller)
        stems = (out.cpu() * std + mean)[0].numpy()
        return dict(zip(self.model.sources, stems, strict=True))


# --- which weights -------------------------------------------------------------------------


def find_weights(name: str, checkpoint: str) -> Weights:
    """Resolve ``checkpoint`` to files.

    Raises
    ------
    CheckpointError
        files are missing; the message names them and the folder for them.
    """
    if checkpoint == "mini":
        return _mini(name)
    if checkpoint not in ("auto", "official", ""):
        path = locate.existing_file(name, checkpoint, (".th", ".safetensors"))
        return Weights(path.stem, [path], "undeclared (local file)", "undeclared (local file)")
    bag = locate.demucs_bag(name)
    paths = locate.cached_official(bag) or download.fetch_official(bag)
    if paths:
        data, entries = TRAINING_DATA[name], TRAINED_ON[name]
        return Weights("official", paths, data, MIT, bag.weights, bag.segment, entries)
    where = locate.demucs_download_hint(bag)
    if checkpoint == "official" or name not in locate.BUNDLED_CHECKPOINTS:
        raise CheckpointError(
            f"{name}: the official weights are neither cached nor reachable; {where}"
        )
    locate.warn_bundled(name, "the official weights are neither cached nor reachable")
    return _mini(name)


def _mini(name: str) -> Weights:
    if name not in locate.BUNDLED_CHECKPOINTS:
        raise CheckpointError(
            f"{name} has no mini checkpoint; only htdemucs has one: htdemucs@mini"
        )
    return Weights(
        "mini",
        [locate.bundled_path(name)],
        "MUSDB18 (7-second edition) train without its 14 validation songs; demo songs of LMMS",
        "MUSDB18's terms: academic, non-commercial use",
        trained_on=(*locate.MINI_TRAINED_ON, "lmms-demos"),
    )


# --- reading -------------------------------------------------------------------------------


def _assemble(weights: Weights, *, trust_pickle: bool) -> Any:
    """One model, or upstream's bag of several."""
    models = [load_model(path, trust_pickle=trust_pickle) for path in weights.paths]
    if len(models) == 1 and weights.bag_weights is None and weights.segment is None:
        return models[0]
    from demucs.apply import BagOfModels

    return BagOfModels(models, weights.bag_weights, weights.segment)


def load_model(path: Path, *, trust_pickle: bool = False) -> Any:
    """A demucs model from ``.th`` or ``.safetensors``, on the CPU, in evaluation mode.

    Raises
    ------
    CheckpointError
        the file is corrupt, unsafe or of another class, or its weights do not fit.
    """
    download.check_name_hash(path, path.stem)
    package = (
        _read_safetensors(path) if path.suffix == ".safetensors" else _read_th(path, trust_pickle)
    )
    missing = {"klass", "args", "kwargs", "state"} - set(package)
    if missing:
        raise CheckpointError(
            f"{path}: {', '.join(sorted(missing))} is missing; expected a file written by demucs"
        )
    if not isinstance(package["state"], dict):
        raise CheckpointError(f"{path}: its entry 'state' is not a state dict")
    if package["state"].get("__quantized"):
        raise CheckpointError(
            f"{path}: weights quantised by diffq are not supported; use the system mdx_extra"
        )
    model = _built(package, path)
    load_strictly(model, package["state"], path)
    return model.eval()


def _built(package: dict[str, Any], path: Path) -> Any:
    """Build the class with its arguments; the model may not be larger than the weights in the
    file.
    """
    held = [t.numel() for t in package["state"].values() if hasattr(t, "numel")]
    arguments = _known_arguments(package)
    check_arguments([package["args"], arguments], path)
    try:
        return bounded(
            lambda: package["klass"](*package["args"], **arguments), sum(held), len(held), path
        )
    except (TypeError, ValueError, AssertionError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its arguments do not build a model ({error})") from error


def _known_arguments(package: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that the installed class no longer has, as in upstream's
    loader.
    """
    import inspect

    known = inspect.signature(package["klass"]).parameters
    return {key: value for key, value in package["kwargs"].items() if key in known}


def _classes() -> dict[str, Any]:
    import importlib

    return {
        name: getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2])
        for name in DEMUCS_CLASSES
    }


def _read_th(path: Path, trust_pickle: bool) -> dict[str, Any]:
    admitted = {**_classes(), "fractions.Fraction": Fraction}
    package = safe_load.load_pickle(path, admitted=admitted, trust_pickle=trust_pickle)
    if not isinstance(package, dict):
        raise CheckpointError(
            f"{path}: found a {type(package).__name__}, expected the dictionary that demucs writes"
        )
    if package.get("klass") not in _classes().values():
        raise CheckpointError(
            f"{path}: its class is {package.get('klass')!r}, expected a class of demucs"
        )
    return package


def _read_safetensors(path: Path) -> dict[str, Any]:
    state, metadata = safe_load.load_safetensors(path)
    klass = metadata.get("klass", "")
    if klass not in DEMUCS_CLASSES:
        raise CheckpointError(
            f"{path}: its metadata names the class {klass!r}, expected one of "
            f"{', '.join(DEMUCS_CLASSES)}"
        )
    try:
        for key in ("args", "kwargs"):
            check_nesting(metadata[key])
        args = _decoded(json.loads(metadata["args"]))
        kwargs = _decoded(json.loads(metadata["kwargs"]))
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: its metadata has no arguments of the model") from error
    return {"klass": _classes()[klass], "args": args, "kwargs": kwargs, "state": state}


def _decoded(value: Any) -> Any:
    """Upstream's JSON: a fraction is ``{"_type": "fraction", …}``."""
    if isinstance(value, dict):
        if value.get("_type") == "fraction":
            return Fraction(value["numerator"], value["denominator"])
        return {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list) else value


# --- entry points: one name each, so that unknown options are refused by signature ------------


def _entry(name: str) -> Any:
    def factory(
        checkpoint: str = "auto",
        shifts: str | int = 1,
        overlap: str | float = 0.25,
        segment: str | float = "",
        trust_pickle: str | bool = False,
        batch: str | int = 1,
        *,
        device: str = "cpu",
    ) -> Demucs:
        return Demucs(
            name,
            checkpoint=checkpoint,
            shifts=shifts,
            overlap=overlap,
            segment=segment,
            trust_pickle=trust_pickle,
            batch=batch,
            device=device,
        )

    factory.__name__ = factory.__qualname__ = name
    factory.__doc__ = f"The demucs model ``{name}``; options as :class:`Demucs`."
    factory.about = availability.about(name, WHAT[name], "MIT")  # type: ignore[attr-defined]
    return factory


htdemucs = _entry("htdemucs")
htdemucs_ft = _entry("htdemucs_ft")
htdemucs_6s = _entry("htdemucs_6s")
hdemucs_mmi = _entry("hdemucs_mmi")
mdx = _entry("mdx")
mdx_extra = _entry("mdx_extra")
