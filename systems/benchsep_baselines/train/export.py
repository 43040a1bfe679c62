"""Exports a training: half-precision safetensors and a model card.

Conventions
-----------
weights   the moving average, float16, at most 12 MB
metadata  enough to rebuild the model: HTDemucs in upstream's own layout (``klass``, ``args``,
          ``kwargs``, readable by ``demucs.hf.load_safetensors_model``), BS-RoFormer as the
          MSST-like configuration that :mod:`benchsep_baselines.msst` reads
scores    measured with the exported file and the system for users, not with the training's forward
          pass
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchsep._util.tensors import file_sha256
from benchsep_baselines.train import data
from benchsep_baselines.train.evaluate import means, usdr
from benchsep_baselines.train.presets import PRESETS, Course, Preset

CHUNK_SECONDS = 3.0
"""BS-RoFormer's chunk at inference; of 2, 3, 4 and 7 s the best on the validation songs."""

CARD = Path(__file__).with_name("card.md")
"""The model card's template; its fields are those of :func:`render_card`."""

TITLES = {"bs_roformer": "BS-RoFormer", "htdemucs": "HTDemucs"}


@dataclass(frozen=True)
class Trained:
    """A finished training: its weights and the facts for the card."""

    name: str
    preset: Preset
    state: dict[str, torch.Tensor]
    """Averaged weights."""
    parameters: int
    material: data.Material
    course: Course
    minutes: float
    """CPU minutes of the training."""
    bound: str
    """Its budget, as an option of the command."""
    steps: int
    seed: int
    curve: list[dict[str, Any]]
    """Validations: ``step``, ``cpu_seconds`` and ``usdr`` per stem."""


def export(trained: Trained, folder: Path, valid: list[data.Song], notes: str = "") -> Path:
    """Write ``<name>-mini.safetensors`` and ``.md`` into ``folder``; returns the former."""
    path = folder / f"{trained.name}-mini.safetensors"
    write_weights(path, trained.name, trained.preset, trained.state)
    scores = score(path, trained.name, valid)
    path.with_suffix(".md").write_text(render_card(trained, path, scores, notes), encoding="utf-8")
    print("exported " + json.dumps({"file": str(path), "usdr": scores}), flush=True)
    return path


def write_weights(path: Path, name: str, preset: Preset, state: dict[str, torch.Tensor]) -> None:
    """The state in half precision, with the metadata that rebuilds its model."""
    from safetensors.torch import save_file

    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
    save_file(half, str(path), metadata(name, preset.arguments))


def metadata(name: str, arguments: dict[str, Any]) -> dict[str, str]:
    """Safetensors metadata of a mini: strings to JSON."""
    if name == "htdemucs":
        return {
            "format": "benchsep-mini",
            "klass": "demucs.htdemucs.HTDemucs",
            "args": json.dumps([list(data.SOURCES)]),
            "kwargs": json.dumps(arguments),
        }
    config = {
        "model": arguments,
        "audio": {"chunk_size": round(CHUNK_SECONDS * data.RATE)},
        "training": {"instruments": list(data.SOURCES)},
        "inference": {"num_overlap": 2},
    }
    return {"format": "benchsep-mini", "config": json.dumps(config)}


def score(path: Path, name: str, songs: list[data.Song]) -> dict[str, float]:
    """Mean uSDR per stem of the exported file, through the system that users run."""
    from benchsep.audio import Audio

    system = load_system(path, name)
    rows = []
    for song in songs:
        mixture = Audio(song.astype(np.float32).sum(0), data.RATE)
        estimates = system.separate(mixture, seed=0)
        rows.append(usdr(song, np.stack([estimates[s].samples for s in data.SOURCES])))
    return means(np.array(rows))


def load_system(path: Path, name: str) -> Any:
    """The system of a family on an exported file."""
    if name == "bs_roformer":
        from benchsep_baselines.bs_roformer import BSRoformer

        return BSRoformer(checkpoint=str(path))
    from benchsep_baselines.htdemucs import htdemucs

    return htdemucs(checkpoint=str(path))


def render_card(trained: Trained, path: Path, scores: dict[str, float], notes: str = "") -> str:
    """The model card as Markdown."""
    preset = trained.preset
    listed = ", ".join(f"{k}={v}" for k, v in preset.arguments.items() if k != "freqs_per_bands")
    columns = ("vocals", "drums", "bass", "other", "mean")
    curve = "\n".join(
        f"| {e['step']} | {e['cpu_seconds']:.0f} | "
        + " | ".join(f"{e['usdr'][c]:.2f}" for c in columns)
        + " |"
        for e in trained.curve
    )
    return CARD.read_text(encoding="utf-8").format(
        name=trained.name,
        title=TITLES[trained.name],
        architecture=f"`{listed}`",
        parameters=trained.parameters,
        file=path.name,
        megabytes=path.stat().st_size / 1e6,
        sha256=file_sha256(path),
        **_facts(trained),
        rate=preset.rate,
        warmup=preset.warmup,
        batch=preset.batch,
        seconds=preset.seconds,
        minutes=trained.minutes,
        steps=trained.steps,
        seed=trained.seed,
        curve=curve,
        bound=trained.bound,
        notes=notes,
        **scores,
    )


def _facts(trained: Trained) -> dict[str, str]:
    """The card's sentences on data, objective and augmentation."""
    material, course, preset = trained.material, trained.course, trained.preset
    mixing, made = course.mixing, len(material.extra)
    again = ["--model", trained.name, "--root MUSDB18-7S --out WORK", trained.bound]
    songs = (
        f"MUSDB18, 7-second edition, `train`: {len(material.songs)} excerpts of 6.8 s; the 14 "
        "validation songs of `musdb`'s `configs/mus.yaml` kept out"
    )
    objective = "log10 of the error's energy over the stem's, floor -25 dB of the mixture"
    augmentation = (
        f"stems remixed across songs ({mixing.remix:.0%}), gains ±6 dB, polarity, channel swap"
    )
    if made:
        songs += f"; {mixing.extra:.0%} of drums, bass and other from {made} made songs (below)"
        again.append(f"--extra SONGS --extra-share {mixing.extra:g}")
    if mixing.speed:
        augmentation += f", {mixing.speed:.0%} played up to two semitones faster or slower"
        again.append(f"--speed-share {mixing.speed:g}")
    if course.spectral:
        objective += f"; plus {course.spectral:g} times the distance of compressed spectra"
        again.append(f"--spectral {course.spectral:g} --excess {course.excess:g}")
        if course.excess != 0.5:
            objective += f" ({course.excess:.0%} of its weight on bins that are too loud)"
    if course.init is not None:
        again.append("--init FIRST.safetensors")
    usual = PRESETS[trained.name]
    for option in ("rate", "warmup", "seconds", "batch"):
        if (value := getattr(preset, option)) != getattr(usual, option):
            again.append(f"--{option} {value:g}")
    if trained.seed:
        again.append(f"--seed {trained.seed}")
    begins = "random" if course.init is None else f"sha256 `{file_sha256(course.init)}`"
    return {
        "songs": songs,
        "objective": objective + ", mean over items and stems",
        "augmentation": augmentation,
        "begins": begins,
        "again": " ".join(again),
    }
