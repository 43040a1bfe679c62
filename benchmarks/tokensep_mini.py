"""What the tokensep mini reaches on the validation songs, and what is lost where.

    python -m benchmarks.tokensep_mini CHECKPOINT --musdb TRAIN_FOLDER [--songs 14] [--out FOLDER]
        [--variant NAME key=value,key=value …] …

Variants are lists of inference options (``refine=mask,sampling.temperature=0.7``). Always there:
``mixture``, ``oracle-tokens`` (encode → decode of the true stems), ``oracle-tokens+mask``. Signals
are mono at 44.1 kHz; ViSQOL at 48 kHz (soxr HQ) by benchsep's engine, uSDR beside it. Writes
``scores.csv`` (a row per song, stem and variant) and prints means.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soxr
import torch
from tokensep import config as configs
from tokensep.dsp.stereo import mask_mixture, rms
from tokensep.lm.config import STEMS, InferenceConfig
from tokensep.separator import TokenSep
from tokensep.train.data import decode, musdb_files, validation_songs

from benchsep.metrics.visqol.engine import Reference


def options_of(base: InferenceConfig, text: str) -> InferenceConfig:
    data = base.model_dump()
    for pair in filter(None, text.split(",")):
        key, _, value = pair.partition("=")
        target = data
        *outer, last = key.split(".")
        for name in outer:
            target = target[name]
        target[last] = None if value == "none" else value
    return configs.load(InferenceConfig, data)


def songs(musdb: Path, count: int) -> dict[str, dict[str, np.ndarray]]:
    """Mono stems of the first ``count`` validation songs."""
    names = set(sorted(validation_songs())[:count])
    found: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for song, stem, path, stream in musdb_files(musdb, names, set()):
        found[song][stem] = decode(path, stream, 44_100).astype(np.float32).mean(0) / 32768
    return dict(found)


def usdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    error = np.sum((reference - estimate) ** 2) + 1e-7
    return float(10 * np.log10((np.sum(reference**2) + 1e-7) / error))


def to_48k(wave: np.ndarray) -> np.ndarray:
    return soxr.resample(wave, 44_100, 48_000, quality="HQ").astype(np.float32)


def estimates(
    model: TokenSep, stems: dict[str, np.ndarray], variants: dict[str, InferenceConfig], seed: int
) -> dict[str, tuple[dict[str, np.ndarray], float]]:
    """All variants of one song, with the CPU seconds each took."""
    mixture = np.sum([stems[s] for s in STEMS], axis=0)
    level = rms(mixture)
    began = time.process_time()
    oracle = {s: model.oracle(stems[s][None], 44_100, level=level)[0] for s in STEMS}
    spent = time.process_time() - began
    stacked = np.stack([oracle[s] for s in STEMS])
    masked = mask_mixture(torch.from_numpy(mixture[None]), torch.from_numpy(stacked))[:, 0].numpy()
    out = {
        "mixture": (dict.fromkeys(STEMS, mixture), 0.0),
        "oracle-tokens": (oracle, spent),
        "oracle-tokens+mask": (dict(zip(STEMS, masked, strict=True)), spent),
    }
    for name, options in variants.items():
        began = time.process_time()
        result = model.separate(mixture, 44_100, seed=seed, options=options)
        out[name] = result, time.process_time() - began
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--musdb", type=Path, required=True)
    parser.add_argument("--songs", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--variant", nargs=2, action="append", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = TokenSep.from_checkpoint(args.checkpoint)
    base = model.config.inference
    variants = {name: options_of(base, text) for name, text in args.variant} or {"tokensep": base}
    rows: list[dict[str, object]] = []
    for song, stems in songs(args.musdb, args.songs).items():
        references = {s: Reference(to_48k(stems[s])) for s in STEMS}
        for name, (found, seconds) in estimates(model, stems, variants, args.seed).items():
            for stem in STEMS:
                estimate = found[stem]
                rows.append(
                    {
                        "song": song,
                        "stem": stem,
                        "variant": name,
                        "visqol": round(references[stem].compare(to_48k(estimate)).score, 4),
                        "usdr": round(usdr(stems[stem], estimate), 3),
                        "rtf": round(seconds / (len(estimate) / 44_100), 3),
                    }
                )
        print(f"{song}", flush=True)
    report(rows)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        with (args.out / "scores.csv").open("w", newline="") as handle:
            writer = csv.DictWriter(handle, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        facts = {name: options.model_dump(mode="json") for name, options in variants.items()}
        (args.out / "variants.json").write_text(json.dumps(facts, indent=1) + "\n")


def report(rows: list[dict[str, object]]) -> None:
    """Means over songs as a Markdown table."""
    names = list(dict.fromkeys(str(r["variant"]) for r in rows))
    for metric in ("visqol", "usdr"):
        print(f"\n| {metric} | " + " | ".join(STEMS) + " | mean | RTF |")
        print("|---" * (len(STEMS) + 3) + "|")
        for name in names:
            own = [r for r in rows if r["variant"] == name]
            means = [np.mean([r[metric] for r in own if r["stem"] == s]) for s in STEMS]
            cells = " | ".join(f"{m:.2f}" for m in means)
            speed = np.mean([r["rtf"] for r in own])
            print(f"| {name} | {cells} | {np.mean(means):.2f} | {speed:.2f} |")


if __name__ == "__main__":
    main()
