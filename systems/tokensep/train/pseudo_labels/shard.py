"""Label and write one shard; a thread encodes FLAC while the teacher continues."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsep._util.atomic import write_atomically
from benchsep.audio import STEMS
from benchsep.errors import StoreError
from tokensep.errors import DataError
from tokensep.train.pseudo_labels.pieces import Piece, read_piece
from tokensep.train.pseudo_labels.quality import refusal, residual_db
from tokensep.train.pseudo_labels.settings import Label, Settings, Stems

WAITING = 4
"""Largest number of labelled pieces that wait for the writing thread; this limits memory."""


def write_shard(
    target: Path, pieces: list[Piece], root: Path, label: Label, settings: Settings, teacher: str
) -> dict[str, Any]:
    """Label the pieces of one shard and write it completely or not at all. Returns its facts.

    Raises
    ------
    DataError
        the shard cannot be written, e.g. because the disk is full.
    """
    partial = target.with_suffix(".tar.partial")
    began = time.monotonic()
    try:
        kept, dropped = _write_samples(partial, target.stem, pieces, root, label, settings)
        facts = {
            "teacher": teacher,
            "clips": len(pieces) - len(dropped),
            "kept_seconds": round(kept, 2),
            "dropped": dropped,
            "wall_seconds": round(time.monotonic() - began, 2),
        }
        write_atomically(target.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")
        partial.replace(target)
    except (OSError, StoreError) as error:
        partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{target}: cannot be written ({reason}); the shards before it are intact. Free some "
            "space, then run again to continue"
        ) from error
    return facts


def _write_samples(
    partial: Path, stem: str, pieces: list[Piece], root: Path, label: Label, settings: Settings
) -> tuple[float, list[dict[str, Any]]]:
    """Seconds that were kept, and what was dropped with its reason."""
    kept, dropped = 0.0, []
    with tarfile.open(partial, "w") as tar, _in_a_thread() as later:
        for number, piece in enumerate(pieces):
            where = {"file": str(piece.path.relative_to(root)), "start": piece.start}
            mixture, stems, reason = _labelled(piece, label, settings)
            if reason or stems is None or mixture is None:
                dropped.append({**where, "reason": reason})
                continue
            later(add_sample, tar, f"{stem}-{number:05d}", mixture, stems, piece.rate, where)
            kept += piece.seconds
    return kept, dropped


def _labelled(
    piece: Piece, label: Label, settings: Settings
) -> tuple[NDArray[np.float32] | None, Stems | None, str]:
    """Mixture, stems, and why they are not kept."""
    try:
        mixture = read_piece(piece)
    except DataError as error:
        return None, None, str(error)
    reason = refusal(mixture, None, settings)
    if reason:
        return mixture, None, reason
    stems = label(mixture, piece.rate)
    return mixture, stems, refusal(mixture, stems, settings)


@contextmanager
def _in_a_thread() -> Iterator[Callable[..., None]]:
    """A function that has calls made one after the other in a thread; it raises their errors."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as thread:

        def later(function: Callable[..., None], *arguments: Any) -> None:
            if len(waiting) == WAITING:
                waiting.popleft().result()
            waiting.append(thread.submit(function, *arguments))

        yield later
        while waiting:
            waiting.popleft().result()


def add_sample(
    tar: tarfile.TarFile,
    key: str,
    mixture: NDArray[np.float32],
    stems: Stems,
    rate: int,
    where: dict[str, Any],
) -> None:
    """Add the members of one sample; ``where`` says what it was cut from."""
    parts = {"mixture": mixture, **{s: stems[s] for s in STEMS}}
    peak = max(float(np.abs(p).max()) for p in parts.values())
    gain = min(1.0, 0.99 / peak)
    for name, samples in parts.items():
        add_member(tar, f"{key}.{name}.flac", flac(gain * samples, rate))
    facts = {
        **where,
        "rate": rate,
        "gain": gain,
        "residual_db": round(residual_db(mixture, {s: stems[s] for s in STEMS}), 2),
    }
    add_member(tar, f"{key}.json", json.dumps(facts).encode())


def flac(samples: NDArray[np.float32], rate: int) -> bytes:
    """``[channels, T]`` in 16 bit."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a file without owner and time, so the same content gives the same bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))
