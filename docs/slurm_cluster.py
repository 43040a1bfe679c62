"""A Dask cluster from Slurm jobs, for ``benchsep run --cluster file:scheduler.json``.

    python docs/slurm_cluster.py --cpu-jobs 4 --gpu-jobs 2 --scheduler-file scheduler.json

Needs ``pip install 'benchsep[cluster]' dask-jobqueue``. Runs until it is interrupted; the jobs end
with it. Each CPU job is one node's share of ``--cores`` single-threaded workers, each GPU job one
worker that declares the resource ``GPU``, so that GPUs separate and CPUs score.
"""

from __future__ import annotations

import argparse
import signal

from dask_jobqueue.slurm import SLURMCluster, SLURMJob


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu-jobs", type=int, default=1)
    parser.add_argument("--gpu-jobs", type=int, default=0)
    parser.add_argument("--cores", type=int, default=16, help="workers in a CPU job")
    parser.add_argument("--memory", default="48GB", help="of a CPU job; 3 GB a worker is ample")
    parser.add_argument("--gpu-memory", default="16GB", help="main memory of a GPU job")
    parser.add_argument("--queue", help="partition of the CPU jobs")
    parser.add_argument("--gpu-queue", help="partition of the GPU jobs")
    parser.add_argument("--account")
    parser.add_argument("--walltime", default="04:00:00")
    parser.add_argument("--scheduler-file", default="scheduler.json")
    return parser.parse_args()


def main() -> None:
    o = options()
    cluster = SLURMCluster(
        queue=o.queue,
        account=o.account,
        walltime=o.walltime,
        cores=o.cores,
        processes=o.cores,  # one thread each
        memory=o.memory,
        scheduler_options={"scheduler_file": o.scheduler_file},
    )
    cluster.scale(jobs=o.cpu_jobs)
    gpus = [
        SLURMJob(
            cluster.scheduler_address,
            name=f"benchsep-gpu-{number}",
            queue=o.gpu_queue or o.queue,
            account=o.account,
            walltime=o.walltime,
            cores=1,
            processes=1,
            memory=o.gpu_memory,
            job_extra_directives=["--gres=gpu:1"],
            worker_extra_args=["--resources", "GPU=1"],
        )
        for number in range(o.gpu_jobs)
    ]
    for job in gpus:
        cluster.sync(job.start)
    print(f"scheduler at {cluster.scheduler_address}, also in {o.scheduler_file}", flush=True)
    try:
        signal.pause()
    finally:
        for job in gpus:
            cluster.sync(job.close)
        cluster.close()


if __name__ == "__main__":
    main()
