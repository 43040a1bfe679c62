"""The rates that ``benchsep plan`` reckons with, measured on this machine.

    python -m benchmarks.rates --data FOLDER [-o benchsep/runner/rates.json]
    python -m benchmarks.rates --data FOLDER --device cuda       # adds this device's systems to it

``FOLDER`` holds ``.stem.mp4`` excerpts, joined to songs of two lengths. CPU seconds of one thread:
of each metric on the references (once a track) and on each estimate, as straight lines through the
two lengths; of each system that comes with weights, on the longer song; of decoding. Metrics whose
needs are not met here (NISQA's weights) get no rate. On another device: wall-clock seconds of each
system that computes there, on the longer song.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import upstream
from benchmarks.upstream import RATE, STEMS, timed
from benchmarks.whole_song import SYSTEMS, WARM, joined, separated

SHORT, LONG = 10.0, 60.0
TIMED_SYSTEMS = (
    "htdemucs:checkpoint=mini",
    "bs_roformer:checkpoint=mini",
    "tokensep:checkpoint=mini",
    "tokensep:checkpoint=mini,refine=mask",
    "tokensep:checkpoint=mini,mode=oracle-tokens",
    "spleeter",
    "mixture",
    "reference",
    "oracle-irm",
    "oracle-mwf",
    "wrong-song",
)
DEVICE_SYSTEMS = TIMED_SYSTEMS[:4]
WITHOUT_RATE = ("emb-mert", "emb-clap", "zimtohrli")
"""Metrics whose weights are downloaded; and zimtohrli, whose time grows with the square of the
length."""


def line(short: float, long: float) -> list[float]:
    """Fixed part and slope through two lengths; neither below zero."""
    slope = max(0.0, (long - short) / (LONG - SHORT))
    return [round(max(0.0, short - slope * SHORT), 4), round(slope, 5)]


def metric_costs(name: str, songs: list[tuple]) -> tuple[list[float], list[float]]:
    """CPU seconds on each song: once a track, and each further estimate."""
    from benchsep.audio import Audio
    from benchsep.metrics.catalog import get_metric, stems_scored
    from benchsep.metrics.metric import References

    metric = get_metric(name)
    stems = stems_scored(metric, STEMS, all_stems=False)

    def audio(samples: upstream.Stems) -> dict[str, Audio]:
        return {s: Audio(np.ascontiguousarray(x), RATE) for s, x in samples.items()}

    def cut(samples: upstream.Stems) -> upstream.Stems:
        return {s: x[:, :WARM] for s, x in samples.items()}

    def references(truth: upstream.Stems) -> References:
        return References(audio(truth), Audio(sum(truth.values()), RATE))

    truth, heard = songs[0]
    metric.score_track(references(cut(truth)), audio(cut(heard[0])), stems)
    once, each = [], []
    for truth, heard in songs:
        prepared = references(truth)
        costs = [
            timed(lambda h=h, p=prepared: metric.score_track(p, audio(h), stems))[1] for h in heard
        ]
        each.append(float(np.mean(costs[1:])))
        once.append(max(0.0, costs[0] - each[-1]))
    return once, each


def system_rate(spec: str, truth: upstream.Stems, device: str = "cpu") -> tuple[str, float]:
    """Label, and seconds for a second of audio: of the CPU, or of the clock on another device."""
    from benchsep.audio import Audio
    from benchsep.runner.labels import label_of
    from benchsep.systems.spec import load_system

    system = load_system(spec, device=device)
    stems = {s: Audio(x, RATE) for s, x in truth.items()}

    def run(seconds: float) -> None:
        part = {s: Audio(a.samples[:, : round(seconds * RATE)], RATE) for s, a in stems.items()}
        given = {"references": part} if system.info.needs_references else {}
        if system.info.needs_other_song:  # any stems cost the same
            given["other"] = part
        mixture = Audio(sum(a.samples for a in part.values()), RATE)
        system.separate(mixture, seed=0, **given)

    run(2.0)
    length = next(iter(stems.values())).seconds
    # stems come back as arrays: nothing is left to wait for on the device
    seconds = timed if device == "cpu" else clocked
    return label_of(spec, system.info), seconds(lambda: run(length))[1] / length


def clocked(call: Callable[[], Any]) -> tuple[Any, float]:
    """A call's result and the seconds that went by."""
    began = time.monotonic()
    return call(), time.monotonic() - began


def loading(data: Path) -> list[float]:
    from benchsep.datasets.musdb import load_stem_mp4

    paths = sorted(data.rglob("*.stem.mp4"))[:8]
    audio, cost = timed(lambda: [load_stem_mp4(p) for p in paths])
    return [0.0, round(cost / sum(a.mixture.seconds for a in audio), 5)]


def stored_bytes(heard: upstream.Stems) -> float:
    """Of a second of one kept stem (flac)."""
    from benchsep.audio import Audio, write_audio

    sizes = []
    with tempfile.TemporaryDirectory() as folder:
        for stem, samples in heard.items():
            path = Path(folder) / f"{stem}.flac"
            write_audio(path, Audio(samples, RATE))
            sizes.append(path.stat().st_size / (samples.shape[1] / RATE))
    return round(float(np.mean(sizes)), 0)


def add_device(device: str, truth: upstream.Stems, path: Path) -> None:
    """Write the rates of ``device`` into the file that holds the CPU's."""
    import torch

    content = json.loads(path.read_text(encoding="utf-8"))
    rates = dict(system_rate(spec, truth, device) for spec in DEVICE_SYSTEMS)
    content["systems"][device] = {label: round(rate, 5) for label, rate in rates.items()}
    content[f"{device}_command"] = f"python -m benchmarks.rates --data FOLDER --device {device}"
    content[f"{device}_machine"] = f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}"
    print(json.dumps(content["systems"][device]), content[f"{device}_machine"], flush=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchsep/runner/rates.json"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    if any(os.environ.get(name) != "1" for name in list(upstream.THREADS)[:4]):
        parser.error("set " + " ".join(f"{n}=1" for n in list(upstream.THREADS)[:4]))
    from benchsep import registry
    from benchsep.metrics.catalog import get_metric

    longest = joined(options.data, LONG)
    if options.device != "cpu":
        add_device(options.device, longest, options.output)
        return
    truths = [{s: x[:, : round(n * RATE)] for s, x in longest.items()} for n in (SHORT, LONG)]
    truths = [{s: np.ascontiguousarray(x) for s, x in t.items()} for t in truths]
    songs = [(t, [separated(t, spec) for spec in SYSTEMS]) for t in truths]
    metrics = {}
    for name in registry.names("metric"):
        if name in WITHOUT_RATE or get_metric(name).available():
            continue
        once, each = metric_costs(name, songs)
        metrics[name] = {"once": line(*once), "each": line(*each)}
        print(name, metrics[name], flush=True)
    systems = {"dir": 0.0}
    for spec in TIMED_SYSTEMS:
        label, rate = system_rate(spec, longest)
        systems[label] = round(rate, 5)
        print(label, systems[label], flush=True)
    old = json.loads(options.output.read_text(encoding="utf-8")) if options.output.exists() else {}
    other = {device: rates for device, rates in old.get("systems", {}).items() if device != "cpu"}
    content = {
        "machine": upstream.machine(),
        "command": "python -m benchmarks.rates --data FOLDER",
        "load": loading(options.data),
        "stored_bytes": stored_bytes(songs[1][1][0]),
        "systems": {"cpu": systems, **other},
        "metrics": metrics,
        **{name: text for name, text in old.items() if name.split("_")[0] in other},
    }
    options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
