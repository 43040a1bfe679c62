"""Trains and runs an ablation: its variants are ordinary systems in an ordinary run folder.

All files are in one work folder, shared by all ablations: ``variants/`` (checkpoints), ``cache/``
(decoded audio, tokens), ``run/`` (cells). A second call computes only what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchsep.ablation.grid import Ablation, Variant, expand
from benchsep.ablation.training import Task, estimate, get_trainer, tasks_of, train_all
from benchsep.errors import UsageError
from benchsep.runner.suite import Suite
from benchsep.systems.spec import Spec


@dataclass
class Executed:
    """The result of an ablation; keys are ``(variant, seed)``."""

    ablation: Ablation
    run: Path
    """The run folder, which ablations share; it may have rows and songs of others."""
    labels: dict[tuple[str, int], str] = field(default_factory=dict)
    """System label of the variant in the run folder."""
    failed: dict[tuple[str, int], str] = field(default_factory=dict)
    """Reason why a variant has no row."""
    tasks: dict[tuple[str, int], Task] = field(default_factory=dict)
    tracks: frozenset[str] | None = None
    """The songs of this ablation; ``None``: all songs of the folder."""
    references: frozenset[str] | None = None
    """The rows of this ablation that are not variants; ``None``: all other rows of the folder."""


def training_data(ablation: Ablation, root: Path | None) -> Path:
    """The folder of training data: ``--root``, or the folder of the embedded clip.

    Raises
    ------
    UsageError
        no folder is given, or it does not exist.
    """
    if ablation.suite.get("dataset") == "clip":
        from benchsep.datasets.clip import clip_path

        return clip_path().parent
    if root is None:
        raise UsageError("this ablation trains models; pass --root, the folder of its data set")
    if not root.is_dir():
        raise UsageError(f"--root {root}: no such folder")
    inner = root / "train"
    return inner if inner.is_dir() else root


def plan_lines(ablation: Ablation, root: Path | None, work: Path) -> list[str]:
    """The output of ``--dry-run``: the steps with estimated costs."""
    variants, seeds = expand(ablation), ablation.seeds
    lines = [f"{ablation.title}: {len(variants)} variants, {len(seeds)} seeds"]
    total = 0.0
    if ablation.trainer:
        tasks = tasks_of(ablation, training_data(ablation, root), work)
        for task in {t.identity: t for t in tasks.values()}.values():
            seconds = 0.0 if task.facts else estimate(task)
            total += seconds
            state = "is trained" if task.facts else f"{seconds / 3600:.2f} CPU hours"
            lines.append(f"  train {task.name}, seed {task.seed} ({task.identity}): {state}")
    rows = len(variants) * len(seeds)
    seconds, tracks, score, separate = _running(ablation, root)
    drawn = sum(int(variant.options.get("draws", 1)) for variant in variants)
    running = len(seeds) * ablation.draws * (len(variants) * score + drawn * separate)
    total += running
    lines.append(
        f"  run {rows} systems on {tracks} tracks ({seconds / 60:.1f} minutes): "
        f"{running / 3600:.2f} CPU hours, minus results that are stored already"
    )
    lines.append(f"  together {total / 3600:.2f} CPU hours")
    return lines


def _running(ablation: Ablation, root: Path | None) -> tuple[float, int, float, float]:
    """Seconds of audio, tracks, and CPU seconds to score and to separate them once.

    Separation is estimated at the rate of the shipped model of the same name, if there is one.
    """
    from benchsep.runner.cost import own_rates, seconds_of
    from benchsep.runner.plan import dataset_of

    suite, rates = _suite(ablation, (), root), own_rates()
    tracks = dataset_of(suite)[1]
    seconds = sum(map(seconds_of, tracks))
    name = ablation.trainer or Spec.parse(ablation.system).name
    lines = [rates.metrics[m].each for m in suite.metrics if m in rates.metrics]
    score = sum(fixed * len(tracks) + slope * seconds for fixed, slope in lines)
    separate = rates.systems["cpu"].get(f"{name}@mini", 0.0) * seconds
    return seconds, len(tracks), score, separate


def train(
    ablations: list[Ablation],
    *,
    work: Path,
    root: Path | None = None,
    jobs: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, str]:
    """Train all missing variants of several ablations together; returns ``identity -> reason`` of
    failures.

    Parameters as in :func:`execute`, which later uses the checkpoints in ``work``.
    """
    found = [
        tasks_of(ablation, training_data(ablation, root), work)
        for ablation in ablations
        if ablation.trainer
    ]
    tasks = [task for each in found for task in each.values()]
    return train_all(tasks, _workers(jobs), say)


def _workers(jobs: int) -> int:
    return jobs or os.cpu_count() or 1


def execute(
    ablation: Ablation,
    *,
    work: Path,
    root: Path | None = None,
    jobs: int = 0,
    say: Callable[[str], None] = print,
    progress: Callable[[Any], AbstractContextManager[Any]] | None = None,
) -> Executed:
    """Train and run everything that is missing.

    Parameters
    ----------
    work : folder for all results.
    root : the folder of the data set, for training (its sub-folder ``train``, if it has one) and
        for the run.
    jobs : number of processes; 0: one per core.

    Raises
    ------
    UsageError, DatasetError
        an error in the request or the data set, raised before any training. A training that fails
        does not raise; the result has the reason.
    """
    from benchsep.runner.plan import dataset_of

    done = Executed(ablation, work / "run")
    if ablation.trainer:
        data = training_data(ablation, root)
        dataset_of(_suite(ablation, (), root))  # check the songs first: trainings take hours
        specs = _trained(ablation, done, data, work, _workers(jobs), say)
    else:
        specs = {(v.name, -1): _untrained(ablation, v) for v in expand(ablation)}
    if not specs:
        raise UsageError(f"no variant of {ablation.title!r} could be trained: {_first(done)}")
    _run(ablation, done, specs, root, jobs, progress)
    return done


def _first(done: Executed) -> str:
    return next(iter(done.failed.values()), "no reason is known")


def _trained(
    ablation: Ablation,
    done: Executed,
    data: Path,
    work: Path,
    jobs: int,
    say: Callable[[str], None],
) -> dict[tuple[str, int], str]:
    done.tasks = tasks_of(ablation, data, work)
    reasons = train_all(list(done.tasks.values()), jobs, say)
    trainer, specs = get_trainer(ablation.trainer), {}
    options = {v.name: v.options for v in expand(ablation)}
    for key, task in done.tasks.items():
        if task.identity in reasons:
            done.failed[key] = reasons[task.identity]
        else:
            specs[key] = trainer.spec(task.folder, options[key[0]])
    return specs


def _untrained(ablation: Ablation, variant: Variant) -> str:
    base = Spec.parse(ablation.system)
    return str(replace(base, options={**base.options, **variant.options}))


def _suite(
    ablation: Ablation, systems: tuple[str, ...], root: Path | None, **overrides: Any
) -> Suite:
    """The suite of an ablation; without a trainer, its seeds are draws."""
    if not ablation.trainer:
        overrides |= {"draws": len(ablation.seeds), "seed": ablation.seeds[0]}
    if root is not None and ablation.suite.get("root") is None:
        overrides["root"] = str(root)
    return ablation.resolved_suite(systems, **overrides)


def _run(
    ablation: Ablation,
    done: Executed,
    specs: dict[tuple[str, int], str],
    root: Path | None,
    jobs: int,
    progress: Callable[[Any], AbstractContextManager[Any]] | None,
) -> None:
    from benchsep.runner.run import run

    suite = _suite(ablation, tuple(dict.fromkeys(specs.values())), root, jobs=jobs)
    result = run(suite, out=done.run, progress=progress)
    done.tracks = frozenset(track.name for track in result.plan.tracks)
    names = {spec: label for label, (spec, _) in result.plan.systems.items()}
    for key, spec in specs.items():
        done.labels[key] = names[str(Spec.parse(spec))]
    done.references = frozenset(names.values()) - frozenset(done.labels.values())
