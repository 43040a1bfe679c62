"""How far a mixture is from the sum of its stems, measured: the limit of a note in a run.

``python -m benchmarks.mixture_sums --data FOLDER`` reads every ``.stem.mp4`` below a folder of
MUSDB18 and prints, in dB of the mixture, the residue of the coded mixtures, and that of wrong ones
made of the stems: one stem is missing, another gain, a delay, another song.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchsep._util.text_table import render_rows
from benchsep.audio import Audio
from benchsep.datasets.musdb import load_stem_mp4
from benchsep.datasets.stem_folder import sum_of_stems
from benchsep.datasets.sums import LIMIT_DB, residue_of
from benchsep.datasets.track import TrackAudio

SHARES = (0, 1, 5, 50, 95, 99, 100)
"""Percentiles of the table."""


def residues(audio: TrackAudio, before: Audio | None) -> Iterator[tuple[str, float]]:
    """Kind of mixture to its residue; ``before``: the sum of the song before."""
    stems = list(audio.stems.values())
    whole = sum_of_stems(audio.stems)
    yield "coded", residue_of(audio.mixture, stems)
    for name in audio.stems:
        without = [stem for other, stem in audio.stems.items() if other != name]
        yield "a stem is missing", residue_of(whole, without)
    for decibels in (0.5, 1.0, 3.0):
        louder = Audio(whole.samples * np.float32(10 ** (decibels / 20)), whole.rate)
        yield f"{decibels} dB louder", residue_of(louder, stems)
    for delay in (1, 10, 1105):
        late = Audio(np.roll(whole.samples, delay, axis=1), whole.rate)
        yield f"{delay} samples late", residue_of(late, stems)
    if before is not None and before.samples.shape == whole.samples.shape:
        yield "another song", residue_of(before, stems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of MUSDB18 (.stem.mp4)")
    found: dict[str, list[float]] = {}
    largest: list[tuple[float, str]] = []
    before = None
    for path in sorted(parser.parse_args().data.rglob("*.stem.mp4")):
        audio = load_stem_mp4(path, "file")
        whole = sum_of_stems(audio.stems)
        for kind, decibels in residues(audio, before):
            found.setdefault(kind, []).append(decibels)
        largest.append((found["coded"][-1], path.name))
        before = whole
    names = ["mixture", "songs", *(f"{share} %" for share in SHARES), f"above {LIMIT_DB:g} dB"]
    rows = []
    for kind, each in found.items():
        levels = [f"{level:.1f}" for level in np.percentile(each, SHARES)]
        rows.append([kind, len(each), *levels, f"{np.mean(np.array(each) > LIMIT_DB):.1%}"])
    print(render_rows(names, rows, "terminal"))
    print(*(f"{name}: {level:.1f} dB" for level, name in sorted(largest)[-3:]), sep="\n")


if __name__ == "__main__":
    main()
