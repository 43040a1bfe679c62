"""The same work again and again, disturbed at random: ``make soak``.

A round: a run of three songs and three systems starts, and at random moments something happens to
it: kill -9, SIGTERM, SIGSTOP and SIGCONT, a record cut short, a flipped bit, a second run beside
it. Then it is started once more and must end with the cells of an undisturbed run, bit by bit, and
leave neither claims nor partial files.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.test_killed import cells, check_clean, suite
from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs

LONGEST_S = 300.0
"""A run that takes longer than this, on a busy machine, hangs."""


class Soak:
    """One soak: its songs, its undisturbed run, and what has been done so far."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng, self.done = folder, random.Random(seed), Counter[str]()
        songs = noise_songs(folder / "songs", ("one", "two", "three"))
        self.suite = suite(folder, songs)
        began = time.monotonic()
        assert self.start(folder / "whole").wait(LONGEST_S) == 0
        self.seconds = time.monotonic() - began
        self.expected = cells(folder / "whole")

    def start(self, run: Path) -> subprocess.Popen[bytes]:
        jobs = str(self.rng.choice((1, 2)))
        command = [sys.executable, "-m", "benchsep", "run", str(self.suite), "-j", jobs]
        with (self.folder / "log").open("wb") as log:
            return subprocess.Popen([*command, "-o", str(run)], env=environment(), stdout=log,
                                    stderr=log)  # fmt: skip

    def round(self, number: int) -> None:
        run = self.folder / f"run-{number}"
        for _ in range(self.rng.randint(1, 4)):
            process = self.start(run)
            self.disturb(process, run)
            process.kill()
            process.wait()
        process = self.start(run)
        assert process.wait(LONGEST_S) == 0, (self.folder / "log").read_text()
        assert cells(run) == self.expected, f"round {number}: other cells"
        check_clean(run)
        subprocess.run(["rm", "-r", str(run)], check=True)
        self.done["rounds"] += 1

    def disturb(self, process: subprocess.Popen[bytes], run: Path) -> None:
        time.sleep(self.rng.uniform(0, self.seconds))
        what = self.rng.choice(("kill", "term", "stop", "cut", "flip", "second"))
        self.done[what] += 1
        if what == "term":
            process.terminate()
            process.wait(LONGEST_S)
        elif what == "stop":
            process.send_signal(signal.SIGSTOP)
            time.sleep(self.rng.uniform(0, 2))
            process.send_signal(signal.SIGCONT)
            process.wait(LONGEST_S)
        elif what in ("cut", "flip"):
            self.damage(run, what)
        elif what == "second":
            second = self.start(run)
            time.sleep(self.rng.uniform(0, self.seconds))
            second.kill()
            second.wait()

    def damage(self, run: Path, how: str) -> None:
        records = sorted((run / "cells").rglob("*.json"))
        if not records:
            return
        path = self.rng.choice(records)
        data = bytearray(path.read_bytes())
        at = self.rng.randrange(len(data))
        if how == "flip":
            data[at] ^= 1 << self.rng.randrange(8)
        path.write_bytes(data[:at] if how == "cut" else data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    until = time.monotonic() + arguments.seconds
    with tempfile.TemporaryDirectory(prefix="benchsep-soak-") as folder:
        soak = Soak(Path(folder), arguments.seed)
        number = 0
        while time.monotonic() < until:
            soak.round(number)
            number += 1
            print(dict(soak.done), flush=True)
    print(f"no difference in {soak.done['rounds']} rounds: {dict(soak.done)}")


if __name__ == "__main__":
    main()
