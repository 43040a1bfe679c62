"""``python -m benchsep.museval REF EST``: museval's command ``bsseval``, and its JSON file.

``REF`` and ``EST`` contain the audio files of one track with equal names (``vocals.wav``, …), or
folders of tracks. museval pairs files in the order of the file system and writes no file; here
files are paired by name, and ``OUT/<track>.json`` is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchsep.errors import BenchsepError, UsageError
from benchsep.stems.files import SUFFIXES, is_junk


def main(arguments: list[str] | None = None) -> int:
    """Score, print the medians, write the files; returns the exit code, 1 for an error."""
    options = _parser().parse_args(arguments)
    try:
        for track, (reference, estimate) in tracks(options.reference, options.estimate).items():
            scores = score(reference, estimate, options)
            print(_table(track, scores), flush=True)
            _write(options.output or options.estimate, track, scores, options)
    except (BenchsepError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchsep.museval",
        description="Compute BSSEval like museval, and write its JSON file.",
    )
    parser.add_argument("reference", type=Path, help="folder of a track's true stems, or of tracks")
    parser.add_argument("estimate", type=Path, help="folder of the estimates; the same file names")
    parser.add_argument(
        "-o", dest="output", type=Path, help="folder for the JSON files (default: the estimates')"
    )
    parser.add_argument("--win", type=float, default=1.0, help="window in seconds (default 1)")
    parser.add_argument("--hop", type=float, default=1.0, help="hop in seconds (default 1)")
    parser.add_argument(
        "-m",
        dest="mode",
        choices=("v3", "v4"),
        default="v4",
        help="version of BSSEval (default v4)",
    )
    return parser


def tracks(reference: Path, estimate: Path) -> dict[str, tuple[Path, Path]]:
    """Name of a track -> its two folders.

    Raises
    ------
    UsageError
        a folder is absent, holds no audio, or a track has no estimates.
    """
    for folder in (reference, estimate):
        if not folder.is_dir():
            raise UsageError(f"{folder} is not a folder; expected one with a track's audio files")
    if _files(reference):
        return {reference.resolve().name: (reference, estimate)}
    found = {p.name: (p, estimate / p.name) for p in sorted(reference.iterdir()) if _files(p)}
    absent = [name for name, (_, folder) in found.items() if not _files(folder)]
    if absent or not found:
        lacking = f"{estimate} has no audio for {absent}" if absent else f"{reference} has no audio"
        raise UsageError(f"{lacking}; expected STEM.wav in it, or TRACK/STEM.wav")
    return found


def _files(folder: Path) -> dict[str, Path]:
    """The audio files of a folder by their names without suffix."""
    if not folder.is_dir():
        return {}
    return {
        path.stem: path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and not is_junk(path)
    }


def score(reference: Path, estimate: Path, options: Any) -> dict[str, dict[str, list[float]]]:
    """Target -> ``SDR``, ``ISR``, ``SIR``, ``SAR`` -> a value per window, in dB."""
    from benchsep.museval.api import evaluate

    targets, rate, truth, heard = read_pair(reference, estimate)
    win, hop = int(options.win * rate), int(options.hop * rate)
    found = evaluate(truth, heard, win, hop, options.mode)
    return {
        target: {name: rows[i].tolist() for name, rows in zip(NAMES, found, strict=True)}
        for i, target in enumerate(targets)
    }


def read_pair(reference: Path, estimate: Path) -> tuple[list[str], int, Any, Any]:
    """Targets, rate, true stems and estimates ``[targets, samples, channels]`` float64.

    Estimates are cut or padded to the length of their reference, as in museval. A ``mixture``
    beside the true stems (MUSDB18-HQ) is a target only if it has an estimate.

    Raises
    ------
    UsageError
        an estimate is absent; rates, channels or lengths of the references differ.
    """
    import numpy as np

    from benchsep.audio import fit_length, read_audio

    truth, heard = _files(reference), _files(estimate)
    if "mixture" not in heard and len(truth) > 1:
        truth.pop("mixture", None)
    if lacking := sorted(truth.keys() - heard.keys()):
        raise UsageError(f"{estimate} has no estimate of {lacking}, holds {sorted(heard)}")
    true = {name: read_audio(path) for name, path in truth.items()}
    first = next(iter(true.values()))
    sides: list[list[Any]] = [[], []]
    for name, audio in true.items():
        given = read_audio(heard[name])
        for path, other in ((truth[name], audio), (heard[name], given)):
            if (other.rate, other.channels) != (first.rate, first.channels):
                raise UsageError(
                    f"{path}: {other.rate} Hz, {other.channels} channel(s); expected "
                    f"{first.rate} Hz, {first.channels} channel(s) as in the first file"
                )
        if audio.frames != first.frames:
            raise UsageError(f"{truth[name]}: {audio.frames} samples; expected {first.frames}")
        sides[0].append(audio.samples.T)
        sides[1].append(fit_length(given.samples, first.frames).T)
    return list(true), first.rate, np.array(sides[0], float), np.array(sides[1], float)


NAMES = ("SDR", "ISR", "SIR", "SAR")


def _table(track: str, scores: dict[str, dict[str, list[float]]]) -> str:
    """The medians, a line per target, in museval's format."""
    import numpy as np

    lines = [
        f"{target:<15} ==> "
        + "  ".join(f"{name}:{np.nanmedian(v) if np.isfinite(v).any() else np.nan:8.3f}"
                    for name, v in values.items())
        for target, values in scores.items()
    ]  # fmt: skip
    return "\n".join([track, *lines])


def _write(out: Path, track: str, scores: dict[str, dict[str, list[float]]], options: Any) -> None:
    from benchsep._util.atomic import write_atomically
    from benchsep.museval.io import track_content

    out.mkdir(parents=True, exist_ok=True)
    content = track_content(scores, window=options.win, hop=options.hop)
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1)
    write_atomically(out / f"{track}.json", text)


if __name__ == "__main__":
    sys.exit(main())
