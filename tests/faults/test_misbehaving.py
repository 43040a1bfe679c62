"""Systems that raise, lie, hang, leak or die: a row with its reason, and the others go on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import benchsep
from benchsep.audio import STEMS, Audio
from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs

MISDEEDS = {
    "raise": "RuntimeError: the model exploded",
    "nan": "NaN or infinite",
    "short": "frames and the mixture",
    "rate": "Hz and the mixture",
    "nothing": "returned dict",
    "list": "returned list",
    "guitar": "returned no such stem",
    "exit": "its worker died",
    "kill": "its worker died",
    "hang": "took more than",
    "leak": "out of memory",
}
PLUGIN = """
import os, resource, signal, time
import numpy as np
from benchsep.audio import STEMS, Audio
from benchsep.systems.contract import SystemInfo

class Bad:
    def __init__(self, mode="fine", device="cpu"):
        self.mode = mode
        self.info = SystemInfo(f"bad-{mode}", "generative", options_in_name=("mode",))

    def separate(self, mixture, *, seed):
        mode, x, rate = self.mode, mixture.samples, mixture.rate
        good = {s: Audio(x / 4, rate) for s in STEMS}
        if mode == "raise":
            raise RuntimeError("the model exploded")
        if mode == "nan":
            return {s: Audio(x * np.nan, rate) for s in STEMS}
        if mode == "short":
            return {s: Audio(x[:, :-1], rate) for s in STEMS}
        if mode == "rate":
            return {s: Audio(x, rate * 2) for s in STEMS}
        if mode == "nothing":
            return {}
        if mode == "list":
            return list(good.values())
        if mode == "guitar":
            return {"guitar": good["other"]}
        if mode == "exit":
            os._exit(7)
        if mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if mode == "hang":
            time.sleep(3600)
        if mode == "leak":
            here = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (here + (300 << 20),) * 2)
            hoard = []
            while True:
                hoard.append(np.ones(1 << 22))
        return good
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> Path:
    """An installed distribution that registers the system ``bad``, as a stranger's would."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "bad_plugin.py").write_text(PLUGIN)
    info = folder / "bad_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[benchsep.systems]\nbad = bad_plugin:Bad\n")
    return folder


def run(plugin: Path, songs: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{songs}",
               "--metrics", "usdr", "--no-yardsticks", "-o", str(out), *options]  # fmt: skip
    return subprocess.run(
        command, env=environment(plugin), capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_misdeed_is_a_row_with_its_reason_and_the_others_go_on(plugin, tmp_path, figures):
    songs = noise_songs(tmp_path / "songs", ("one",))
    systems = ",".join([*(f"bad:mode={mode}" for mode in MISDEEDS), "bad:mode=fine"])
    out = tmp_path / "run"
    done = run(plugin, songs, out, "--systems", systems, "--timeout", "8", "-j", "1")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    frame = benchsep.load_run(out)
    for mode, reason in MISDEEDS.items():
        status = set(frame[frame["system"] == f"bad-{mode}"]["status"])
        # One reason for each stem at most: a stem that breaks the contract fails alone.
        assert 1 <= len(status) <= len(STEMS), (mode, status)
        assert all(s.startswith("failed: ") and reason in s for s in status), (mode, status)
    fine = frame[frame["system"] == "bad-fine"]
    assert len(fine) == len(STEMS) and (fine["status"] == "ok").all()
    assert not (out / "claims").exists()
    figures.update(misdeeds=len(MISDEEDS), rows_with_a_reason=len(MISDEEDS), others_done=1)


def test_the_share_of_failures_decides_the_exit_code(plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(plugin))
    songs = noise_songs(tmp_path / "songs", ("one",))
    for share, too_many in ((None, True), (0.4, True), (0.5, False)):
        result = benchsep.run(
            out=tmp_path / "run", dataset=f"folder:{songs}", metrics=("usdr",), yardsticks=False,
            systems=("bad:mode=fine", "bad:mode=raise"), inline=True, fail_on_error=share,
        )  # fmt: skip
        assert result.too_many_failures == too_many, share


TOLD = "another process is computing"
SLOW = """
import os, shutil, sys, time
os.write(os.open({calls!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY), b"x")
try:
    os.close(os.open({first!r}, os.O_CREAT | os.O_EXCL))
    while not os.path.exists({go!r}):
        time.sleep(0.05)
except FileExistsError:
    pass
shutil.copy(sys.argv[1], sys.argv[2] + "/vocals.wav")
"""
"""The first of its calls lasts until ``go`` is there: until the other run has met its claim."""


def wait_until(happens: Callable[[], bool], seconds: float) -> bool:
    """Whether it happened in time."""
    until = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize("workers", ["-j 1", "--cluster local:2"])
def test_two_writers_do_each_job_once_and_the_second_says_so(tmp_path, sizes, figures, workers):
    """Started together on one folder; a program that logs its calls is the witness."""
    if "cluster" in workers:
        pytest.importorskip("distributed", reason="pip install 'benchsep[cluster]'")
    songs = noise_songs(tmp_path / "songs", ("one", "two", "three"))
    program = tmp_path / "slow.py"
    said = [tmp_path / f"said-{n}" for n in (0, 1)]
    calls, first, go = (tmp_path / name for name in ("calls", "first", "go"))
    program.write_text(SLOW.format(calls=str(calls), first=str(first), go=str(go)))
    command = [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{songs}",
               "--systems", f"cmd:{sys.executable} {program} {{mixture}} {{out}}", "--metrics",
               "usdr", "--stems", "vocals", "--no-yardsticks", *workers.split()]  # fmt: skip
    rounds = sizes(1, 3)
    told = 0
    for number in range(rounds):
        out = tmp_path / f"run-{number}"
        for path in (calls, first, go):
            path.unlink(missing_ok=True)
        with contextlib.ExitStack() as files:
            both = [
                subprocess.Popen([*command, "-o", str(out)], env=environment(),
                                 stdout=subprocess.DEVNULL,
                                 stderr=files.enter_context(path.open("w")))
                for path in said
            ]  # fmt: skip
            told += wait_until(lambda: any(TOLD in path.read_text() for path in said), 300)
            go.touch()
            assert [p.wait() for p in both] == [0, 0], [path.read_text() for path in said]
        assert calls.stat().st_size == 3
        frame = benchsep.load_run(out)
        assert len(frame) == 3 and (frame["status"] == "ok").all()
        assert not (out / "claims").exists()
    assert told
    figures.update(rounds=rounds, jobs=3 * rounds, done_twice=0, told=told)


def test_metrics_answer_when_there_is_nothing_at_all():
    """No reference and no estimate: a status, not StopIteration."""
    from benchsep.metrics.guard import pairing
    from benchsep.metrics.metric import References

    status, _ = pairing(References({}), {}, "vocals")
    assert status.startswith("undefined: the track has no reference")
    audio = Audio.of([0.1, 0.2], 8000)
    assert pairing(References({"vocals": audio}), {}, "vocals")[0].startswith("undefined: the sys")
