"""One target without atheris: ``python -m tests.fuzz.plain NAME FOLDER SECONDS``.

Its corpus and crashes as they are, then damaged at random (:mod:`tests.faults.mutate`) until the
time is over. Seeded: try N of a target is the same on every machine.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from tests.faults.mutate import damaged_bytes
from tests.fuzz.target import Target, attempt, inputs, load_target, warm


def tries(name: str, target: Target) -> Iterator[bytes]:
    """The kept inputs, then damaged ones without end."""
    seeds = [*inputs(name, "corpus").values(), *inputs(name, "crashes").values()]
    yield from seeds
    number = 0
    while True:
        rng = random.Random(f"{name}/{number}")
        made = damaged_bytes(rng.choice(seeds), seeds, rng)
        if rng.random() < 0.5:
            at = rng.randrange(len(made) + 1)
            made = made[:at] + rng.choice(target.tokens) + made[at + rng.randrange(9) :]
        yield made
        number += 1


def main() -> None:
    name, found, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    warnings.simplefilter("ignore")
    target, done, until = load_target(name), 0, time.monotonic() + seconds
    found.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchsep-fuzz-") as folder:
        warm(target, name, Path(folder))
        for done, data in enumerate(tries(name, target), 1):  # noqa: B007
            current = found / "crash-current"
            current.write_bytes(data)
            attempt(target, data, Path(folder))
            current.unlink()
            if time.monotonic() > until:
                break
    print(f"Done {done} runs without atheris", file=sys.stderr)


if __name__ == "__main__":
    main()
