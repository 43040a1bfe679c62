"""Damaged inputs, each in a result or one of our named errors: ``python -m tests.faults.fuzz``.

Every try has its own seed (kind, number), so that one that failed can be repeated alone:
``fuzz.py --kind WAV --only 1234``. The readers run in forked children: a try that crashes its
process, hangs or takes memory is a failure of that try, and the next child goes on after it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
)
os.environ["BENCHSEP_OFFLINE"] = "1"

from tests.faults.inputs import KINDS, Kind

SECONDS = 10
"""A try may take so much CPU time: more, and the kernel ends its process."""
SILENCE = 60.0
"""… and so long on the clock, on a busy machine, if it does nothing at all."""
MEMORY_MB = 400.0
"""… and so much more memory than before it."""
ADDRESS_SPACE = 6 << 30
"""A child that asks for more gets ``MemoryError`` and does not take the machine down."""


def try_one(kind: Kind, seeds: list[bytes], number: int, folder: Path) -> tuple[str, str]:
    """``(outcome, detail)``: read, the name of our error, or FAILED with a traceback."""
    from benchsep.errors import BenchsepError

    rng = random.Random(f"{kind.name}/{number}")
    path = folder / f"input{kind.suffix}"
    data = rng.choice(seeds)
    # One in fifty is left whole: the seeds themselves must be read or refused as well.
    path.write_bytes(data if number % 50 == 0 else kind.damage(data, seeds, rng))
    try:
        kind.read(path)
    except BenchsepError as error:
        return type(error).__name__, str(error)[:300]
    except BaseException:
        return "FAILED", traceback.format_exc(limit=-6)
    return "read", ""


def child(kind: Kind, seeds: list[bytes], numbers: list[int], folder: Path, out: int) -> None:
    """Report each try's number before it and its outcome after it."""
    from benchsep._util.memory import PeakMemory

    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.dup2(devnull, 2)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    for number in numbers:
        os.write(out, f"{number}\n".encode())
        before, began = _resident_mb(), time.process_time()
        until = int(began) + SECONDS + 1
        resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
        with PeakMemory() as memory:
            outcome, detail = try_one(kind, seeds, number, folder)
        line = [number, outcome, detail, time.process_time() - began, memory.peak_mb - before]
        os.write(out, (json.dumps(line) + "\n").encode())
    os._exit(0)


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def campaign(kind: Kind, numbers: list[int], work: Path) -> dict[str, Any]:
    """All tries of a kind."""
    folder = work / "try"
    began = time.process_time()
    seeds = kind.seeds(work)
    _import_readers(kind, seeds[0], work / "warm")
    found: dict[str, Any] = {"tries": 0, "outcomes": Counter(), "failures": [], "slowest": 0.0,
                             "most_mb": 0.0}  # fmt: skip
    left = list(numbers)
    while left:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        done = _drive(kind, seeds, left, folder, found)
        left = left[done:]
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    found["cpu_seconds"] = round(time.process_time() - began + usage.ru_utime, 1)
    return found


def _import_readers(kind: Kind, seed: bytes, folder: Path) -> None:
    """One reading here, so that children are forked from a process with everything imported."""
    folder.mkdir(exist_ok=True)
    (folder / f"input{kind.suffix}").write_bytes(seed)
    with contextlib.suppress(Exception), contextlib.redirect_stderr(io.StringIO()):
        kind.read(folder / f"input{kind.suffix}")
    shutil.rmtree(folder)


def _drive(
    kind: Kind, seeds: list[bytes], numbers: list[int], folder: Path, found: dict[str, Any]
) -> int:
    """One child's life; how many tries it disposed of."""
    into, out = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(into)
        child(kind, seeds, numbers, folder, out)
    os.close(out)
    current, done, rest = -1, 0, b""
    with contextlib.closing(os.fdopen(into, "rb", buffering=0)) as pipe:
        while True:
            ready = select.select([pipe], [], [], SILENCE)[0]
            data = pipe.read(1 << 16) if ready else b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if not line.startswith(b"["):
                    current = int(line)
                    continue
                _count(found, *json.loads(line))
                current, done = -1, done + 1
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if current >= 0:
        why = "hung" if not ready else f"the process ended with {status}"
        why = f"took more than {SECONDS} s of CPU time" if status == -signal.SIGXCPU else why
        _count(found, current, "FAILED", why, 0.0, 0.0)
        done += 1
    return done


def _count(
    found: dict[str, Any], number: int, outcome: str, detail: str, seconds: float, mb: float
) -> None:
    found["tries"] += 1
    if outcome != "FAILED" and mb > MEMORY_MB:
        outcome, detail = "FAILED", f"took {mb:.0f} MB"
    found["outcomes"][outcome] += 1
    found["slowest"] = max(found["slowest"], round(seconds, 3))
    found["most_mb"] = max(found["most_mb"], round(mb, 1))
    if outcome == "FAILED":
        found["failures"].append({"number": number, "detail": detail})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000, help="in all, shared by the kinds")
    parser.add_argument("--kind", help="only this kind")
    parser.add_argument("--only", type=int, help="repeat one try of --kind, in this process")
    arguments = parser.parse_args()
    kinds = [k for k in KINDS if arguments.kind in (None, k.name)]
    share = sum(k.share for k in kinds)
    with tempfile.TemporaryDirectory(prefix="benchsep-fuzz-") as work:
        if arguments.only is not None:
            (Path(work) / "try").mkdir()
            seeds = kinds[0].seeds(Path(work))
            print(*try_one(kinds[0], seeds, arguments.only, Path(work) / "try"), sep="\n")
            return
        result = {}
        before = 0.0
        for kind in kinds:
            numbers = list(range(max(2, round(arguments.tries * kind.share / share))))
            result[kind.name] = campaign(kind, numbers, Path(work))
            total = result[kind.name]["cpu_seconds"]
            result[kind.name]["cpu_seconds"] = round(total - before, 1)
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            print(kind.name, result[kind.name]["tries"], dict(result[kind.name]["outcomes"]),
                  result[kind.name]["cpu_seconds"], file=sys.stderr)  # fmt: skip
        print(json.dumps(result))


if __name__ == "__main__":
    main()
