"""A manifest with an entry of another type is refused by name, or read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import benchsep
from benchsep.errors import BenchsepError, StoreError
from benchsep.report.run import load
from benchsep.runner.frame import load_costs, load_run
from benchsep.runner.info import info_to_json
from benchsep.runner.manifest_types import ENTRIES, OBJECTS, manifest_problem
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo

WRONG: tuple[Any, ...] = (1.5, "x", None, True, [1], {"a": 1}, {"a": {}})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    benchsep.run(systems=["mixture"], metrics=["usdr"], dataset="clip", yardsticks=False,
                 jobs=1, inline=True, out=root)  # fmt: skip
    return root


@pytest.mark.parametrize("entry", [*OBJECTS, *ENTRIES, "imported"])
def test_an_entry_of_another_type_is_named_or_harmless(run, entry):
    store, whole = Store(run), Store(run).manifest()
    section, dot, key = entry.partition(".")
    try:
        for value in WRONG:
            changed = json.loads(json.dumps(whole))
            if dot:
                changed[section][key] = value
            else:
                changed[section] = value
            store.write_manifest(changed)
            problem = manifest_problem(changed)
            assert not problem or problem.startswith(entry.partition(".")[0])
            try:
                load_run(run), load_costs(run)
                if not problem:
                    assert load(run, intervals=False).tables
            except BenchsepError as error:
                assert problem in str(error)
            else:
                assert not problem, (entry, value)
    finally:
        store.write_manifest(whole)


def test_what_a_run_writes_has_no_problem(run):
    assert manifest_problem(Store(run).manifest()) == ""
    assert manifest_problem({}) == "", "manifests of older versions have fewer entries"


def test_a_description_of_a_system_is_one(tmp_path):
    good = info_to_json(SystemInfo("x", "generative"))
    assert manifest_problem({"systems": {"x": {"info": good}}}) == ""
    for wrong in (None, 3, [], {}, {"name": "x"}, {"name": "x", "family": 3, "stems": 4}):
        Store(tmp_path).write_manifest({"systems": {"x": {"info": wrong}}})
        with pytest.raises(StoreError, match=r"systems\.x\.info is no description"):
            Store(tmp_path).manifest()
