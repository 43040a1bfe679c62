"""From a working folder to what is shipped: half-precision safetensors and a model card.

Conventions
-----------
weights   the moving average, float16, at most 12 MB
metadata  enough to rebuild the model: HTDemucs in upstream's own layout (``klass``, ``args``,
          ``kwargs``, readable by ``demucs.hf.load_safetensors_model``), BS-RoFormer as the
          MSST-like configuration that :mod:`benchsep_baselines.msst` reads
scores    measured on the exported file through the system that users run, not on the
          training's own forward pass
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchsep._util.tensors import file_sha256
from benchsep_baselines.train import data, loop

CHUNK_SECONDS = 3.0
"""BS-RoFormer's chunk at inference; of 2, 3, 4 and 7 s the best on the validation songs."""

CARD = Path(__file__).with_name("card.md")
"""The model card's template; its fields are those of :func:`render_card`."""

TITLES = {"bs_roformer": "BS-RoFormer", "htdemucs": "HTDemucs"}


def export(
    training: loop.Training, valid: list[np.ndarray], *, songs: int, budget: float, notes: str = ""
) -> Path:
    """Write ``<name>-mini.safetensors`` and ``.md`` into the working folder; returns the former."""
    path = training.folder / f"{training.name}-mini.safetensors"
    write_weights(path, training.name, training.mini, training.average)
    scores = score(path, training.name, valid)
    card = render_card(training, path, scores, songs=songs, budget=budget, notes=notes)
    path.with_suffix(".md").write_text(card, encoding="utf-8")
    print("exported " + json.dumps({"file": str(path), "usdr": scores}), flush=True)
    return path


def write_weights(path: Path, name: str, mini: Any, state: dict[str, torch.Tensor]) -> None:
    """The state in half precision, with the metadata that rebuilds its model."""
    from safetensors.torch import save_file

    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in state.items()}
    save_file(half, str(path), metadata(name, mini.arguments))


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


def score(path: Path, name: str, songs: list[np.ndarray]) -> dict[str, float]:
    """Mean uSDR per stem of the exported file, through the system that users run."""
    from benchsep.audio import Audio

    system = load_system(path, name)
    rows = []
    for song in songs:
        mixture = Audio(song.astype(np.float32).sum(0), data.RATE)
        estimates = system.separate(mixture, seed=0)
        rows.append(loop._usdr(song, np.stack([estimates[s].samples for s in data.SOURCES])))
    means = np.mean(rows, axis=0)
    result = {stem: round(float(v), 3) for stem, v in zip(data.SOURCES, means, strict=True)}
    return result | {"mean": round(float(means.mean()), 3)}


def load_system(path: Path, name: str) -> Any:
    """The system of a family on an exported file."""
    if name == "bs_roformer":
        from benchsep_baselines.bs_roformer import BSRoformer

        return BSRoformer(checkpoint=str(path))
    from benchsep_baselines.htdemucs import htdemucs

    return htdemucs(checkpoint=str(path))


def render_card(
    training: loop.Training,
    path: Path,
    scores: dict[str, float],
    *,
    songs: int,
    budget: float,
    notes: str = "",
) -> str:
    """The model card as Markdown."""
    mini = training.mini
    listed = ", ".join(f"{k}={v}" for k, v in mini.arguments.items() if k != "freqs_per_bands")
    columns = ("vocals", "drums", "bass", "other", "mean")
    curve = "\n".join(
        f"| {e['step']} | {e['cpu_seconds']:.0f} | "
        + " | ".join(f"{e['usdr'][c]:.2f}" for c in columns)
        + " |"
        for e in training.curve
    )
    return CARD.read_text(encoding="utf-8").format(
        name=training.name,
        title=TITLES[training.name],
        architecture=f"`{listed}`",
        parameters=sum(p.numel() for p in training.model.parameters()),
        file=path.name,
        megabytes=path.stat().st_size / 1e6,
        sha256=file_sha256(path),
        songs=songs,
        rate=mini.rate,
        warmup=mini.warmup,
        batch=mini.batch,
        seconds=mini.seconds,
        minutes=training.seconds / 60,
        steps=training.step,
        seed=training.seed,
        curve=curve,
        budget=budget,
        notes=notes,
        **scores,
    )
