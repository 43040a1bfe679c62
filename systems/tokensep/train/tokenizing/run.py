"""Make a folder of token shards from folders of labelled shards; run again to continue.

Shard ``i`` belongs to rank ``i mod world``, so machines share the work without communication. On
one machine, one process works on a shard.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchsep._util.atomic import sweep
from tokensep.errors import DataError
from tokensep.lm.config import TokenSepConfig
from tokensep.train.fitting import fit_config
from tokensep.train.pseudo_labels import alone
from tokensep.train.shard_index import write_index
from tokensep.train.tokenizing.inputs import PIECES, Input, find_inputs
from tokensep.train.tokenizing.job import TokenJob, claim, new_job
from tokensep.train.tokenizing.shard import write_token_shard


@dataclass(frozen=True)
class Options:
    """What ``tokensep tokenize`` is called with.

    ``workers`` processes on this machine, which is ``rank`` of ``world``; ``settings`` are those of
    :class:`tokensep.train.tokenizing.job.TokenJob`.
    """

    shards: list[Path]
    """Folders of labelled shards."""
    codec: Path
    out: Path
    config: TokenSepConfig
    settings: dict[str, Any]
    workers: int = 1
    rank: int = 0
    world: int = 1
    device: str = "cpu"
    musdb: list[Path] = field(default_factory=list)
    """Folders of songs with stems."""
    split: str = "train"


@dataclass(frozen=True)
class Task:
    """One shard to write, and all that a process needs for it."""

    source: Input
    target: Path
    codec: Path
    device: str
    config: TokenSepConfig
    job: TokenJob


def run(options: Options) -> dict[str, Any]:
    """Write the missing token shards of this rank. Returns what was done.

    Raises
    ------
    ConfigError
        Nothing to tokenize.
    DataError
        No shards, a damaged shard, an invalid rank, no workers, a folder begun with other settings,
        or shards without any clip.
    StoreError
        The disk is full.
    """
    if not 0 <= options.rank < options.world:
        raise DataError(f"found rank {options.rank} of {options.world}, expected 0 to world - 1")
    if options.workers < 1:
        raise DataError(f"found {options.workers} workers, expected at least one")
    codec = loaded(options.codec, options.device)
    config = fit_config(options.config, codec)
    job = new_job(codec, config, **options.settings)
    tasks = list(_tasks(options, config, job))
    options.out.mkdir(parents=True, exist_ok=True)
    with alone(options.out, options.rank):
        sweep([options.out])
        claim(options.out, job)
        share = tasks[options.rank :: options.world]
        left = [task for task in share if not task.target.exists()]
        summary = {"shards": len(tasks), "skipped": len(share) - len(left), "written": 0}
        summary |= {"clips": 0, "frames": 0}
        for number, facts in enumerate(_done(left, options.workers), 1):
            summary["written"] += 1
            summary["clips"] += facts["clips"]
            summary["frames"] += facts["frames"]
            print(f"shard {number}/{len(left)}: {facts['clips']} clips", file=sys.stderr)
        write_index(options.out)
    if summary["written"] == len(tasks) and not summary["clips"]:
        raise DataError(
            f"{options.out}: found no clip in {summary['written']} shards, expected music of "
            f"{PIECES.min_seconds:g} s or more above {PIECES.min_level_db:g} dBFS"
        )
    return summary


def _tasks(options: Options, config: TokenSepConfig, job: TokenJob) -> Iterator[Task]:
    for source in find_inputs(options.shards, options.musdb, options.split):
        target = options.out / f"{source.name}.tar"
        yield Task(source, target, options.codec, options.device, config, job)


def _done(tasks: list[Task], workers: int) -> Iterator[dict[str, Any]]:
    """The facts of each shard as it is finished."""
    if workers <= 1 or len(tasks) <= 1:
        yield from map(do, tasks)
        return
    # spawned, not forked: a child of a process with CUDA or threads must begin afresh
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        for future in as_completed([pool.submit(do, task) for task in tasks]):
            yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a worker process ended (out of memory?); the written shards are intact; run again "
            "with fewer workers to continue"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def do(task: Task) -> dict[str, Any]:
    """Write one shard."""
    codec = loaded(task.codec, task.device)
    return write_token_shard(task.source, task.target, codec, task.config, task.job)


@lru_cache(maxsize=1)
def loaded(folder: Path, device: str) -> Any:
    """The codec on its device."""
    import torch

    from tokensep.codec.model import HCodec

    torch.set_num_threads(1)
    codec: Any = HCodec.from_checkpoint(folder)
    return codec.to(device)
