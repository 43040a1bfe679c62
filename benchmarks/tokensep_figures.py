"""Figures and tables of reports/tokensep-mini: the LM's curves, its layers, spectrograms.

    python -m benchmarks.tokensep_figures RUN_FOLDER CHECKPOINT --musdb TRAIN_FOLDER -o FOLDER

``RUN_FOLDER`` is what ``tokensep train lm`` wrote. Spectrograms show the first validation song; no
audio of it is written.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from tokensep.dsp.stereo import rms
from tokensep.lm.config import STEMS
from tokensep.separator import TokenSep
from tokensep.train.data import decode, musdb_files, validation_songs

from benchmarks.publish import write_chart, write_spectrograms


def curves(run: Path, out: Path) -> list[dict]:
    """Training loss, validation NLL and accuracy over CPU minutes: ``lm-curves.png``."""
    with (run / "train.csv").open() as handle:
        train = list(csv.DictReader(handle))
    valid = [json.loads(line) for line in (run / "valid.jsonl").read_text().splitlines()]
    minutes = np.array([float(r["cpu_seconds"]) for r in train]) / 60
    loss = np.array([float(r["loss"]) for r in train])
    width = min(50, len(loss))
    smooth = np.convolve(loss, np.ones(width) / width, "valid")
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    axes[0].plot(minutes[width - 1 :], smooth, label="training (with hidden tokens)")
    at = [v["cpu_seconds"] / 60 for v in valid]
    axes[0].plot(at, [v["loss"] for v in valid], "o-", label="14 validation songs, EMA")
    axes[0].set(xlabel="CPU minutes", ylabel="weighted NLL, nats", title="Loss")
    axes[0].legend()
    for stem in STEMS:
        axes[1].plot(at, [v["accuracy_stem"][stem] for v in valid], "o-", label=stem)
    axes[1].set(xlabel="CPU minutes", title="Teacher-forced accuracy")
    axes[1].legend()
    last = valid[-1]
    axes[2].bar(range(len(last["nll_layer"])), last["nll_layer"])
    axes[2].axhline(math.log(512), color="k", lw=0.8, ls="--")
    axes[2].set(
        xlabel="layer (semantic first)", ylabel="nats", title="NLL per layer; dashed: log 512"
    )
    figure.savefig(out / "lm-curves.png", dpi=110)
    write_chart(out / "lm-curves.png", out / "lm-curves.png")
    plt.close(figure)
    return valid


def layer_table(last: dict, semantic: int) -> str:
    """NLL and accuracy per layer in Markdown."""
    names = [f"S{q}" if q < semantic else f"A{q - semantic}" for q in range(len(last["nll_layer"]))]
    lines = ["| layer | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines.append("| NLL, nats | " + " | ".join(f"{x:.2f}" for x in last["nll_layer"]) + " |")
    lines.append(
        "| accuracy, % | " + " | ".join(f"{100 * x:.0f}" for x in last["accuracy_layer"]) + " |"
    )
    return "\n".join(lines)


def spectrograms(model: TokenSep, musdb: Path, out: Path) -> None:
    """True stem, through the codec, generated, generated + mask: ``spectrograms.jpg``."""
    first = sorted(validation_songs())[0]
    stems = {
        stem: decode(path, stream, 44_100).astype(np.float32).mean(0) / 32768
        for _, stem, path, stream in musdb_files(musdb, {first}, set())
    }
    mixture = np.sum([stems[s] for s in STEMS], axis=0)
    base = model.config.inference
    rows = {
        "true": stems,
        "codec": {s: model.oracle(stems[s][None], 44_100, level=rms(mixture))[0] for s in STEMS},
        "tokensep": model.separate(
            mixture, 44_100, options=base.model_copy(update={"refine": "none"})
        ),
        "tokensep+mask": model.separate(
            mixture, 44_100, options=base.model_copy(update={"refine": "mask"})
        ),
    }
    figure, axes = plt.subplots(
        4, 4, figsize=(13, 9), layout="constrained", sharex=True, sharey=True
    )
    for y, (name, found) in enumerate(rows.items()):
        for x, stem in enumerate(STEMS):
            spectrum = torch.stft(
                torch.from_numpy(np.ascontiguousarray(found[stem])),
                2048,
                512,
                window=torch.hann_window(2048),
                return_complex=True,
            ).abs()
            picture = 20 * torch.log10(spectrum + 1e-5)
            axes[y, x].imshow(
                picture.numpy(),
                origin="lower",
                aspect="auto",
                vmin=-60,
                vmax=40,
                extent=(0, len(mixture) / 44_100, 0, 22.05),
            )
            axes[y, x].set_title(f"{stem}: {name}", fontsize=9)
            axes[y, x].set_ylim(0, 12)
    for axis in axes[:, 0]:
        axis.set_ylabel("kHz")
    for axis in axes[-1]:
        axis.set_xlabel("s")
    with tempfile.TemporaryDirectory() as folder:
        figure.savefig(Path(folder) / "spectrograms.png", dpi=80)
        write_spectrograms(Path(folder) / "spectrograms.png", out / "spectrograms.jpg")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("checkpoint")
    parser.add_argument("--musdb", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    model = TokenSep.from_checkpoint(args.checkpoint)
    valid = curves(args.run, args.out)
    print(layer_table(valid[-1], model.config.semantic_layers))
    print(json.dumps(valid[-1]))
    spectrograms(model, args.musdb, args.out)


if __name__ == "__main__":
    main()
