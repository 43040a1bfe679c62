"""Stems for recordings that have none: a teacher's estimates, filtered, in shards.

Conventions
-----------
shard     ``shard-000012.tar`` in WebDataset's form: the members of one sample share a key,
          ``<key>.mixture.flac``, ``<key>.<stem>.flac`` (16 bit) and ``<key>.json`` with source
          file, start, gain (what was multiplied to keep peaks below 1) and residual
piece     a stretch of a recording of at most ``piece_seconds``: one sample
quality   a piece is dropped, with its reason in ``shard-000012.json``, when the mixture is near
          silence or when the stems miss it: residual =
          10 log10(|mix|^2 / |mix - sum stems|^2) is low

Which pieces make which shard depends on the folder alone, so any number of processes share
the work (shard i belongs to rank i mod world) without speaking to each other; a second process of
the same rank is refused while the first is at work. A shard is written under another name and
renamed: what exists is whole, and a second run skips it. Reading is a stream: one sample in memory
at a time.
"""

from __future__ import annotations

import fcntl
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchsep._util.atomic import sweep, write_atomically
from benchsep._util.decode import SNDFILE, decode, duration
from benchsep.audio import STEMS, Audio
from benchsep.errors import StoreError
from tokensep.errors import DataError

Label = Callable[[NDArray[np.float32], int], dict[str, NDArray[np.float32]]]
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".m4a"}
FLAC_SHARE = 0.55
"""Bytes of FLAC over bytes of 16-bit PCM, for the plan (measured on pop music)."""


@dataclass(frozen=True)
class Settings:
    """What is cut, kept, and whose share this process does."""

    shard_seconds: float = 1800.0
    piece_seconds: float = 30.0
    min_seconds: float = 2.0
    min_residual_db: float = 10.0
    min_level_db: float = -60.0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise DataError(f"rank {self.rank} of {self.world} processes; expected 0 to world - 1")


@dataclass(frozen=True)
class Piece:
    """``frames`` samples of a file from ``start`` on."""

    path: Path
    start: int
    frames: int
    rate: int

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


@dataclass(frozen=True)
class Sample:
    """What a shard gives back: mixture and stems float32 ``[channels, T]``."""

    key: str
    mixture: NDArray[np.float32]
    stems: dict[str, NDArray[np.float32]]
    rate: int
    facts: dict[str, Any]


def find_pieces(folder: Path, settings: Settings) -> tuple[list[Piece], list[str]]:
    """All pieces below ``folder`` in a fixed order, and the files that cannot be read."""
    pieces: list[Piece] = []
    unreadable: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        try:
            frames, rate = _length(path)
        except (RuntimeError, OSError, ValueError, DataError) as error:
            unreadable.append(f"{path.relative_to(folder)}: {error}")
            continue
        step = int(settings.piece_seconds * rate)
        for start in range(0, frames, step):
            piece = Piece(path, start, min(step, frames - start), rate)
            if piece.seconds >= settings.min_seconds:
                pieces.append(piece)
    return pieces, unreadable


def _length(path: Path) -> tuple[int, int]:
    """Samples and rate. What FFmpeg reads is decoded: an mp3's header may only guess its length."""
    import soundfile

    if path.suffix.lower() not in SNDFILE:
        samples, rate = _decoded(path)
        return samples.shape[1], rate
    facts = soundfile.info(str(path))
    _refuse_absurd(facts, path.stat().st_size)
    duration(path)  # raises where the file ends before its header says
    return int(facts.frames), int(facts.samplerate)


@lru_cache(maxsize=1)
def _decoded(path: Path) -> tuple[NDArray[np.float32], int]:
    """The last file that FFmpeg decoded, ``[channels, samples]``: its pieces follow each other."""
    return decode(path)


def _refuse_absurd(facts: Any, size: int) -> None:
    """A damaged header may claim years of music, and a piece each is planned for all of them."""
    if facts.frames * facts.channels > max(size, 1) * 10_000:
        raise DataError(f"its header claims {facts.frames} frames in {size} bytes")
    if not 1_000 <= facts.samplerate <= 768_000:
        raise DataError(f"sample rate {facts.samplerate} Hz")


def into_shards(pieces: list[Piece], seconds: float) -> list[list[Piece]]:
    """Consecutive pieces, each shard holding about ``seconds`` of music."""
    shards: list[list[Piece]] = [[]]
    held = 0.0
    for piece in pieces:
        if shards[-1] and held + piece.seconds > seconds:
            shards.append([])
            held = 0.0
        shards[-1].append(piece)
        held += piece.seconds
    return shards if pieces else []


def read_piece(piece: Piece) -> NDArray[np.float32]:
    """``[channels, T]``, mono made stereo, more channels cut to two.

    Raises
    ------
    DataError
        a file that cannot be decoded here, or ends before the piece does.
    """
    import soundfile

    try:
        if piece.path.suffix.lower() in SNDFILE:
            samples, _ = soundfile.read(
                str(piece.path), frames=piece.frames, start=piece.start, dtype="float32",
                always_2d=True,
            )  # fmt: skip
        else:
            samples = _decoded(piece.path)[0][:, piece.start : piece.start + piece.frames].T
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(f"unreadable: {error}") from error
    if len(samples) < piece.frames:
        raise DataError(f"cut short: {len(samples)} frames of {piece.frames}")
    samples = samples.T[:2]
    return np.ascontiguousarray(np.repeat(samples, 2, 0) if len(samples) == 1 else samples)


def residual_db(mixture: NDArray[np.float32], stems: dict[str, NDArray[np.float32]]) -> float:
    """How well the stems add up to the mixture, dB (higher is better, 100 at most)."""
    rest = mixture - np.sum(list(stems.values()), axis=0)
    energy = float(np.sum(np.square(mixture, dtype=np.float64)))
    lost = float(np.sum(np.square(rest, dtype=np.float64)))
    return float(10 * np.log10((energy + 1e-12) / max(lost, energy * 1e-10, 1e-12)))


def refusal(
    mixture: NDArray[np.float32], stems: dict[str, NDArray[np.float32]] | None, settings: Settings
) -> str:
    """Why a piece is not kept, or an empty text."""
    level = float(10 * np.log10(np.mean(np.square(mixture, dtype=np.float64)) + 1e-12))
    if not np.isfinite(mixture).all():
        return "not finite"
    if level < settings.min_level_db:
        return f"silent: {level:.0f} dBFS"
    if stems is None:
        return ""
    missing = [s for s in STEMS if s not in stems]
    if missing:
        return f"teacher gave no {', '.join(missing)}"
    if not all(np.isfinite(s).all() for s in stems.values()):
        return "teacher gave values that are not finite"
    residual = residual_db(mixture, {s: stems[s] for s in STEMS})
    return f"residual {residual:.1f} dB" if residual < settings.min_residual_db else ""


def _flac(samples: NDArray[np.float32], rate: int) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples.T, rate, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def write_shard(
    target: Path, pieces: list[Piece], root: Path, label: Label, settings: Settings, teacher: str
) -> dict[str, Any]:
    """Label the pieces of one shard; whole or not there at all. Returns its facts."""
    partial = target.with_suffix(".tar.partial")
    try:
        return _write_shard(target, partial, pieces, root, label, settings, teacher)
    except (OSError, StoreError) as error:
        partial.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{target}: cannot be written ({reason}); the shards before it are "
            "whole: free some space and run again to continue"
        ) from error


def _write_shard(
    target: Path,
    partial: Path,
    pieces: list[Piece],
    root: Path,
    label: Label,
    settings: Settings,
    teacher: str,
) -> dict[str, Any]:
    kept, dropped, began = 0.0, [], time.monotonic()
    with tarfile.open(partial, "w") as tar:
        for number, piece in enumerate(pieces):
            where = {"file": str(piece.path.relative_to(root)), "start": piece.start}
            try:
                mixture = read_piece(piece)
            except DataError as error:
                dropped.append({**where, "reason": str(error)})
                continue
            reason, stems = refusal(mixture, None, settings), None
            if not reason:
                stems = label(mixture, piece.rate)
                reason = refusal(mixture, stems, settings)
            if reason or stems is None:
                dropped.append({**where, "reason": reason})
                continue
            _add_sample(tar, f"{target.stem}-{number:05d}", mixture, stems, piece.rate, where)
            kept += piece.seconds
    facts = {
        "teacher": teacher,
        "kept_seconds": round(kept, 2),
        "dropped": dropped,
        "wall_seconds": round(time.monotonic() - began, 2),
    }
    write_atomically(target.with_suffix(".json"), json.dumps(facts, indent=1) + "\n")
    partial.replace(target)
    return facts


def _add_sample(
    tar: tarfile.TarFile,
    key: str,
    mixture: NDArray[np.float32],
    stems: dict[str, NDArray[np.float32]],
    rate: int,
    where: dict[str, Any],
) -> None:
    parts = {"mixture": mixture, **{s: stems[s] for s in STEMS}}
    peak = max(float(np.abs(p).max()) for p in parts.values())
    gain = min(1.0, 0.99 / peak)
    for name, samples in parts.items():
        _add(tar, f"{key}.{name}.flac", _flac(gain * samples, rate))
    facts = {
        **where,
        "rate": rate,
        "gain": gain,
        "residual_db": round(residual_db(mixture, {s: stems[s] for s in STEMS}), 2),
    }
    _add(tar, f"{key}.json", json.dumps(facts).encode())


def shards_in(folder: Path) -> list[Path]:
    """The finished shards of a folder, in order."""
    return sorted(folder.glob("*.tar"))


def stream(shards: list[Path]) -> Iterator[Sample]:
    """Samples of shards one after the other, each shard read front to back.

    Raises
    ------
    DataError
        a shard that is not a whole tar of this form; the file is named.
    """
    import soundfile

    for path in shards:
        held: dict[str, bytes] = {}
        try:
            with tarfile.open(path, "r|") as tar:
                for entry in tar:
                    handle = tar.extractfile(entry)
                    # WebDataset's rule: a key ends at the first dot of the last path component
                    folder, slash, base = entry.name.rpartition("/")
                    key, _, part = base.partition(".")
                    key = folder + slash + key
                    held[part] = handle.read() if handle else b""
                    if part != "json":
                        continue
                    decoded = {
                        name.removesuffix(".flac"): soundfile.read(
                            io.BytesIO(data), dtype="float32", always_2d=True
                        )
                        for name, data in held.items()
                        if name.endswith(".flac")
                    }
                    facts = json.loads(held["json"])
                    stems = {s: np.ascontiguousarray(decoded[s][0].T) for s in STEMS}
                    mixture = np.ascontiguousarray(decoded["mixture"][0].T)
                    yield Sample(key, mixture, stems, decoded["mixture"][1], facts)
                    held = {}
        except (tarfile.TarError, RuntimeError, OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{path} is not a whole shard ({type(error).__name__}: {error}); delete it and run "
                "`tokensep pseudo-label` again"
            ) from error


def songs(
    shards: list[Path], rate: int, *, rank: int = 0, world: int = 1
) -> Iterator[tuple[str, dict[str, NDArray[np.float32]]]]:
    """Mono stems at ``rate`` for training, of this process's share of the shards."""
    for sample in stream(shards[rank::world]):
        yield (
            sample.key,
            {
                stem: Audio(samples, sample.rate).mono().resampled(rate).samples[0]
                for stem, samples in sample.stems.items()
            },
        )


def plan(
    pieces: list[Piece],
    shards: list[list[Piece]],
    label: Label | None,
    out: Path,
    settings: Settings,
) -> dict[str, Any]:
    """Hours, shards, bytes, and device-hours at the rate measured on the first loud piece."""
    hours = sum(p.seconds for p in pieces) / 3600
    size = sum(p.frames for p in pieces) * 2 * 2 * (len(STEMS) + 1) * FLAC_SHARE
    done = sum(_target(out, i).exists() for i in range(len(shards)))
    facts: dict[str, Any] = {
        "hours": round(hours, 4),
        "pieces": len(pieces),
        "shards": len(shards),
        "shards_done": done,
        "bytes": int(size),
        "processes": settings.world,
    }
    loud = _first_loud(pieces, settings) if label is not None else None
    if label is not None and loud is not None:
        mixture, rate = loud
        began = time.monotonic()
        label(mixture, rate)
        factor = (time.monotonic() - began) / (mixture.shape[1] / rate)
        left = hours * (1 - done / len(shards))
        facts["seconds_per_second"] = round(factor, 3)
        facts["device_hours_left"] = round(left * factor, 4)
    return facts


def _first_loud(pieces: list[Piece], settings: Settings) -> tuple[NDArray[np.float32], int] | None:
    """Ten seconds at most of the first piece that would be labelled, and its rate."""
    for piece in pieces:
        try:
            mixture = read_piece(piece)[:, : int(10 * piece.rate)]
        except DataError:
            continue
        if not refusal(mixture, None, settings):
            return mixture, piece.rate
    return None


def _target(out: Path, index: int) -> Path:
    return out / f"shard-{index:06d}.tar"


def run(
    folder: Path,
    out: Path,
    load_teacher: Callable[[], Label],
    teacher: str,
    settings: Settings,
    *,
    plan_only: bool = False,
) -> dict[str, Any]:
    """Label a folder; run again to continue. Returns what was done.

    Raises
    ------
    DataError
        nothing to label, or the folder of shards was begun with another teacher or other settings.
    """
    pieces, unreadable = find_pieces(folder, settings)
    if not pieces:
        raise DataError(
            f"{folder}: no audio of {settings.min_seconds:g} s or more "
            f"({len(unreadable)} unreadable files); expected {', '.join(sorted(SUFFIXES))}"
        )
    shards = into_shards(pieces, settings.shard_seconds)
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out, settings.rank):
        sweep([out])
        _claim(out, pieces, folder, teacher, settings)
        return _work(
            folder, out, load_teacher, teacher, settings, pieces, shards, unreadable, plan_only
        )


@contextmanager
def _alone(out: Path, rank: int) -> Iterator[None]:
    """One process for each rank: two would write the same partial shard."""
    path = out / f".rank-{rank}.lock"
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{out}: another process is at work as rank {rank}; wait for it, or share the "
                "folder with --rank and --world"
            ) from None
        except OSError as error:  # a file system without locks: go on as before there were any
            print(f"{path}: cannot be locked ({error})", file=sys.stderr)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _work(
    folder: Path,
    out: Path,
    load_teacher: Callable[[], Label],
    teacher: str,
    settings: Settings,
    pieces: list[Piece],
    shards: list[list[Piece]],
    unreadable: list[str],
    plan_only: bool,
) -> dict[str, Any]:
    label = load_teacher()
    facts = plan(pieces, shards, label, out, settings)
    for line in (f"plan: {json.dumps(facts)}", *(f"unreadable: {u}" for u in unreadable)):
        print(line, file=sys.stderr, flush=True)
    summary = {**facts, "unreadable": len(unreadable), "written": 0, "skipped": 0, "dropped": 0}
    for index, shard in enumerate(shards):
        if plan_only or index % settings.world != settings.rank:
            continue
        if _target(out, index).exists():
            summary["skipped"] += 1
            continue
        result = write_shard(_target(out, index), shard, folder, label, settings, teacher)
        summary["written"] += 1
        summary["dropped"] += len(result["dropped"])
        print(f"shard {index + 1}/{len(shards)}: {result['kept_seconds']} s", file=sys.stderr)
    return summary


def _claim(out: Path, pieces: list[Piece], folder: Path, teacher: str, settings: Settings) -> None:
    """Refuse to mix two jobs in one folder: shard numbers would mean different pieces."""
    job = {
        "teacher": teacher,
        "pieces": [[str(p.path.relative_to(folder)), p.start, p.frames] for p in pieces],
        "shard_seconds": settings.shard_seconds,
        "min_residual_db": settings.min_residual_db,
        "min_level_db": settings.min_level_db,
    }
    path = out / "job.json"
    if not path.exists():
        write_atomically(path, json.dumps(job))
    elif json.loads(path.read_text()) != job:
        raise DataError(
            f"{out} was begun with another teacher, other settings or other recordings; choose "
            "another folder, or delete it"
        )
