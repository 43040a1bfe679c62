"""All targets, one after the other: ``python -m tests.fuzz`` (``make fuzz``).

Guided by coverage where atheris is installed, else by chance. What is found lies in ``runs/fuzz``
and is the start of the next run; a crash fails the command and names the file to keep.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.target import HERE, NAMES
from tests.helpers.environment import ROOT, environment

STARTING_S = 240
"""Seconds that a process may need beside its share of the time: imports, inputs of earlier runs."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="in all, shared by the targets")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "fuzz")
    parser.add_argument("targets", nargs="*", default=list(NAMES), help=", ".join(NAMES))
    arguments = parser.parse_args()
    how = "guided" if find_spec("atheris") else "plain"
    share = arguments.seconds / len(arguments.targets)
    print(f"{how}, {share:.0f} s for each of {', '.join(arguments.targets)}", flush=True)
    return max([run(name, how, arguments.out / name, share) for name in arguments.targets])


def run(name: str, how: str, folder: Path, seconds: float) -> int:
    """One target in a process of its own; 1 if it crashed."""
    began, before = time.monotonic(), set(_crashes(folder))
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", f"tests.fuzz.{how}", name, str(folder), str(seconds)]
    log = folder.with_suffix(".log")
    with log.open("wb") as out:
        try:
            code = subprocess.run(
                command, cwd=ROOT, env=environment(), stdout=out, stderr=out, check=False,
                timeout=seconds + STARTING_S,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            code = -1
    said = log.read_text(errors="replace")
    runs = re.findall(r"Done (\d+) runs|^#(\d+)\t", said, re.MULTILINE)
    done = "".join(runs[-1]) if runs else "0"
    print(f"{name}: {done} inputs in {time.monotonic() - began:.0f} s", flush=True)
    if code == 0:
        return 0
    new = sorted(set(_crashes(folder)) - before) or [folder / "crash-current"]
    print(f"{said[-3000:]}\n{name} crashed (exit code {code}): cure it, then keep the input:")
    for path in filter(Path.exists, new):
        print(f"  cp {path} {HERE.relative_to(ROOT) / 'crashes' / name}/")
    return 1


def _crashes(folder: Path) -> list[Path]:
    return [p for kind in ("crash", "timeout", "oom") for p in folder.glob(f"{kind}-*")]


if __name__ == "__main__":
    sys.exit(main())
