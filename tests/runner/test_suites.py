"""Suites that ship are found by name, from any folder; a wrong name is answered with a near one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchsep.errors import UsageError
from benchsep.runner.suite import load_suite
from benchsep.runner.suites import describe, find_ablation, find_suite, shipped_suites


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_every_shipped_suite_is_valid_and_says_what_it_is():
    assert {"demo", "musdb18hq", "musdb18-7s"} <= set(shipped_suites())
    for path in shipped_suites().values():
        assert load_suite(path).systems
        assert describe(path)


def test_a_name_finds_the_shipped_suite_and_a_file_of_that_name_comes_first(tmp_path):
    assert find_suite(Path("demo")) == shipped_suites()["demo"]
    (tmp_path / "demo").mkdir()  # a run folder of the same name is no suite
    assert find_suite(Path("demo")) == shipped_suites()["demo"]
    mine = tmp_path / "mine.yaml"
    mine.write_text("dataset: clip")
    assert find_suite(mine) == mine


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("htdemucs", "is a system, not a suite; did you mean --systems htdemucs?"),
        ("dir:estimates", "did you mean --systems dir:estimates?"),
        ("demoo", "no shipped suite; did you mean 'demo'?"),
        ("configs/demo.yml", "no such suite file; did you mean 'demo'?"),
    ],
)
def test_a_wrong_name_is_answered_with_what_was_meant(name, message):
    with pytest.raises(UsageError) as error:
        find_suite(Path(name))
    assert message in str(error.value)


def test_ablations_have_names_too():
    assert find_ablation(Path("encoder")).name == "encoder.yaml"
    with pytest.raises(UsageError, match="no shipped ablation; did you mean 'encoder'"):
        find_ablation(Path("encodr"))
