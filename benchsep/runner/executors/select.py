"""The executor that a suite asks for: this process, local processes, or a Dask cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from benchsep.runner.executors.base import Executor
from benchsep.runner.executors.local import Inline, Pool

if TYPE_CHECKING:
    from benchsep.runner.suite import Suite


def executor_for(suite: Suite, jobs: int) -> Executor:
    """The executor that a suite asks for: its cluster, else its number of processes.

    Raises
    ------
    Unavailable
        a cluster is asked for and Dask is not installed.
    """
    if suite.cluster and jobs:
        from benchsep.runner.executors.dask import Cluster

        return Cluster(suite.cluster, suite.timeout)
    workers = suite.jobs or os.cpu_count() or 1
    # A time limit needs a process that can be killed.
    if (workers == 1 or jobs <= 1) and suite.timeout is None:
        return Inline()
    return Pool(workers, suite.timeout)
