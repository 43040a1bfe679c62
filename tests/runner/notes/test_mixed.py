"""Values of several versions of a metric or of a system in one table are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio
from benchsep.cli.app import app
from benchsep.metrics.metric import Score, ValueTraits
from benchsep.runner.frame import load_cells_and_costs
from benchsep.runner.notes.mixed import mixed_systems, mixed_versions
from benchsep.runner.notes.said import warnings_of
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo
from tests.helpers.noise import noise_songs


class Clipped:
    """A system with weights."""

    weights = 0.05

    def __init__(self, device: str = "cpu") -> None:
        sha256 = str(self.weights)
        self.info = SystemInfo("clipped", "discriminative", checkpoint_sha256=sha256)

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        limit = float(self.info.checkpoint_sha256)
        return {s: Audio(np.clip(mixture.samples, -limit, limit), mixture.rate) for s in STEMS}


class Constant:
    """A metric with weights."""

    name, version, rate, channels, domain = "constant", "1", None, "any", "any"
    values = (ValueTraits("", +1, "dB", None, None),)
    default_stems, default, licence, source = STEMS, None, "", ""
    weights = 1.0

    def settings(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def available(self) -> str:
        return ""

    def score_track(self, references: Any, estimates: Any, stems: tuple[str, ...]) -> Any:
        return {stem: {"": Score(self.weights)} for stem in stems}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs in one folder."""
    monkeypatch.setitem(registry._local["system"], "clipped", Clipped)
    monkeypatch.setitem(registry._local["metric"], "constant", Constant())
    songs = noise_songs(tmp_path / "songs", ("one", "two", "three"), seconds=0.5)

    def again(*systems: str, metric: str = "usdr", **more: Any) -> list[str]:
        asked = {"metrics": [metric], "yardsticks": False, "inline": True, **more}
        out = tmp_path / "run"
        benchsep.run(out=out, systems=systems, dataset=f"folder:{songs}", **asked)
        said = warnings_of(*load_cells_and_costs(out), Store(out).manifest())
        shown = CliRunner().invoke(app, ["show", str(out), "--format", "md", "--all"]).stdout
        assert all(" ".join(text.split()) in " ".join(shown.split()) for text in said)
        return said

    return again


def test_songs_of_other_weights_in_one_row_are_named(run: Any, monkeypatch: Any) -> None:
    assert run("clipped") == []
    monkeypatch.setattr(Clipped, "weights", 0.08)
    assert run("clipped", limit=1) == []
    (said,) = run("mixture")
    assert said.startswith("clipped: its songs have values of 2 versions (2 songs, 1 song): ")
    assert run("clipped") == []


def test_values_of_other_weights_of_a_metric_in_one_column_are_named(
    run: Any, monkeypatch: Any
) -> None:
    assert run("clipped", "mixture", metric="constant") == []
    monkeypatch.setattr(Constant, "weights", 2.0)
    (said,) = run("mixture", metric="constant")
    assert said.startswith("constant: One column has values of 2 settings of the metric: ")
    assert "(clipped; mixture)" in said
    assert run("clipped", "mixture", metric="constant") == []


def test_of_two_versions_only_the_version_is_named_and_imports_are_left_out() -> None:
    cells = pd.DataFrame(
        {
            "system": ["a", "b", "c"], "metric": "m", "track": "one",
            "metric_version": ["1", "2", "3"], "metric_id": ["x", "y", None],
            "value": [1.0, 1.0, 1.0],
        }
    )  # fmt: skip
    assert mixed_versions(cells, {"c"})["m"].startswith(
        "One column has values of 2 versions of the metric (1: a; 2: b). "
    )
    assert mixed_versions(cells.drop(columns=["metric_id"]), {"b", "c"}) == {}
    assert mixed_versions(cells.assign(metric_version="1", value=[1.0, np.nan, 1.0])) == {}
    assert mixed_systems(cells, pd.DataFrame({"system": ["a"], "track": ["one"]})) == []
