"""A system that attacks its process beside good ones: their cells are what they would be.

Every attack runs with ``-j 1`` and ``-j 2``; the cells of the good systems are compared byte for
byte, but for timings, with those of a run without the attacker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import benchsep
from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs

FAILS = {
    "exit-0": "SystemExit: 0",
    "interrupt": "KeyboardInterrupt",
    "generator": "GeneratorExit",
    "base": "Odd: base",
    "str": "its message cannot be shown",
    "surrogate": "RuntimeError: half \\ud800",
    "long": "characters)",
    "segfault": "its worker died (signal SIGSEGV)",
    "os-exit-0": "its worker died (exit code 0)",
    "fork-and-die": "its worker died",
    "close-all": "its worker died",
    "path-key": "returned no such stem",
    "evil-dict": "RuntimeError: evil",
    "chroot": "its worker wrote its record elsewhere",
    "setuid": "its worker could not write",
}
"""Attack to what its cells say."""
WORKS = (
    "chdir", "environment", "umask", "stdout", "close-1", "thread", "torch", "numpy", "warnings",
    "signals", "alarm", "limits", "fork-and-return", "multiprocessing", "replace", "locale", "path",
    "clock", "modules", "trace", "files", "exit-later", "zombies", "timezone", "nice",
)  # fmt: skip
"""Attacks that return good stems: they are results, and nobody else is touched."""
PLUGIN = r'''
import ctypes, os, random, resource, signal, sys, threading, time, warnings
import numpy as np
from benchsep.audio import STEMS, Audio
from benchsep.systems.contract import SystemInfo

class Odd(BaseException): pass
class Mute(Exception):
    def __str__(self): raise SystemExit(0)
class Evil(dict):
    def items(self): raise RuntimeError("evil")

def double(x): return 2 * x

class Good:
    """Needs what the attacker changes: the folder, its environment, torch, numpy, no warnings."""
    def __init__(self, gain="0.5", device="cpu"):
        self.gain = float(gain)
        self.info = SystemInfo("good", "discriminative", options={"gain": gain})

    def separate(self, mixture, *, seed):
        import torch
        scale = torch.full((3,), self.gain).exp().log()[0].item()
        scale = scale * np.fft.rfft(np.ones(4))[0].real / 4
        scale = scale * float(os.environ.get("OMP_NUM_THREADS", "7"))
        return {s: Audio(mixture.samples * np.float32(scale), mixture.rate) for s in STEMS}

class Bad:
    def __init__(self, mode="fine", device="cpu"):
        self.mode = mode
        if mode == "load-exit": sys.exit(0)
        if mode == "load-kill": os.kill(os.getpid(), 9)
        self.info = SystemInfo(f"bad-{mode}", "generative", options_in_name=("mode",))

    def separate(self, mixture, *, seed):
        good = {s: Audio(mixture.samples / 4, mixture.rate) for s in STEMS}
        attack = getattr(self, self.mode.replace("-", "_"), None)
        return attack(mixture, good) or good if attack else good

    def exit_0(self, m, g): sys.exit(0)
    def interrupt(self, m, g): raise KeyboardInterrupt
    def generator(self, m, g): raise GeneratorExit
    def base(self, m, g): raise Odd("base")
    def str(self, m, g): raise Mute
    def surrogate(self, m, g): raise RuntimeError("half \ud800")
    def long(self, m, g): raise RuntimeError("x" * 5_000_000)
    def segfault(self, m, g): ctypes.string_at(0)
    def os_exit_0(self, m, g): os._exit(0)
    def fork_and_die(self, m, g):
        if os.fork() == 0:
            time.sleep(600)
        os.kill(os.getpid(), signal.SIGKILL)
    def fork_and_return(self, m, g): os.fork()
    def close_all(self, m, g): os.closerange(3, 256)
    def close_1(self, m, g):
        try: os.close(1)
        except OSError: pass  # it is closed since the first call
    def path_key(self, m, g): return {os.environ["TARGET"]: g["vocals"], "../../out": g["bass"]}
    def evil_dict(self, m, g): return Evil(g)
    def chdir(self, m, g): os.chdir("/")
    def environment(self, m, g): os.environ.clear(); os.environ["OMP_NUM_THREADS"] = "9"
    def umask(self, m, g): os.umask(0o777)
    def stdout(self, m, g):
        print("NOISE"); os.write(1, b"NOISE\n"); sys.stdout = open(os.devnull, "w")
    def thread(self, m, g): threading.Thread(target=time.sleep, args=(600,)).start()
    def torch(self, m, g):
        import torch
        torch.set_default_dtype(torch.float64); torch.set_num_threads(2)
        torch.set_grad_enabled(False); torch.use_deterministic_algorithms(True)
        torch.set_flush_denormal(True)
    def numpy(self, m, g): np.seterr(all="raise"); np.random.seed(0); random.seed(0)
    def warnings(self, m, g): warnings.simplefilter("error")
    def signals(self, m, g):
        for n in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT): signal.signal(n, signal.SIG_IGN)
    def alarm(self, m, g): signal.setitimer(signal.ITIMER_REAL, 0.2)
    def limits(self, m, g): resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    def multiprocessing(self, m, g):
        import multiprocessing
        multiprocessing.set_start_method("fork", force=True)
        with multiprocessing.Pool(2) as pool: assert pool.map(double, [1, 2]) == [2, 4]
    def replace(self, m, g): np.fft.rfft = lambda *a, **k: np.zeros(3)
    def locale(self, m, g):
        import locale; locale.setlocale(locale.LC_ALL, "C")
    def path(self, m, g): sys.path.clear()
    def chroot(self, m, g): os.chroot(os.environ["EMPTY"])
    def setuid(self, m, g): os.setgroups([]); os.setgid(65534); os.setuid(65534)
    def clock(self, m, g): time.time = time.monotonic = lambda: 0.0
    def modules(self, m, g):
        for name in ("json", "benchsep.runner.store"): sys.modules.pop(name, None)
    def trace(self, m, g):
        def trace(*_): raise RuntimeError("trace")
        sys.setprofile(None); threading.settrace(trace); sys.setrecursionlimit(80)
    def files(self, m, g):
        try:
            while True: os.dup(2)
        except OSError: pass
    def exit_later(self, m, g):
        import atexit; atexit.register(os._exit, 3)
    def zombies(self, m, g):
        for _ in range(20):
            if os.fork() == 0: os._exit(0)
    def timezone(self, m, g): os.environ["TZ"] = "Pacific/Kiritimati"; time.tzset()
    def nice(self, m, g): os.nice(1)
'''
QUICK = ("exit-0", "str", "fork-and-die", "long", "path-key", "chdir", "stdout", "replace",
         "setuid", "files")  # fmt: skip
AS_ROOT = ("chroot", "setuid")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed distribution that registers the systems ``good`` and ``bad``."""
    folder = tmp_path_factory.mktemp("attacks")
    (folder / "attack_plugin.py").write_text(PLUGIN)
    info = folder / "attack_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: attack-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[benchsep.systems]\nbad = attack_plugin:Bad\ngood = attack_plugin:Good\n"
    )
    return folder


def run(plugin: Path, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``benchsep run`` in the folder ``work``, with songs beside it and a relative ``-o``."""
    command = [sys.executable, "-m", "benchsep", "run", "--dataset", "folder:songs", "--metrics",
               "usdr", "--no-yardsticks", *options]  # fmt: skip
    work.mkdir(exist_ok=True)
    noise_songs(work / "songs", ("one", "two"))
    (work / "empty").mkdir(exist_ok=True)
    target = {"TARGET": str(work / "escaped"), "EMPTY": str(work / "empty")}
    return subprocess.run(
        command, cwd=work, env={**environment(plugin), **target}, capture_output=True, text=True,
        check=False, timeout=3000,
    )  # fmt: skip


def cells(run_folder: Path, *systems: str) -> dict[str, str]:
    """The records of systems as text, without what differs between any two runs."""
    found = {}
    for path in sorted((run_folder / "cells").rglob("*.json")):
        content = json.loads(path.read_text())
        if content["system"].startswith(systems):
            del content["checksum"], content["stamp"]  # of file times
            for part in (*content["cells"], *content["draws"].values()):
                for name in ("seconds", "peak_memory_mb", "session"):
                    part.pop(name, None)
            found[path.name + content["system"]] = json.dumps(content)
    return found


GOOD = "good:gain=0.5,good:gain=0.25"


@pytest.fixture(scope="module")
def expected(plugin, tmp_path_factory) -> dict[str, str]:
    work = tmp_path_factory.mktemp("alone")
    done = run(plugin, work, "--systems", GOOD, "-o", "out")
    assert done.returncode == 0, done.stderr
    return cells(work / "out", "good")


@pytest.mark.parametrize("workers", [["-j", "1"], ["-j", "2"]], ids=" ".join)
def test_no_attack_moves_the_cells_of_the_others(
    plugin, expected, tmp_path, sizes, figures, workers
):
    chosen = [m for m in (*FAILS, *WORKS) if m in QUICK or sizes(0, 1)]
    chosen = [m for m in chosen if os.geteuid() == 0 or m not in AS_ROOT]
    systems = ",".join(f"bad:mode={mode}" for mode in chosen) + f",{GOOD}"
    done = run(plugin, tmp_path, "--systems", systems, *workers, "-o", "out", "--format", "json")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert cells(tmp_path / "out", "good") == expected
    json.loads(done.stdout)
    frame = benchsep.load_run(tmp_path / "out")
    for mode in chosen:
        status = set(frame[frame["system"] == f"bad-{mode}"]["status"])
        if mode in FAILS:
            assert all(s.startswith("failed: ") for s in status), (mode, status)
            assert any(FAILS[mode] in s for s in status), (mode, status)
        else:
            assert status == {"ok"}, (mode, status)
    assert not (tmp_path / "escaped").exists() and not (tmp_path / "out" / "claims").exists()
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*.json")) < 2_000_000
    figures.update(attacks=len(chosen), cells_moved=0)


@pytest.mark.parametrize("mode", ["load-exit", "load-kill"])
def test_a_system_that_ends_its_process_while_loading_is_named(plugin, tmp_path, mode):
    done = run(plugin, tmp_path, "--systems", f"bad:mode={mode},{GOOD}", "-j", "1", "-o", "out")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"bad:mode={mode} cannot be loaded" in done.stderr


def test_inline_runs_in_the_process_and_survives_what_can_be_caught(plugin, expected, tmp_path):
    modes = ("exit-0", "chdir", "stdout", "base")
    systems = ",".join(f"bad:mode={mode}" for mode in modes) + f",{GOOD}"
    done = run(plugin, tmp_path, "--systems", systems, "--inline", "-o", "out", "--format", "json")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    json.loads(done.stdout)
    assert cells(tmp_path / "out", "good") == expected
