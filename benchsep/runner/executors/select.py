"""Chooses the executor for a suite: this process, local processes, or a Dask cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchsep import registry
from benchsep._util.notify import notify
from benchsep.errors import UsageError
from benchsep.runner.executors.base import Executor
from benchsep.runner.executors.local import Inline, Pool
from benchsep.systems.spec import Spec

if TYPE_CHECKING:
    from benchsep.runner.suite import Suite


def executor_for(suite: Suite) -> Executor:
    """The executor for a suite: its cluster, this process if necessary, else worker processes.

    Systems run in a worker process even with ``jobs=1``, so that a crash only affects the current
    job.

    Raises
    ------
    Unavailable
        the suite names a cluster, and Dask is not installed.
    UsageError
        the suite has a time limit but can only run in this process.
    """
    if suite.cluster:
        from benchsep.runner.executors.dask import Cluster

        return Cluster(suite.cluster, suite.timeout)
    reason = "--inline" if suite.inline else _registered_here(suite)
    if not reason:
        return Pool(suite.jobs or os.cpu_count() or 1, suite.timeout, _most_jobs(suite))
    if suite.timeout is not None:
        raise UsageError(
            f"a time limit needs worker processes, which are not possible here ({reason}); leave "
            "out --timeout"
        )
    if not suite.inline:
        notify(f"all jobs run in this process: {reason}; a worker process would not find it")
    return Inline()


def _most_jobs(suite: Suite) -> int | None:
    """Upper bound for the jobs of the suite's systems; ``None``: it depends on the data set.

    It limits the number of workers that are started early. The jobs of ``wrong-song`` are not
    included, because they are not known yet; more workers are started for them later.
    """
    tracks = suite.limit or len(suite.tracks)
    return tracks * len(suite.all_systems) or None


def _registered_here(suite: Suite) -> str:
    """A text that names the parts of the suite registered in this process only; empty if there are
    none.
    """
    asked = {
        "system": [Spec.parse(text).name for text in suite.systems],
        "metric": list(suite.metrics),
        "dataset": [(suite.dataset or "").partition(":")[0]],
    }
    for kind, names in asked.items():
        for name in names:
            if registry.is_local(kind, name):
                return f"the {kind} {name!r} is registered in this process only"
    return ""
