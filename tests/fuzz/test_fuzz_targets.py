"""Every kept input ends in a result or in one of our errors, and so do some damaged ones."""

from __future__ import annotations

import itertools
import time

import pytest

from benchsep.errors import UsageError
from benchsep.systems.grammar import split_specs
from benchsep.systems.spec import Spec
from tests.fuzz.plain import tries
from tests.fuzz.target import HERE, NAMES, Crash, Target, attempt, inputs, load_target, warm

MUTATIONS = 25
LARGEST_CORPUS = 20_000
"""Bytes of the inputs of one target."""


@pytest.mark.filterwarnings("ignore")  # of pandas and numpy about what damaged tables hold
@pytest.mark.parametrize("name", NAMES)
def test_kept_and_damaged_inputs_end_in_a_result_or_a_named_error(name, tmp_path):
    target = load_target(name)
    warm(target, name, tmp_path)
    kept = len(inputs(name, "corpus")) + len(inputs(name, "crashes"))
    outcomes = [
        attempt(target, data, tmp_path)
        for data in itertools.islice(tries(name, target), kept + MUTATIONS)
    ]
    assert "read" in outcomes  # else the corpus is of no use


@pytest.mark.parametrize("name", NAMES)
def test_a_corpus_is_small_and_every_target_has_one(name):
    found = inputs(name, "corpus")
    assert 0 < sum(map(len, found.values())) < LARGEST_CORPUS
    assert all(
        path.name in NAMES for kind in ("corpus", "crashes") for path in (HERE / kind).iterdir()
    )


def _spin(data, folder):
    until = time.process_time() + 20
    while time.process_time() < until:
        pass


def _grow(data, folder):
    return len(bytearray(100 << 20).replace(b"\0", b"\1"))


def _ours(data, folder):
    raise UsageError("ours")


def _foreign(data, folder):
    raise KeyError("foreign")


def test_a_crash_is_seen_whatever_its_kind(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.fuzz.target.SECONDS", 0.1)
    monkeypatch.setattr("tests.fuzz.target.MEMORY_MB", 40.0)
    for read, error in ((_spin, Crash), (_grow, Crash), (_foreign, KeyError)):
        with pytest.raises(error):
            attempt(Target(read), b"", tmp_path)
    assert attempt(Target(_ours), b"", tmp_path) == "UsageError"


def test_a_list_of_many_systems_is_read_at_once():
    began = time.process_time()
    specs = split_specs(",".join(f"s{n}=dir:p{n}" for n in range(300)))
    assert [str(Spec.parse(spec)) for spec in specs] == list(specs)
    assert time.process_time() - began < 1
