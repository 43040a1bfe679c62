"""Memory and speed of tokensep's training data.

    python -m benchmarks.training_data make FOLDER --musdb MUSDB18-7S/train   # once, about a minute
    python -m benchmarks.training_data memory FOLDER [--hours 1 10 100] [--batches 50]
    python -m benchmarks.training_data throughput FOLDER [--workers 0 1 2] [--steps 20]
    python -m benchmarks.training_data store FOLDER --musdb MUSDB18-7S/train [--songs 1 2]

make        18 pieces of 30 s with their true stems as one shard, and its tokens by the mini codec.
            100 hours are 667 links to that shard: other names, other files to the program
memory      a process of its own for each amount of data; peak resident memory (VmHWM) of it and of
            its largest worker after so many batches. What the libraries take is the row of 0 hours
throughput  CPU seconds of a crop on one core, and a short training of the mini with each number of
            workers: its step's CPU seconds and what it waited for data (``data_wait``)
store       peak memory while songs of 4 minutes are decoded and encoded for ``train lm --musdb``
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

RATE, PIECE = 44_100, 30 * 44_100
MINI = Path(__file__).parents[1] / "systems" / "tokensep" / "weights" / "mini"
KINDS = ("audio", "tokens")


def make(folder: Path, musdb: Path) -> None:
    """One shard of labelled pieces, and its tokens."""
    import tarfile

    from tokensep.lm.config import PRESETS
    from tokensep.train.pseudo_labels import add_sample
    from tokensep.train.tokenizing import run

    (folder / "audio").mkdir(parents=True)
    shard = folder / "audio" / "shard-000000.tar"
    with tarfile.open(shard, "w") as tar:
        pieces = list(_pieces(musdb))
        for number, stems in enumerate(pieces):
            mixture = np.sum(list(stems.values()), axis=0)
            add_sample(tar, f"shard-000000-{number:05d}", mixture, stems, RATE, {"start": 0})
    shard.with_suffix(".json").write_text(f'{{"clips": {len(pieces)}}}')
    began = time.process_time()
    options = run.Options([folder / "audio"], MINI, folder / "tokens", PRESETS["mini"], {})
    print(run.run(options), f"{time.process_time() - began:.1f} CPU s")
    for kind in KINDS:
        size = sum(path.stat().st_size for path in (folder / kind).glob("*.tar"))
        print(f"{kind}: {size / (len(pieces) * 30 / 3600) / 1e9:.2f} GB an hour")


def _pieces(musdb: Path) -> Any:
    """Stems of 30 s, joined of the clips of a MUSDB folder, ``[2, T]`` each."""
    from tokensep.train.data import decode, musdb_files

    held: dict[str, list[Any]] = {}
    for _, stem, path, stream in musdb_files(musdb, None, set()):
        held.setdefault(stem, []).append(decode(path, stream, RATE).astype(np.float32) / 32768)
        if all(len(held.get(s, ())) for s in ("vocals", "drums", "bass", "other")):
            joined = {s: np.concatenate(parts, 1) for s, parts in held.items()}
            length = min(wave.shape[1] for wave in joined.values())
            if length >= PIECE:
                yield {s: wave[:, :PIECE] for s, wave in joined.items()}
                held = {}


def repeated(folder: Path, kind: str, hours: float, out: Path) -> Path:
    """A folder of links to the one shard of ``kind``: so many hours."""
    out.mkdir()
    source = next((folder / kind).glob("*.tar"))
    for number in range(round(hours * 120 / _clips(source))):
        for suffix in (".tar", ".json"):
            link = out / f"shard-{number:06d}{suffix}"
            link.symlink_to(source.with_suffix(suffix).resolve())
    if kind == "tokens":
        (out / "job.json").symlink_to((folder / kind / "job.json").resolve())
    return out


def _clips(shard: Path) -> int:
    import json

    return int(json.loads(shard.with_suffix(".json").read_text())["clips"])


def batches_of(folder: Path, kind: str, workers: int, batch: int = 4) -> Any:
    """The stream that a training reads."""
    from tokensep.lm.config import PRESETS, LMTrainConfig
    from tokensep.train.stream.audio_crops import AudioCrops
    from tokensep.train.stream.loader import StreamBatches
    from tokensep.train.stream.shards import find_shards
    from tokensep.train.stream.token_crops import TokenCrops
    from tokensep.train.tokenizing.job import common_job

    shards, crops = find_shards([folder]), None
    if kind == "audio":
        crops = AudioCrops(shards, length=RATE, rate=RATE, seed=0, window=16)
    else:
        train = LMTrainConfig()
        crops = TokenCrops(shards, common_job([folder]), PRESETS["mini"], train)
    return StreamBatches(crops, batch, 1, workers=workers)


def peak_mb(pid: int | str) -> float:
    """Peak resident memory of a process, MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return float("nan")


def iterate(folder: Path, kind: str, count: int, workers: int) -> None:
    """Read so many batches and print the peaks (0 batches: those of the libraries alone)."""
    import torch
    from benchsep_training.batches import Turn

    torch.set_num_threads(1)
    source = batches_of(folder, kind, workers)
    for step in range(count):
        source.batch(Turn(step, 0))
    pids = [worker.pid for worker in getattr(source._batches, "_workers", [])]
    peaks = [peak_mb(pid) for pid in pids]
    print(f"{peak_mb('self'):.0f} {max(peaks, default=0):.0f} {len(source.crops.order.counts)}")
    source.close()


def memory(folder: Path, hours: list[float], count: int, workers: int) -> None:
    """A line of the table for each kind and amount of data."""
    print("| data | hours | shards | process, MB | its largest worker, MB |\n|---|---|---|---|---|")
    for kind in KINDS:
        for amount in (0.0, *hours):
            with tempfile.TemporaryDirectory() as work:
                data = repeated(folder, kind, amount or hours[0], Path(work) / "data")
                command = [sys.executable, "-m", "benchmarks.training_data", "iterate", str(data)]
                command += ["--kind", kind, "--batches", str(count if amount else 0)]
                command += ["--workers", str(workers)]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
            mine, worker, shards = done.stdout.split()
            print(f"| {kind} | {amount:g} | {shards if amount else '–'} | {mine} | {worker} |")


def throughput(folder: Path, workers: list[int], steps: int) -> None:
    """CPU seconds of a crop, and a short training for each number of workers."""
    from benchsep_training.batches import Turn

    with tempfile.TemporaryDirectory() as work:
        for kind in KINDS:
            data = repeated(folder, kind, 4, Path(work) / kind)
            source = batches_of(data, kind, 0)
            source.batch(Turn(0, 0))
            began = time.process_time()
            for step in range(1, 51):
                source.batch(Turn(step, 0))
            seconds = (time.process_time() - began) / 200
            print(f"{kind}: {1000 * seconds:.1f} CPU ms a crop, {1 / seconds:.0f} a CPU second")
        print("| workers | step, CPU s | median wait for data, s | share of the step |")
        for count in workers:
            step, wait, wall = _train(Path(work) / "tokens", Path(work) / f"{count}", count, steps)
            print(f"| {count} | {step:.2f} | {wait:.4f} | {wait / wall:.1%} |")


def _train(tokens: Path, out: Path, workers: int, steps: int) -> tuple[float, float, float]:
    """CPU seconds of a step in the training process, median wait, wall seconds of a step."""
    import torch
    from tokensep.codec.model import HCodec
    from tokensep.lm.config import PRESETS, LMTrainConfig
    from tokensep.train.lm import train_lm
    from tokensep.train.token_sources import Tokens

    torch.set_num_threads(1)
    train = LMTrainConfig(max_steps=steps, workers=workers, save_every=10**6, eval_every=10**6)
    codec, tokens_given = HCodec.from_checkpoint(MINI), Tokens([tokens])
    began = time.perf_counter()
    train_lm(out, codec=codec, config=PRESETS["mini"], train=train, tokens=tokens_given)
    wall = (time.perf_counter() - began) / steps
    with (out / "train.csv").open() as handle:
        rows = list(csv.DictReader(handle))[2:]  # the first steps start the workers
    cpu = [float(row["cpu_seconds"]) for row in rows]
    waits = [float(row["data_wait"]) for row in rows]
    return (cpu[-1] - cpu[0]) / (len(cpu) - 1), float(np.median(waits)), wall


def encode(songs: int, musdb: Path) -> None:
    """Decode and encode songs of 4 minutes into a folder, and print the peak."""
    import torch
    from tokensep.codec.model import HCodec
    from tokensep.lm.config import PRESETS, LMTrainConfig
    from tokensep.train.data import StemStore, decode, musdb_files
    from tokensep.train.token_sources import load_datasets

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as work:
        rows = [row for row, _ in zip(musdb_files(musdb, None, set()), range(4), strict=False)]
        files = []
        for stem, path, stream in ((r[1], r[2], r[3]) for r in rows):
            _write_song(Path(work) / f"{stem}.wav", decode(path, stream, RATE))
            files += [(f"{n}", stem, Path(work) / f"{stem}.wav", 0) for n in range(songs)]
        store = StemStore.build(Path(work) / "store", files, RATE)
        if songs:
            train = LMTrainConfig(variants=1)
            codec = HCodec.from_checkpoint(MINI)
            load_datasets(store, [], codec, PRESETS["mini"], train, Path(work) / "bank")
        print(f"{peak_mb('self'):.0f}")


def _write_song(path: Path, audio: Any) -> None:
    import soundfile

    soundfile.write(str(path), np.tile(audio, 240 * RATE // audio.shape[1] + 1).T, RATE)


def store(songs: list[int], musdb: Path) -> None:
    """The peak for each number of songs, each in a process of its own."""
    for count in songs:
        command = [sys.executable, "-m", "benchmarks.training_data", "encode", "."]
        command += ["--songs", str(count), "--musdb", str(musdb)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(f"{count} songs of 4 minutes: {done.stdout.split()[-1]} MB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = ("make", "memory", "throughput", "store", "iterate", "encode")
    parser.add_argument("command", choices=commands)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--musdb", type=Path)
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--songs", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--kind", choices=KINDS, default="tokens")
    given = parser.parse_args()
    actions = {
        "make": lambda: make(given.folder, given.musdb),
        "memory": lambda: memory(given.folder, given.hours, given.batches, given.workers[-1]),
        "throughput": lambda: throughput(given.folder, given.workers, given.steps),
        "store": lambda: store(given.songs, given.musdb),
        "iterate": lambda: iterate(given.folder, given.kind, given.batches, given.workers[0]),
        "encode": lambda: encode(given.songs[0], given.musdb),
    }
    actions[given.command]()


if __name__ == "__main__":
    main()
