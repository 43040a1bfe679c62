"""The executor that a suite asks for: this process, local processes, or a Dask cluster."""

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
    """The executor that a suite asks for: its cluster, this process, else worker processes.

    Systems run in workers even one at a time: one that ends or breaks its process costs its own
    job and no other.

    Raises
    ------
    Unavailable
        a cluster is asked for and Dask is not installed.
    UsageError
        a time limit for what can only run in this process.
    """
    if suite.cluster:
        from benchsep.runner.executors.dask import Cluster

        return Cluster(suite.cluster, suite.timeout)
    reason = "--inline" if suite.inline else _registered_here(suite)
    if not reason:
        return Pool(suite.jobs or os.cpu_count() or 1, suite.timeout, _most_jobs(suite))
    if suite.timeout is not None:
        raise UsageError(f"a time limit needs worker processes, which {reason} rules out")
    if not suite.inline:
        notify(f"all jobs run in this process: {reason}; a worker process would not know it")
    return Inline()


def _most_jobs(suite: Suite) -> int | None:
    """Jobs of the systems that the suite names; ``None``: the data set decides their number.

    No more workers than these start early. The jobs of ``wrong-song`` are not known yet: for them
    further workers start when they come.
    """
    tracks = suite.limit or len(suite.tracks)
    return tracks * len(suite.all_systems) or None


def _registered_here(suite: Suite) -> str:
    """What of the suite this process alone knows, or an empty text."""
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
