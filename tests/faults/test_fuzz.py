"""Damaged inputs end in a result or one of our named errors: 10,000 in the long form."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.faults.inputs import KINDS
from tests.helpers.environment import environment


def test_damaged_inputs_end_in_a_result_or_a_named_error(sizes, figures):
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.fuzz", "--tries", str(sizes(120, 10_000))],
        env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert set(found) == {kind.name for kind in KINDS}
    assert sum(kind["tries"] for kind in found.values()) >= sizes(120, 10_000) - len(KINDS)
    failures = [(name, f) for name, kind in found.items() for f in kind["failures"]]
    assert not failures, failures[:3]
    # What is never refused, or never read, was not tested.
    for name, kind in found.items():
        assert len(kind["outcomes"]) > 1 or kind["tries"] < 30 or name in EVERY_READER, name
    figures.update(kinds=found)


EVERY_READER = ("safetensors", "pickles (.th, .ckpt)", "model configurations")
"""These go through several readers, each of which answers; the try itself is always ``read``."""


SELF_TEST = """
import json, os, sys, tempfile
from pathlib import Path
import benchsep._util.memory, tokensep.errors
from tests.faults import fuzz
from tests.faults.inputs import Kind

def misbehave(path):
    what = path.read_bytes()
    if what == b"raise":
        raise KeyError("not ours")
    if what == b"crash":
        os._exit(5)
    if what == b"grow":
        return len(bytearray(b"x") * (60 << 20))
    return what

fuzz._import_readers, fuzz.MEMORY_MB = lambda *_: None, 50
found = {}
for content in ("raise", "crash", "grow", "fine"):
    kind = Kind("x", 1, ".x", lambda work: [content.encode()], misbehave, lambda d, o, r: d)
    found[content] = fuzz.campaign(kind, [1, 2], Path(sys.argv[1]))
print(json.dumps(found))
"""


def test_the_fuzzer_sees_what_it_should(tmp_path):
    """A reader that leaks, crashes or raises a foreign error is a failure, by name."""
    done = subprocess.run(
        [sys.executable, "-c", SELF_TEST, str(tmp_path)],
        env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    for content, word in (("raise", "KeyError"), ("crash", "ended with 5"), ("grow", "MB")):
        assert found[content]["tries"] == len(found[content]["failures"]) == 2, found[content]
        assert all(word in f["detail"] for f in found[content]["failures"])
    assert found["fine"]["tries"] == 2 and not found["fine"]["failures"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damage_is_repeatable(kind, tmp_path):
    import random

    if kind.suffix in (".stem.mp4", ".json", ".safetensors"):
        pytest.skip("its seeds take longer to make than they tell")
    seeds = kind.seeds(tmp_path)
    one, two = (kind.damage(seeds[0], seeds, random.Random(3)) for _ in range(2))
    assert one == two
