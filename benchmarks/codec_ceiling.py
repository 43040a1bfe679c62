"""What the codec alone can reach: ViSQOL of encode → decode of the true stems, per stem.

Run: ``python -m benchmarks.codec_ceiling WEIGHTS --musdb TRAIN_FOLDER [--songs 4] [--layers 2+4]
[--csv FILE]``. ``WEIGHTS`` is a shipped folder or a training work folder (then the newest
checkpoint's average). ``--layers``: only the first semantic and acoustic layers of the tokens.

Conventions
-----------
Validation songs only (musdb's configs/mus.yaml). Mono = channel mean. ViSQOL in audio mode at
48 kHz after soxr HQ, by visqol-python; ceiling 4.732.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import soxr
import torch
import yaml
from benchsep_training import checkpoint as ck
from tokensep.codec.interface import Codes
from tokensep.codec.model import HCodec
from tokensep.codec.rvq import perplexity
from tokensep.config import CodecConfig, load
from tokensep.train.data import decode, musdb_files, validation_songs
from visqol import VisqolApi


def open_codec(folder: Path, config: Path | None) -> HCodec:
    found = ck.checkpoints(folder / "checkpoints")
    if not found:
        return HCodec.from_checkpoint(folder)
    if config is None:
        raise SystemExit("a training folder needs --config")
    parts, state = ck.load(found[-1])
    print(f"step {state['step']}, {state['spent']['cpu']:.0f} CPU s")
    codec = HCodec(load(CodecConfig, yaml.safe_load(config.read_text())["codec"]))
    codec.load_state_dict(parts["model"] | parts["ema"])
    return codec.eval().requires_grad_(False)


def first_layers(text: str) -> tuple[int, int]:
    """``2+4`` as two numbers, both from 1 on."""
    try:
        semantic, acoustic = (int(part) for part in text.split("+"))
    except ValueError:
        semantic = acoustic = 0
    if min(semantic, acoustic) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected two numbers from 1 on: 2+4")
    return semantic, acoustic


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--musdb", type=Path, required=True)
    parser.add_argument("--songs", type=int, default=14)
    parser.add_argument("--layers", type=first_layers, help="e.g. 2+4; default: all")
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    codec = open_codec(args.weights, args.config)
    visqol = VisqolApi()
    visqol.create(mode="audio")
    names = set(sorted(validation_songs())[: args.songs])
    rows: list[dict[str, object]] = []
    codes: list[Codes] = []
    for song, stem, path, stream in musdb_files(args.musdb, names, set()):
        wave = decode(path, stream, codec.rate).astype(np.float32).mean(0) / 32768
        tokens = codec.encode(torch.from_numpy(wave)[None])
        if args.layers:
            semantic, acoustic = args.layers
            tokens = Codes(tokens.acoustic[:, :acoustic], tokens.semantic[:, :semantic])
        codes.append(tokens)
        out = codec.decode(tokens)[0, : len(wave)].numpy()
        ref, est = (
            soxr.resample(x.astype(np.float64), codec.rate, 48000, quality="HQ")
            for x in (wave, out)
        )
        score = float(visqol.measure_from_arrays(ref, est, 48000).moslqo)
        level = 10 * np.log10((np.square(out).sum() + 1e-9) / (np.square(wave).sum() + 1e-9))
        rows.append({"song": song, "stem": stem, "visqol": score, "level_db": float(level)})
        print(f"{song[:30]:30s} {stem:7s} {score:.3f} {level:+.1f} dB", flush=True)
    by_stem = defaultdict(list)
    for row in rows:
        by_stem[row["stem"]].append(row["visqol"])
    means = {k: float(np.mean(v)) for k, v in by_stem.items()}
    print(means, "mean", float(np.mean(list(means.values()))), f"n={len(rows) // 4}")
    for name in ("acoustic", "semantic"):
        joined = torch.cat([getattr(c, name)[0] for c in codes], 1)[None]
        print(name, [round(float(p)) for p in perplexity(joined, codec.codebook_size)])
    if args.csv:
        with args.csv.open("w") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
