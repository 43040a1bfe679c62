"""Read shards of pseudo-labels front to back, with one sample in memory at a time."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsep.audio import STEMS, Audio
from tokensep.errors import DataError

JOB = "job.json"
RESIDUAL = "residual"
"""Name of what a recorded mixture holds beyond the sum of its stems."""


@dataclass(frozen=True)
class Sample:
    """What a shard gives back: mixture and stems float32 ``[channels, T]``."""

    key: str
    mixture: NDArray[np.float32]
    stems: dict[str, NDArray[np.float32]]
    rate: int
    facts: dict[str, Any]


def shards_in(folder: Path) -> list[Path]:
    """The finished shards of a folder, in order."""
    return sorted(folder.glob("*.tar"))


def folder_mark(folder: Path) -> str:
    """Eight hex digits of the job of a folder of shards (of its path, if it has no job file).

    Keys of samples are the same in every folder (``shard-000000-00000``); with this prefix, each
    recording has a unique name across several folders.
    """
    try:
        content = (folder / JOB).read_bytes()
    except OSError:
        content = str(folder.resolve()).encode()
    return hashlib.sha256(content).hexdigest()[:8]


def stream(shards: list[Path]) -> Iterator[Sample]:
    """Samples of shards one after the other, each shard read front to back.

    Raises
    ------
    DataError
        a shard that is not a whole tar of this form; the file is named.
    """
    for path in shards:
        try:
            with tarfile.open(path, "r|") as tar:
                yield from _samples(tar)
        except (
            tarfile.TarError,
            RuntimeError,
            OSError,
            KeyError,
            ValueError,
            OverflowError,
        ) as error:
            raise DataError(
                f"{path} is not a complete shard ({type(error).__name__}: {error}); delete it and "
                "run `tokensep pseudo-label` again"
            ) from error


def _samples(tar: tarfile.TarFile) -> Iterator[Sample]:
    held: dict[str, bytes] = {}
    for entry in tar:
        if entry.issparse():  # its claimed size is made of zeros, however small the file is
            raise ValueError(f"{entry.name} is a sparse file")
        handle = tar.extractfile(entry)
        key, part = split_name(entry.name)
        held[part] = handle.read() if handle else b""
        if part == "json":
            yield _decoded(key, held)
            held = {}


def split_name(name: str) -> tuple[str, str]:
    """Key and part of a member by WebDataset's rule.

    A key ends at the first dot of the last path component.
    """
    folder, slash, base = name.rpartition("/")
    key, _, part = base.partition(".")
    return folder + slash + key, part


def _decoded(key: str, held: dict[str, bytes]) -> Sample:
    import soundfile

    decoded = {
        name.removesuffix(".flac"): soundfile.read(
            io.BytesIO(data), dtype="float32", always_2d=True
        )
        for name, data in held.items()
        if name.endswith(".flac")
    }
    facts = json.loads(held["json"])
    if not isinstance(facts, dict):
        raise ValueError(f"{key}.json is not a JSON object")
    mixture, rate = decoded["mixture"]
    for name in STEMS:
        samples, own = decoded[name]
        if samples.shape != mixture.shape or own != rate or not len(samples):
            raise ValueError(
                f"{key}.{name}.flac has {samples.shape} samples at {own} Hz, the mixture "
                f"{mixture.shape} at {rate} Hz; expected the same"
            )
    stems = {s: np.ascontiguousarray(decoded[s][0].T) for s in STEMS}
    return Sample(key, np.ascontiguousarray(mixture.T), stems, rate, facts)


def songs(
    shards: list[Path], rate: int, *, mixture: str = "sum", rank: int = 0, world: int = 1
) -> Iterator[tuple[str, dict[str, NDArray[np.float32]]]]:
    """Mono stems at ``rate`` for training, of this process's share of the shards.

    Parameters
    ----------
    mixture : ``recorded`` adds a "stem" :data:`RESIDUAL`, the mixture less the sum of the stems.
    """
    marks = {folder: folder_mark(folder) for folder in {path.parent for path in shards}}
    for path in shards[rank::world]:
        for sample in stream([path]):
            yield f"{marks[path.parent]}/{sample.key}", mono_stems(sample, rate, mixture=mixture)


def mono_stems(sample: Sample, rate: int, *, mixture: str) -> dict[str, NDArray[np.float32]]:
    """Mono waves ``[T]`` at ``rate`` of the stems of a sample, and its residual if asked for."""
    parts = dict(sample.stems)
    if mixture == "recorded":
        parts[RESIDUAL] = sample.mixture - np.sum(list(sample.stems.values()), axis=0)
    return {
        name: Audio(samples, sample.rate).mono().resampled(rate).samples[0]
        for name, samples in parts.items()
    }
