"""The examples of the guides work as they are printed."""

import re
from pathlib import Path
from typing import Any

import pytest

import benchsep
from benchsep import registry
from benchsep.metrics.catalog import traits_of_columns
from tests.helpers.harness import CHECKS, Bench

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted(GUIDES.glob("add-*.md")))


def example(file: str) -> dict[str, Any]:
    """The names that the Python block under the file's name defines."""
    match = re.search(rf"`{re.escape(file)}`:\n```python\n(.*?)```", TEXT, re.DOTALL)
    assert match, f"no guide shows {file}"
    names: dict[str, Any] = {"__name__": "example"}
    exec(match[1], names)
    return names


def test_the_example_system_and_dataset_run_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = {**registry._local["system"], "quarter": example("quarter/quarter.py")["Quarter"]}
    monkeypatch.setitem(registry._local, "system", local)
    local = {**registry._local["dataset"], "tones": example("tones/tones.py")["Tones"]}
    monkeypatch.setitem(registry._local, "dataset", local)

    result = benchsep.run(
        out=tmp_path,
        dataset="tones",
        systems=("quarter:gain=0.3",),
        metrics=("usdr",),
        yardsticks=False,
        inline=True,
    )

    frame = result.cells()
    assert set(frame["system"]) == {"quarter[gain=0.3]"}
    assert set(frame["track"]) == {"low", "high"}
    assert (frame["status"] == "ok").all() and len(frame) == 2 * 4


def test_the_example_metric_keeps_the_contract_and_its_traits_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip: Any
) -> None:
    metric = example("crest/crest.py")["Crest"]
    bench = Bench.of(clip)
    for check in CHECKS.values():
        check(metric(), bench)

    local = {**registry._local["metric"], "crest": metric}
    monkeypatch.setitem(registry._local, "metric", local)
    result = benchsep.run(
        out=tmp_path,
        dataset="clip",
        systems=("mixture",),
        metrics=("crest", "usdr"),
        yardsticks=False,
        inline=True,
    )
    frame = result.cells()
    assert set(frame["metric"]) == {"crest", "usdr"} and (frame["status"] == "ok").all()
    assert traits_of_columns(["crest"])["crest"].tie_margin == 0.5
