"""What benchsep adds to a model's own time: the wrapper, the contract's checks, the runner.

    python -m benchmarks.overhead [--data FOLDER] [--tracks 4] [--repeats 3] [--full]

``htdemucs@mini``, or with ``--full`` a model of the published one's size (random weights in an
official file: they cost the same time), separates the same recordings three ways, in turn and
several times over; the least CPU seconds of each way count, since other work on the machine can
only add:

model     demucs' own ``apply_model`` on the loaded model, audio in memory
wrapper   ``benchsep``'s system on the same audio
runner    a whole ``benchsep.run``: planning, decoding, hashing, separation, one cheap metric,
          storing. Decoding and the metric are what was asked for and are shown apart, by a run of
          the system ``mixture``, which does nothing else. What a run costs does not depend on the
          model, so that figure over the model's is the overhead too, and the steadier one: model
          and wrapper compute the same, and how far apart they lie here is the noise
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path

from benchmarks import upstream

MINI = "htdemucs:checkpoint=mini"


def full_size(folder: Path) -> str:
    """The spec of an HTDemucs of the size of upstream's 955717e8 (42 M parameters)."""
    from fractions import Fraction

    import torch
    from demucs.htdemucs import HTDemucs

    torch.manual_seed(0)
    sources = ["drums", "bass", "other", "vocals"]
    options = {"bottom_channels": 512, "segment": Fraction(39, 5)}
    state = HTDemucs(sources, **options).state_dict()
    print(f"{sum(value.numel() for value in state.values()) / 1e6:.1f} M parameters")
    package = {"klass": HTDemucs, "args": (sources,), "kwargs": options, "training_args": {}}
    torch.save({**package, "state": {k: v.half() for k, v in state.items()}}, folder / "full.th")
    return f"htdemucs:checkpoint={folder / 'full.th'}"


def model_alone(system, mixtures) -> None:
    """As ``demucs.api.Separator.separate_tensor`` calls it."""
    import torch
    from demucs.apply import apply_model

    for mixture in mixtures:
        random.seed(0)
        wave = torch.from_numpy(mixture.samples)
        mono = wave.mean(0)
        scaled = (wave - mono.mean()) / (mono.std() + 1e-8)
        with torch.no_grad():
            apply_model(
                system.model, scaled[None], shifts=system.shifts, overlap=system.overlap,
                split=True, device="cpu",
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with .stem.mp4 files; else the clip")
    parser.add_argument("--tracks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="a model of the published size")
    options = parser.parse_args()
    import torch

    import benchsep
    from benchsep.datasets.clip import ClipDataset
    from benchsep.datasets.musdb import musdb18_7s

    torch.set_num_threads(1)
    dataset = musdb18_7s(str(options.data)) if options.data else ClipDataset()
    tracks = dataset.tracks()[: options.tracks]
    mixtures = [t.load().mixture for t in tracks]
    kept = tempfile.TemporaryDirectory()
    spec = full_size(Path(kept.name)) if options.full else MINI
    system = benchsep.load_system(spec)

    def run(spec: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            benchsep.run(
                out=folder, systems=(spec,), yardsticks=False, metrics=("usdr",), jobs=1,
                dataset="musdb18-7s" if options.data else "clip",
                root=str(options.data) if options.data else None, limit=options.tracks,
            )  # fmt: skip

    ways = {
        "model": lambda: model_alone(system, mixtures),
        "wrapper": lambda: [system.separate(m, seed=0) for m in mixtures],
        "runner": lambda: run(spec),
        "decoding and metric": lambda: run("mixture"),
    }
    best = dict.fromkeys(ways, float("inf"))
    for call in ways.values():
        call()  # imports, caches
    for _ in range(options.repeats):
        for name, call in ways.items():
            best[name] = min(best[name], upstream.timed(call)[1])
    for name, seconds in best.items():
        print(f"{name}: {seconds:.3f} CPU s")
    model, wrapper = best["model"], best["wrapper"]
    runner = best["runner"] - best["decoding and metric"]
    print(f"\nwrapper over model: {100 * (wrapper / model - 1):+.1f} %")
    print(f"runner over model: {100 * (runner / model - 1):+.1f} % without decoding and metric, "
          f"{100 * (best['runner'] / model - 1):+.1f} % with them")  # fmt: skip
    idle = best["decoding and metric"]
    print(f"a whole run with a system that does nothing: {100 * idle / model:.1f} % of the model")


if __name__ == "__main__":
    main()
