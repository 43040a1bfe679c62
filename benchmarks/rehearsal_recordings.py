"""Recordings for ``make rehearsal`` where none are given: the embedded clip at several speeds.

    python -m benchmarks.rehearsal_recordings FOLDER

writes ``FOLDER/train`` (six files, 40 seconds) and ``FOLDER/valid`` (two files, 12 seconds): real
audio, one song. They show that the path works, nothing about quality.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import soxr

from benchsep.audio import Audio, write_audio
from benchsep.datasets.clip import ClipDataset

SPEEDS = {"train": (0.8, 0.85, 0.9, 0.95, 1.05, 1.1), "valid": (1.0, 1.15)}


def main(folder: Path) -> None:
    mixture = ClipDataset().tracks()[0].load().mixture
    for part, speeds in SPEEDS.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        for speed in speeds:
            samples = soxr.resample(mixture.samples.T, speed * mixture.rate, mixture.rate).T
            write_audio(folder / part / f"clip-{speed:.2f}.wav", Audio(samples, mixture.rate))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="gets train/ and valid/")
    main(parser.parse_args().folder)
