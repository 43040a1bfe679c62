"""A folder of synthetic songs with exact stems, from any source; run again to continue.

Conventions
-----------
A song is a folder as MUSDB18-HQ has them: ``vocals.wav``, ``drums.wav``, ``bass.wav``,
``other.wav``, ``mixture.wav`` (16 bit, stereo, 44.1 kHz) and ``song.json`` with what made it.
``mixture`` is the exact sum of the four, sample by sample, as integers. The folder's
``manifest.json`` states what the songs depend on; a folder that was begun with another manifest is
refused. A song is written completely or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchsep._util.atomic import write_atomically
from benchsep._util.processes import pid_alive
from tokensep.errors import DataError
from tokensep.train.own_json import read_json
from tokensep.train.synth.mixing import RATE

Song = tuple[dict[str, NDArray[np.int16]], dict[str, Any]]
"""Waves ``[2, T]`` of the stems and the mixture, and the content of ``song.json``."""


class Source(Protocol):
    """What makes songs."""

    def names(self) -> list[str]:
        """Names of the folders of all songs."""
        ...

    def manifest(self) -> dict[str, Any]:
        """What the songs depend on."""
        ...

    def make(self, number: int, folder: Path) -> Song:
        """Song ``number``; ``folder`` is for files in between. Raises DataError if it cannot."""
        ...


def run(out: Path, source: Source, jobs: int = 1) -> dict[str, Any]:
    """Make the songs that are missing; returns counts and the measured rate.

    Raises
    ------
    DataError
        ``out`` was begun with another manifest, ``jobs`` is below 1, or no song could be made.
    """
    if jobs < 1:
        raise DataError(f"found {jobs} jobs, expected at least one")
    out.mkdir(parents=True, exist_ok=True)
    claim(out, source.manifest())
    sweep(out)
    before = os.times()
    names = source.names()
    missing = [n for n, name in enumerate(names) if not (out / name).exists()]
    made, failed = 0, {}
    # threads are enough: the work is done by the programs they wait for
    with ThreadPoolExecutor(jobs) as pool:
        for number, reason in zip(
            missing, pool.map(lambda n: _attempt(out, source, n), missing), strict=True
        ):
            made += not reason
            if reason:
                failed[names[number]] = reason
            if made % 10 == 0 or made + len(failed) == len(missing):
                print(f"{made}/{len(missing)} songs", file=sys.stderr, flush=True)
    if failed and len(failed) == len(names):
        raise DataError(f"no song could be made; the first: {next(iter(failed.values()))}")
    cpu = sum(os.times()[:4]) - sum(before[:4])
    summary = {
        "songs": len(names),
        "made": made,
        "minutes": round(sum(_seconds(out / name) for name in names) / 60, 2),
        "cpu_seconds": round(cpu, 1),
        "songs_per_cpu_minute": round(60 * made / cpu, 2) if made else None,
    }
    return {**summary, "failed": failed} if failed else summary


def _attempt(out: Path, source: Source, number: int) -> str:
    """Why a song could not be made; empty if it exists now."""
    try:
        write_song(out, source, number)
    except DataError as error:
        return str(error)
    return ""


def _seconds(folder: Path) -> float:
    import soundfile

    path = folder / "mixture.wav"
    return float(soundfile.info(str(path)).duration) if path.is_file() else 0.0


def write_song(out: Path, source: Source, number: int) -> bool:
    """Make one song and move it into ``out``; False if it existed already.

    Raises
    ------
    DataError
        The song cannot be made.
    """
    import soundfile

    target = out / source.names()[number]
    if target.exists():
        return False
    with tempfile.TemporaryDirectory(prefix=f".partial-{host()}-{os.getpid()}-", dir=out) as work:
        made = Path(work) / "made"
        made.mkdir()
        waves, facts = source.make(number, Path(work))
        for name, wave in waves.items():
            soundfile.write(str(made / f"{name}.wav"), wave.T, RATE, subtype="PCM_16")
        write_atomically(made / "song.json", json.dumps(facts, indent=1) + "\n")
        try:
            made.rename(target)
        except OSError:
            if target.exists():  # another process was quicker
                return False
            raise
    return True


def host() -> str:
    """A short name of this machine, for the temporary folders of unfinished songs."""
    return f"{zlib.crc32(os.uname().nodename.encode()):08x}"


def sweep(out: Path) -> None:
    """Remove the unfinished songs of killed processes of this machine."""
    for old in out.glob(f".partial-{host()}-*"):
        if not pid_alive(int(old.name.split("-")[2])):
            shutil.rmtree(old, ignore_errors=True)


def claim(out: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest.

    Raises
    ------
    DataError
        The folder was begun with another manifest.
    """
    path = out / "manifest.json"
    if path.exists():
        before = read_json(path)
        other = [key for key in manifest if before.get(key) != manifest[key]]
        if other:
            raise DataError(
                f"{out} was made with another {', '.join(other)} (see {path.name}); give the same "
                "values, or another folder"
            )
        return
    write_atomically(path, json.dumps(manifest, indent=1) + "\n")
