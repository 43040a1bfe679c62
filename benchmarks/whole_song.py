"""The default metrics on one song against the packages whose values they have, one after another.

    python -m benchmarks.whole_song --data FOLDER [--seconds 240] [--own-only] [--again]
                                    [--metrics NAMES] [-o FILE]

``FOLDER`` holds ``.stem.mp4`` excerpts (the 7-second edition): as many as needed are joined to a
song of four stereo stems, and real systems separate it (:data:`SYSTEMS`; not part of the time).
Upstream scores the first system only: museval, visqol-python on four stems, speechmos and
torchmetrics (NISQA, SI-SDR), auraloss. benchsep scores every system in turn; what depends on the
references alone is done with the first one.

Each package runs in a process of its own, with one thread; seconds are CPU seconds of that process
from decoded audio to values, after a warm-up on two seconds (compilation, network loading). With
``--again`` benchsep's process scores the song twice and tells the second time: a worker of a run
has the memory of its first song for all others (:func:`benchsep._util.memory.keep_freed_memory`).
``--metrics`` takes other metrics of benchsep than the default suite: names with commas, or ``all``.
Without NISQA's weights NISQA is left out on both sides. museval needs ffmpeg on PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import upstream
from benchmarks.upstream import RATE, STEMS, THREADS, timed

if TYPE_CHECKING:
    from benchsep.metrics.metric import Metric

SYSTEMS = ("htdemucs:checkpoint=mini", "bs_roformer:checkpoint=mini", "oracle-irm")
WARM = 2 * RATE
ENGINES = ("museval", "visqol", "speechmos", "torchmetrics", "auraloss")


def joined(folder: Path, seconds: float) -> upstream.Stems:
    """Excerpts one after the other, ``[2, frames]`` float32 a stem, rounded to 16 bit."""
    from benchsep.datasets.musdb import load_stem_mp4

    parts: list[np.ndarray] = []
    frames, wanted = 0, round(seconds * RATE)
    paths = sorted(folder.rglob("*.stem.mp4"))
    if not paths:
        raise SystemExit(f"{folder} holds no .stem.mp4")
    while frames < wanted:  # a short folder is repeated
        audio = load_stem_mp4(paths[len(parts) % len(paths)]).stems
        parts.append(np.stack([audio[s].samples for s in STEMS]))
        frames += parts[-1].shape[2]
    whole = np.concatenate(parts, axis=2)[:, :, :wanted]
    return dict(zip(STEMS, np.ascontiguousarray(whole), strict=True))


def separated(truth: upstream.Stems, spec: str) -> upstream.Stems:
    from benchsep.audio import Audio
    from benchsep.systems.spec import load_system

    system = load_system(spec)
    mixture = Audio(sum(truth.values()), RATE)
    options: dict[str, Any] = {"seed": 0}
    if system.info.needs_references:
        options["references"] = {s: Audio(x, RATE) for s, x in truth.items()}
    found = system.separate(mixture, **options)
    return {s: np.ascontiguousarray(found[s].samples) for s in STEMS}


# -- what is measured ----------------------------------------------------------------------------


def cut(stems: upstream.Stems) -> upstream.Stems:
    return {s: np.ascontiguousarray(x[:, :WARM]) for s, x in stems.items()}


def own(
    truth: upstream.Stems, systems: list[upstream.Stems], again: bool = False, names: str = ""
) -> dict[str, Any]:
    """CPU seconds of each metric on each system, and the first system's values."""
    from benchsep._util.memory import keep_freed_memory

    keep_freed_memory()  # as a worker does
    chosen = metrics_named(names)
    found = _score_all(truth, systems, chosen)
    return _score_all(truth, systems, chosen) if again else found


def metrics_named(names: str) -> list[Metric]:
    """The available ones of these metrics: names with commas, ``all``, or none for the default."""
    from benchsep import registry
    from benchsep.metrics.catalog import default_metrics, get_metric

    every = registry.names("metric") if names == "all" else names.split(",")
    chosen = every if names else default_metrics()
    return [m for name in chosen if not (m := get_metric(name)).available()]


def _score_all(
    truth: upstream.Stems, systems: list[upstream.Stems], metrics: list[Metric]
) -> dict[str, Any]:
    from benchsep.audio import Audio
    from benchsep.metrics.catalog import stems_scored
    from benchsep.metrics.metric import References, column

    def references(stems: upstream.Stems) -> References:
        audio = {s: Audio(x, RATE) for s, x in stems.items()}
        return References(audio, Audio(sum(stems.values()), RATE))

    def audio(stems: upstream.Stems) -> dict[str, Audio]:
        return {s: Audio(x, RATE) for s, x in stems.items()}

    seconds: dict[str, list[float]] = {m.name: [] for m in metrics}
    values: dict[str, float | None] = {}
    prepared, short = references(truth), references(cut(truth))
    for metric in metrics:
        stems = stems_scored(metric, STEMS, all_stems=False)
        metric.score_track(short, audio(cut(systems[0])), stems)
        for index, heard in enumerate(systems):
            given = audio(heard)
            table, cost = timed(lambda m=metric, g=given, s=stems: m.score_track(prepared, g, s))
            seconds[metric.name].append(cost)
            if index == 0:
                for stem, scores in table.items():
                    for value in metric.values:
                        name = f"{column(metric, value)} {stem}"
                        values[name] = scores[value.name].value
    return {"seconds": seconds, "values": values}


def run_museval(truth: upstream.Stems, heard: upstream.Stems) -> dict[str, Any]:
    upstream.museval({"a": cut(truth)["bass"]}, {"a": cut(heard)["bass"]})
    frames, cost = timed(lambda: upstream.museval(truth, heard))
    values = {
        f"bsseval.{name} {stem}": float(np.nanmedian(rows[i]))
        for stem, rows in frames.items()
        for i, name in enumerate(("sdr", "isr", "sir", "sar"))
    }
    return {"seconds": {"bsseval": cost}, "values": values}


def run_visqol(truth: upstream.Stems, heard: upstream.Stems) -> dict[str, Any]:
    def one(stem: str, a: upstream.Stems, b: upstream.Stems) -> float:
        return upstream.visqol(*(upstream.mono(x[stem], 48_000) for x in (a, b)))

    one("bass", cut(truth), cut(heard))
    values, total = {}, 0.0
    for stem in STEMS:
        values[f"visqol {stem}"], cost = timed(lambda s=stem: one(s, truth, heard))
        total += cost
    return {"seconds": {"visqol": total}, "values": values}


def run_speechmos(truth: upstream.Stems, heard: upstream.Stems) -> dict[str, Any]:
    def one(stems: upstream.Stems) -> dict[str, float]:
        return upstream.speechmos(upstream.mono(stems["vocals"], 16_000))

    one(cut(heard))
    found, cost = timed(lambda: one(heard))
    values = {f"dnsmos.{name} vocals": value for name, value in found.items()}
    return {"seconds": {"dnsmos": cost}, "values": values}


def run_torchmetrics(truth: upstream.Stems, heard: upstream.Stems) -> dict[str, Any]:
    weights = upstream.nisqa_weights()

    def voice(stems: upstream.Stems) -> np.ndarray:
        return upstream.nisqa(upstream.mono(stems["vocals"], 48_000), weights)

    seconds, values = {}, {}
    if weights:
        voice(cut(heard))
        found, seconds["nisqa"] = timed(lambda: voice(heard))
        names = ("mos", "noi", "dis", "col", "loud")
        values = {f"nisqa.{n} vocals": float(v) for n, v in zip(names, found, strict=True)}
    scores, seconds["sisdr"] = timed(
        lambda: {f"sisdr {s}": upstream.sisdr(truth[s], heard[s]) for s in STEMS}
    )
    return {"seconds": seconds, "values": {**values, **scores}}


def run_auraloss(truth: upstream.Stems, heard: upstream.Stems) -> dict[str, Any]:
    upstream.auraloss(cut(truth)["bass"], cut(heard)["bass"])
    values, cost = timed(
        lambda: {f"mrstft {s}": upstream.auraloss(truth[s], heard[s]) for s in STEMS}
    )
    return {"seconds": {"mrstft": cost}, "values": values}


def child(engine: str, folder: Path, again: bool, names: str) -> None:
    truth = _load(folder / "truth.npy")
    heard = [_load(p) for p in sorted(folder.glob("heard-*.npy"))]
    before = upstream.peak_megabytes()
    if engine == "own":
        result = own(truth, heard, again, names)
    else:
        result = globals()[f"run_{engine}"](truth, heard[0])
    audio = before  # the arrays and numpy; imports of the engine count as its memory
    print(json.dumps({**result, "peak MB": upstream.peak_megabytes(), "audio MB": audio}))


def _load(path: Path) -> upstream.Stems:
    return dict(zip(STEMS, np.load(path), strict=True))


def in_process(engine: str, folder: Path, again: bool = False, names: str = "") -> dict[str, Any]:
    options = [*(["--again"] if again else []), *(["--metrics", names] if names else [])]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.whole_song", "--child", engine, str(folder), *options],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **THREADS, **_weights()},
    )
    return json.loads(done.stdout.splitlines()[-1])


def _weights() -> dict[str, str]:
    found = upstream.nisqa_weights()
    return {"BENCHSEP_NISQA_WEIGHTS": found} if found else {}


# -- the report ----------------------------------------------------------------------------------


def measure(
    data: Path,
    seconds: float,
    systems: list[str],
    *,
    own_only: bool,
    again: bool = False,
    names: str = "",
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        truth = joined(data, seconds)
        np.save(folder / "truth.npy", np.stack(list(truth.values())))
        for index, spec in enumerate(systems):
            heard = separated(truth, spec)
            np.save(folder / f"heard-{index}.npy", np.stack(list(heard.values())))
        out: dict[str, Any] = {"audio seconds": seconds, "systems": systems}
        out["benchsep"] = in_process("own", folder, again, names)
        for engine in () if own_only else ENGINES:
            out[engine] = in_process(engine, folder)
            print(f"{engine}: {json.dumps(out[engine])}", file=sys.stderr, flush=True)
    return out


def totals(row: dict[str, Any]) -> tuple[dict[str, float], dict[str, list[float]]]:
    """CPU seconds of each metric: upstream's, and benchsep's for each system."""
    theirs = {m: s for e in ENGINES if e in row for m, s in row[e]["seconds"].items()}
    return theirs, row["benchsep"]["seconds"]


def show(row: dict[str, Any]) -> None:
    theirs, ours = totals(row)
    further = len(row["systems"]) > 1
    print(f"\n{row['audio seconds']:g} s, systems {', '.join(row['systems'])}\n")
    print("| metric | upstream, CPU s | benchsep, CPU s | ratio | each further system | ratio |")
    print("|---|---|---|---|---|---|")
    for metric, costs in ours.items():
        _line(metric, theirs.get(metric), costs[0], np.mean(costs[1:]) if further else None)
    both = [m for m in ours if m in theirs] or list(ours)
    first = sum(ours[m][0] for m in both)
    later = sum(np.mean(ours[m][1:]) for m in both) if further else None
    _line("all", sum(theirs.values()) or None, first, later)
    peak = row["benchsep"]["peak MB"] - row["benchsep"]["audio MB"]
    print(f"\nbenchsep's memory over the audio: {peak:.0f} MB")
    own_values = row["benchsep"]["values"]
    for engine in (e for e in ENGINES if e in row):
        peak = row[engine]["peak MB"] - row[engine]["audio MB"]
        gaps = [
            abs(value - own_values[name])
            for name, value in row[engine]["values"].items()
            if own_values.get(name) is not None
        ]
        print(f"{engine}: {peak:.0f} MB, largest difference of {len(gaps)} values {max(gaps):.1e}")


def _line(name: str, theirs: float | None, first: float, later: float | None) -> None:
    def ratio(ours: float | None) -> str:
        return f"{theirs / ours:.1f}" if theirs and ours else "-"

    shown = f"{theirs:.2f}" if theirs else "-"
    further = f"{later:.2f}" if later is not None else "-"
    print(f"| {name} | {shown} | {first:.2f} | {ratio(first)} | {further} | {ratio(later)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with .stem.mp4 files, searched below")
    parser.add_argument("--seconds", type=float, nargs="+", default=[240.0])
    parser.add_argument(
        "--systems", type=int, default=len(SYSTEMS), help="number of systems, 1 to 3"
    )
    parser.add_argument("--own-only", action="store_true", help="leave the upstream packages out")
    parser.add_argument(
        "--again", action="store_true", help="benchsep scores the song twice: the second is told"
    )
    parser.add_argument("--metrics", default="", help="names with commas, or all")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], Path(options.child[1]), options.again, options.metrics)
        return
    if options.data is None:
        parser.error("--data FOLDER: where .stem.mp4 files lie")
    rows = []
    systems = list(SYSTEMS[: options.systems])
    for seconds in options.seconds:
        row = measure(
            options.data,
            seconds,
            systems,
            own_only=options.own_only,
            again=options.again,
            names=options.metrics,
        )
        rows.append(row)
        show(rows[-1])
        if options.output:
            options.output.parent.mkdir(parents=True, exist_ok=True)
            content = {"machine": upstream.machine(), "rows": rows}
            options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
