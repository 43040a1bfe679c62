"""A real scheduler and two real workers on this machine: same bytes, lost workers, parted jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import benchsep
from benchsep.errors import Unavailable, UsageError
from benchsep.runner.executors.local import Inline, Pool
from benchsep.runner.executors.select import executor_for
from benchsep.runner.suite import Suite
from tests.helpers.noise import noise_songs

distributed = pytest.importorskip("distributed", reason="pip install 'benchsep[cluster]'")

PATIENCE = 300.0
"""Seconds that a test waits for processes to come up on a loaded machine."""

SLOW = """\
import pathlib, os, shutil, sys, time
mixture, out, marks = map(pathlib.Path, sys.argv[1:4])
(marks / f"{os.getppid()}-{os.getpid()}").touch()
while (marks / "hold").exists():
    time.sleep(0.02)
for stem in ("vocals", "drums", "bass", "other"):
    shutil.copy(mixture, out / f"{stem}.wav")
"""
"""A system that says which worker runs it, and lasts while the test wants it to."""


class DaskProcesses:
    """``dask scheduler`` and ``dask worker`` as a user starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", self.file)
        _until(self.file.is_file)

    def worker(self, *words: str) -> subprocess.Popen:
        return self._start(
            "worker", "--scheduler-file", self.file, "--nthreads", "1", "--no-dashboard",
            "--memory-limit", "0", "--local-directory", self.folder, *words,
        )  # fmt: skip

    def _start(self, *words: object) -> subprocess.Popen:
        command = [f"distributed.cli.dask_{words[0]}", *map(str, words[1:])]
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *command],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def client(self) -> distributed.Client:
        return distributed.Client(scheduler_file=str(self.file), set_as_default=False)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _until(condition, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def dask(tmp_path_factory) -> Iterator[DaskProcesses]:
    """A scheduler with two workers, which their nannies replace when they die."""
    processes = DaskProcesses(tmp_path_factory.mktemp("dask"))
    try:
        processes.worker()
        processes.worker()
        with processes.client() as client:
            client.wait_for_workers(2, timeout=PATIENCE)
        yield processes
    finally:
        processes.stop()


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    return noise_songs(tmp_path / "songs", ("one", "two"), seconds=0.1, rate=44_100)


@pytest.fixture
def slow(tmp_path: Path) -> tuple[str, Path]:
    """The spec of :data:`SLOW`, and the folder of its marks."""
    marks = tmp_path / "marks"
    marks.mkdir()
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    return f"cmd:{sys.executable} {program} {{mixture}} {{out}} {marks}", marks


def _run(songs: Path, out: Path, **options):
    defaults = {
        "dataset": f"folder:{songs}",
        "systems": ("mixture", "oracle-irm"),
        "metrics": ("usdr", "sisdr"),
        "yardsticks": False,
    }
    return benchsep.run(out=out, **{**defaults, **options})


def _table(run: Path) -> str:
    return benchsep.load_run(run).drop(columns=["seconds"]).to_csv(index=False)


def _pids(marks: Path) -> list[int]:
    return sorted(int(p.name.split("-")[0]) for p in marks.iterdir() if p.name != "hold")


def _workers(dask: DaskProcesses) -> set[str]:
    """Identities: a worker that is replaced has another one."""
    with dask.client() as client:
        return {worker["id"] for worker in client.scheduler_info()["workers"].values()}


def test_one_core_a_pool_and_a_cluster_give_the_same_bytes(songs, tmp_path, dask, slow):
    systems = ("mixture", "oracle-irm", slow[0])
    kinds = {
        "inline": {"inline": True},
        "pool": {"jobs": 2},
        "cluster": {"cluster": f"file:{dask.file}"},
    }
    for name, options in kinds.items():
        result = _run(songs, tmp_path / name, systems=systems, **options)
        assert len(result.outcomes) == 6 and not result.failed
    tables = {_table(tmp_path / name) for name in kinds}
    assert len(tables) == 1
    assert not (tmp_path / "cluster" / "claims").exists()


def test_gpu_workers_separate_and_the_others_score(songs, tmp_path, dask, slow):
    spec, marks = slow
    extra = dask.worker("--resources", "GPU=1", "--no-nanny")
    _until(lambda: len(_workers(dask)) == 3)

    def references_used() -> tuple[int, bool]:  # here, so that it travels by value
        from benchsep.runner.executors.base import _last_track

        return os.getpid(), any(track.references.cache for track in _last_track.values())

    _run(songs, tmp_path / "run", systems=(spec, "mixture"), cluster=f"file:{dask.file}")
    with dask.client() as client:
        has_gpu = {a: w["resources"] for a, w in client.scheduler_info()["workers"].items()}
        found = client.run(references_used)
    extra.terminate()
    (gpu_worker,) = [pid for address, (pid, _) in found.items() if has_gpu[address]]
    assert _pids(marks) == [gpu_worker] * 2
    assert {used for pid, used in found.values() if pid == gpu_worker} == {False}
    assert any(used for pid, used in found.values() if pid != gpu_worker)
    _run(songs, tmp_path / "inline", systems=(spec, "mixture"), inline=True)
    assert _table(tmp_path / "run") == _table(tmp_path / "inline")
    _until(lambda: len(_workers(dask)) == 2)


def test_the_jobs_of_a_killed_worker_run_elsewhere(songs, tmp_path, dask, slow):
    spec, marks = slow
    (marks / "hold").touch()
    results = []

    def run() -> None:
        results.append(_run(songs, tmp_path / "run", systems=(spec,), cluster=f"file:{dask.file}"))

    thread = threading.Thread(target=run)
    thread.start()
    _until(lambda: len(_pids(marks)) == 2)  # each worker is in the middle of a job
    victim, survivor = _pids(marks)
    os.kill(victim, signal.SIGKILL)
    _until(lambda: not Path(f"/proc/{victim}").exists())
    (marks / "hold").unlink()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    pids = _pids(marks)
    assert len(pids) == 3 and pids.count(victim) == 1 and survivor in pids
    assert len(results[0].outcomes) == 2 and not results[0].failed
    _run(songs, tmp_path / "inline", systems=(spec,), inline=True)
    assert _table(tmp_path / "run") == _table(tmp_path / "inline")


def test_two_clients_on_one_folder_make_each_cell_once(songs, tmp_path, dask, slow):
    """Each with a connection, a plan and claims of its own, as two machines have."""
    spec, marks = slow
    options = {"systems": (spec,), "metrics": ("usdr",), "cluster": f"file:{dask.file}"}
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(_run, songs, tmp_path / "run", **options) for _ in range(2)]
        outcomes = [o for client in both for o in client.result(PATIENCE).outcomes]
    assert len(_pids(marks)) == 2  # each track was separated once
    assert sorted(o.track for o in outcomes) == ["one", "two"]
    assert not any(o.failed for o in outcomes)
    frame = benchsep.load_run(tmp_path / "run")
    assert not frame.duplicated(["system", "track", "stem", "metric", "draw"]).any()
    assert len(frame) == 2 * 4 and set(frame["status"]) == {"ok"}


def test_a_job_that_takes_too_long_is_a_row_and_its_worker_comes_back(songs, tmp_path, dask, slow):
    spec, marks = slow
    options = {"metrics": ("usdr",), "cluster": f"file:{dask.file}"}
    # The first job in a process pays for its imports; the limit here is shorter than those.
    _run(songs, tmp_path / "warm", systems=("mixture",), **options)
    (marks / "hold").touch()
    before = _workers(dask)
    systems = (spec, "mixture")
    result = _run(songs, tmp_path / "run", systems=systems, limit=1, timeout=2.0, **options)
    (marks / "hold").unlink()
    status = result.cells().set_index("system")["status"]
    assert (status["mixture"] == "ok").all()
    assert status[status.index != "mixture"].str.contains("took more than 2 s").all()
    _until(lambda: len(_workers(dask)) == 2 and _workers(dask) != before)


def test_a_job_that_kills_its_workers_is_a_row(songs, tmp_path, dask, monkeypatch):
    monkeypatch.setattr("benchsep.runner.executors.dask.MAY_LOSE", 1)
    systems = ("mixture", "cmd:sh -c 'kill -9 $PPID' {mixture} {out}")
    options = {"metrics": ("usdr",), "cluster": f"file:{dask.file}", "limit": 1}
    status = _run(songs, tmp_path / "run", systems=systems, **options).cells()
    status = status.set_index("system")["status"]
    assert (status["mixture"] == "ok").all()
    assert status["cmd:sh"].str.contains(r"its worker died \(2 times\)").all()


def test_the_executor_is_chosen_by_the_suite():
    assert isinstance(executor_for(Suite(jobs=1)), Pool)
    assert isinstance(executor_for(Suite(jobs=3, timeout=1.0)), Pool)
    assert isinstance(executor_for(Suite(inline=True)), Inline)
    with pytest.raises(UsageError, match="time limit needs worker processes"):
        executor_for(Suite(inline=True, timeout=1.0))


def test_a_cluster_without_dask_says_how_to_get_it(songs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Unavailable, match=r"pip install 'benchsep\[cluster\]'"):
        _run(songs, tmp_path / "run", cluster="tcp://127.0.0.1:1")


def test_a_scheduler_file_that_is_not_there_is_named(songs, tmp_path):
    with pytest.raises(Unavailable, match=r"nowhere\.json"):
        _run(songs, tmp_path / "run", cluster=f"file:{tmp_path / 'nowhere.json'}")


@pytest.mark.parametrize("address", ["localhost", "local:0", "local:x", "8786"])
def test_what_is_no_address_is_refused_before_anything_starts(address):
    with pytest.raises(UsageError, match="expected tcp://"):
        benchsep.run(out="nowhere", cluster=address)
