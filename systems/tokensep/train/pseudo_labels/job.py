"""Label a whole folder of recordings with one process or several; run again to continue.

Conventions
-----------
``job.json`` of the folder of shards says what they are made from: the teacher, the settings, and a
digest of all pieces instead of their list, which would be 200 MB for 23,000 hours. Pieces are cut
shard by shard: memory holds the pieces of one shard.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchsep._util.atomic import sweep, write_atomically
from benchsep._util.reason import without_path
from tokensep.errors import DataError
from tokensep.train.own_json import read_json
from tokensep.train.pseudo_labels.pieces import cut, into_shards
from tokensep.train.pseudo_labels.plan import Totals, plan, target_of
from tokensep.train.pseudo_labels.reading import JOB
from tokensep.train.pseudo_labels.recordings import SUFFIXES, Recording, find_recordings
from tokensep.train.pseudo_labels.settings import Label, Settings
from tokensep.train.pseudo_labels.shard import write_shard
from tokensep.train.shard_index import write_index


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
        nothing to label, the folder of shards was begun with another teacher or other settings, or
        every piece was dropped.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {found}; expected a folder of recordings")
    out.mkdir(parents=True, exist_ok=True)
    with alone(out, settings.rank):
        sweep([out])
        recordings, unreadable = find_recordings(folder, out)
        totals = count(recordings, folder, settings)
        if not totals.pieces:
            raise DataError(
                f"{folder}: no audio of {settings.min_seconds:g} s or more "
                f"({len(unreadable)} unreadable files); expected {', '.join(sorted(SUFFIXES))}"
            )
        _claim(out, totals, teacher, settings, write=not plan_only)
        label = load_teacher()
        facts = plan(totals, cut(recordings, settings), label, out, settings)
        for line in (f"plan: {json.dumps(facts)}", *(f"unreadable: {u}" for u in unreadable)):
            print(line, file=sys.stderr, flush=True)
        summary = {**facts, "unreadable": len(unreadable), "written": 0, "skipped": 0}
        summary |= {"kept": 0, "dropped": 0}
        if not plan_only:
            reasons = _write_shards(folder, out, recordings, label, teacher, settings, summary)
            write_index(out)
            _tell_dropped(reasons, out, summary, settings)
        return summary


def _write_shards(
    folder: Path,
    out: Path,
    recordings: list[Recording],
    label: Label,
    teacher: str,
    settings: Settings,
    summary: dict[str, Any],
) -> list[str]:
    """Write the missing shards of this rank, and count them in ``summary``.

    Returns why pieces were dropped, one text for each.
    """
    reasons: list[str] = []
    shards = into_shards(cut(recordings, settings), settings.shard_seconds)
    for index, shard in enumerate(shards):
        if index % settings.world != settings.rank:
            continue
        target = target_of(out, index)
        if target.exists():
            summary["skipped"] += 1
            continue
        result = write_shard(target, shard, folder, label, settings, teacher)
        summary["written"] += 1
        summary["dropped"] += len(result["dropped"])
        summary["kept"] += result["clips"]
        reasons += (f"{piece['file']}: {piece['reason']}" for piece in result["dropped"])
        print(f"shard {index + 1}/{summary['shards']}: {result['kept_seconds']} s", file=sys.stderr)
    return reasons


def _tell_dropped(
    reasons: list[str], out: Path, summary: dict[str, Any], settings: Settings
) -> None:
    if not reasons:
        return
    kept = summary["kept"]
    said = f"{len(reasons)} of {len(reasons) + kept} pieces dropped; the first: {reasons[0]}"
    if not kept and not summary["skipped"] and settings.world == 1:  # the whole folder
        raise DataError(
            f"{out}: {said}; expected music, and a teacher whose stems add up to it: see the .json "
            "beside each shard, choose another teacher or --min-residual-db, and another folder"
        )
    print(said, file=sys.stderr)


def count(recordings: list[Recording], folder: Path, settings: Settings) -> Totals:
    """Numbers and digest of all pieces and shards."""
    pieces, frames, seconds, shards = 0, 0, 0.0, 0
    digest = hashlib.sha256()
    for shard in into_shards(cut(recordings, settings), settings.shard_seconds):
        shards += 1
        for piece in shard:
            pieces, frames, seconds = pieces + 1, frames + piece.frames, seconds + piece.seconds
            _digest(digest, [str(piece.path.relative_to(folder)), piece.start, piece.frames])
    return Totals(pieces, seconds, frames, shards, digest.hexdigest())


def _digest(digest: Any, piece: list[Any]) -> None:
    digest.update(json.dumps(piece).encode())


@contextmanager
def alone(out: Path, rank: int) -> Iterator[None]:
    """Allow one process for each rank: two would write the same partial shard.

    Raises
    ------
    DataError
        another process of this rank is running.
    """
    path = out / f".rank-{rank}.lock"
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{out}: another process is working as rank {rank}; wait for it, or share the "
                "work with --rank and --world"
            ) from None
        except OSError as error:  # a file system without locks: go on as before there were any
            print(f"{path}: cannot be locked ({without_path(error)})", file=sys.stderr)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _claim(out: Path, totals: Totals, teacher: str, settings: Settings, *, write: bool) -> None:
    """Refuse two different jobs in one folder: their shard numbers mean different pieces.

    ``write``: a new folder becomes the folder of this job. Without it (a plan) the
    folder is only checked.
    """
    job = {
        "teacher": teacher,
        "pieces": {"count": totals.pieces, "sha256": totals.digest},
        "shard_seconds": settings.shard_seconds,
        "min_residual_db": settings.min_residual_db,
        "min_level_db": settings.min_level_db,
    }
    path = out / JOB
    if not path.exists():
        if write:
            write_atomically(path, json.dumps(job))
        return
    stored = read_json(path)
    if isinstance(stored.get("pieces"), list):  # as written before 0.2: the list itself
        stored["pieces"] = _summary(stored["pieces"])
    different = [name for name in job | stored if job.get(name) != stored.get(name)]
    if different:
        said = ", ".join(sorted(different)).replace("pieces", "recordings or their pieces")
        raise DataError(
            f"{out} was made with other values of: {said}; give the same values, choose another "
            "folder, or delete it"
        )


def _summary(pieces: Iterable[list[Any]]) -> dict[str, Any]:
    digest, number = hashlib.sha256(), 0
    for piece in pieces:
        number += 1
        _digest(digest, piece)
    return {"count": number, "sha256": digest.hexdigest()}
