"""Trains the variants of a grid, each once.

Conventions
-----------
identity   sha256 of the resolved configuration (including the seed) and of the data's fingerprint.
           The folder is ``variants/NAME-sSEED-IDENTITY``; the training is complete if it contains
           ``trained.json``
process    one child process with one thread per training, so that a crash only affects one variant.
           A lock in the folder prevents a second training of the same variant
device     chosen by the trainer; with several GPUs, each child sees one GPU, and all GPUs have
           equally many children
killed     the child's checkpoints remain, and the next call continues
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

from benchsep import registry
from benchsep._util.atomic import write_atomically
from benchsep._util.digest import canonical
from benchsep._util.strict_json import parse_json
from benchsep.ablation.grid import Ablation, expand
from benchsep.ablation.trainer import Trainer
from benchsep.errors import BenchsepError, UsageError
from benchsep.runner.executors.worker import ONE_THREAD

DONE, TASK, LOG = "trained.json", "task.json", "train.log"


@dataclass(frozen=True)
class Task:
    """One training: a variant's training settings with one seed."""

    trainer: str
    name: str
    seed: int
    resolved: dict[str, Any]
    data: Path
    work: Path
    fingerprint: str

    @property
    def identity(self) -> str:
        """Twelve hexadecimal digits."""
        content = {"config": self.resolved, "data": self.fingerprint}
        return hashlib.sha256(canonical(content).encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """The folder of the training; another ablation may have named it."""
        variants = self.work / "variants"
        found = sorted(variants.glob(f"*-{self.identity}"))
        slug = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40] or "variant"
        return found[0] if found else variants / f"{slug}-s{self.seed}-{self.identity}"

    @property
    def facts(self) -> dict[str, Any] | None:
        """The facts that the training returned, if it is done."""
        try:
            return dict(parse_json((self.folder / DONE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def get_trainer(name: str) -> Trainer:
    """The registered trainer.

    Raises
    ------
    UsageError
        there is no trainer with this name (with a suggestion).
    """
    made = registry.resolve("trainer", name)()
    return made  # type: ignore[no-any-return]


def fingerprint(data: Path) -> str:
    """A hash of the names, sizes, first and last bytes of all files below ``data``.

    Raises
    ------
    UsageError
        if there are no files.
    """
    digest, count = hashlib.sha256(), 0
    for path in sorted(p for p in data.rglob("*") if p.is_file() and not p.name.startswith(".")):
        count += 1
        size = path.stat().st_size
        digest.update(f"{path.relative_to(data).as_posix()} {size}\n".encode())
        with path.open("rb") as handle:
            digest.update(handle.read(65_536))
            handle.seek(max(0, size - 65_536))
            digest.update(handle.read())
    if not count:
        raise UsageError(f"{data}: found no training data; pass --root, the folder of the data set")
    return digest.hexdigest()


def tasks_of(ablation: Ablation, data: Path, work: Path) -> dict[tuple[str, int], Task]:
    """``(variant, seed)`` to its training; variants that differ only in spec options share one."""
    trainer = get_trainer(ablation.trainer)
    mark = fingerprint(data)
    return {
        (variant.name, seed): Task(
            ablation.trainer,
            variant.name,
            seed,
            trainer.resolve(variant.trained, seed),
            data,
            work,
            mark,
        )
        for variant in expand(ablation)
        for seed in ablation.seeds
    }


def estimate(task: Task) -> float:
    """CPU seconds that a training will take."""
    return get_trainer(task.trainer).cpu_seconds(task.resolved)


def train_all(tasks: list[Task], jobs: int, say: Callable[[str], None]) -> dict[str, str]:
    """Do the missing trainings; returns ``identity -> reason`` of failures.

    The longest training starts first.
    """
    missing = {t.identity: t for t in reversed(tasks) if t.facts is None}
    todo = dict(sorted(missing.items(), key=lambda item: -estimate(item[1])))
    failed: dict[str, str] = {}
    if not todo:
        return failed
    free: Queue[dict[str, str]] = Queue()
    for slot in slots(max(1, jobs)):
        free.put(slot)
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        running = {pool.submit(_train_on_one, t, free): t for t in todo.values()}
        for number, future in enumerate(as_completed(running), 1):
            task, reason = running[future], future.result()
            if reason:
                failed[task.identity] = reason
                say(f"{task.name}, seed {task.seed}: {reason}")
            else:
                minutes = (task.facts or {}).get("cpu_seconds", 0) / 60
                say(
                    f"trained {number}/{len(todo)}: {task.name}, seed {task.seed} "
                    f"({minutes:.1f} CPU minutes)"
                )
    return failed


def slots(jobs: int) -> list[dict[str, str]]:
    """The environment of each of ``jobs`` child processes, with its GPU if there are several."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    if len(names) < 2:
        return [{}] * jobs
    return [{"CUDA_VISIBLE_DEVICES": names[i % len(names)]} for i in range(jobs)]


def _train_on_one(task: Task, free: Queue[dict[str, str]]) -> str:
    """Train with a free slot's environment."""
    slot = free.get()
    try:
        return _train_in_child(task, slot)
    finally:
        free.put(slot)


def _train_in_child(task: Task, slot: dict[str, str]) -> str:
    """Train in a child process; returns the reason of a failure, else an empty text."""
    folder = task.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(
        folder / TASK,
        canonical(
            {
                "trainer": task.trainer,
                "name": task.name,
                "seed": task.seed,
                "config": task.resolved,
                "data_sha256": task.fingerprint,
            }
        ),
    )
    command = [sys.executable, "-m", "benchsep.ablation.training", str(folder), str(task.data)]
    with (folder / LOG).open("ab") as log:
        done = subprocess.run(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **ONE_THREAD, **slot},
        )
    if done.returncode == 0:
        return ""
    lines = (folder / LOG).read_text(errors="replace").strip().splitlines() or ["no output"]
    return f"training failed ({done.returncode}): {lines[-1][:200]}; see {folder / LOG}"


def _train_here(folder: Path, data: Path) -> None:
    """The work of the child: hold the folder's lock, train, record."""
    from filelock import FileLock

    task = json.loads((folder / TASK).read_text(encoding="utf-8"))
    with FileLock(folder / ".lock"):
        if (folder / DONE).exists():  # another command was faster
            return
        started = time.process_time()
        trainer = get_trainer(task["trainer"])
        cache = folder.parent.parent / "cache"
        facts = trainer.train(task["config"], data, folder, cache)
        facts.setdefault("cpu_seconds", time.process_time() - started)
        write_atomically(folder / DONE, canonical(facts))


def main() -> None:
    """``python -m benchsep.ablation.training FOLDER DATA``: the child process."""
    try:
        _train_here(Path(sys.argv[1]), Path(sys.argv[2]))
    except BenchsepError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
