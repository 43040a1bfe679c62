"""A system that says it cannot run here: a row with the reason, no failure, tried when it can."""

from __future__ import annotations

from pathlib import Path

import pytest

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio
from benchsep.errors import Unavailable
from benchsep.report.run import load
from benchsep.systems.contract import SystemInfo
from tests.helpers.noise import noise_songs

REASON = "no weights: fetch them"


class Optional:
    """Its weights are here or not, as a test says."""

    here = False
    calls = 0

    def __init__(self, device: str = "cpu") -> None:
        sha256, reason = ("ab" * 32, "") if self.here else ("", REASON)
        self.info = SystemInfo(
            "optional", "discriminative", checkpoint_sha256=sha256, unavailable=reason
        )

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        type(self).calls += 1
        if not self.here:
            raise Unavailable(REASON)
        return {s: Audio(mixture.samples / 4, mixture.rate) for s in STEMS}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch):
    registry.register("system", "optional", Optional)
    monkeypatch.setattr(Optional, "here", False)
    monkeypatch.setattr(Optional, "calls", 0)
    yield
    registry.unregister("system", "optional")


def run(folder: Path, out: Path):
    return benchsep.run(
        systems=["optional"],
        metrics=["usdr"],
        dataset=f"folder:{folder}",
        out=out,
        yardsticks=False,
    )


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    noise_songs(tmp_path / "songs", ("one",), seconds=0.5)
    return tmp_path / "songs"


def test_its_cells_hold_the_reason_and_nothing_failed(songs: Path, tmp_path: Path) -> None:
    run(songs, tmp_path / "run")
    frame = load(tmp_path / "run").frame
    rows = frame[frame["system"] == "optional"]
    assert len(rows) and set(rows["status"]) == {f"unavailable: {REASON}"}
    assert Optional.calls == 0
    tables = load(tmp_path / "run").tables
    assert any(f"optional: {REASON}." in table.notes for table in tables)
    (row,) = (r for r in tables[0].rows if r.system == "optional")
    assert {cell.note for cell in row.cells if cell.value is None} >= {"unavailable"}


def test_it_is_done_until_it_becomes_available(songs: Path, tmp_path: Path) -> None:
    from benchsep.runner.plan import make_plan
    from benchsep.runner.store import Store
    from benchsep.runner.suite import Suite

    run(songs, tmp_path / "run")
    suite = Suite(
        systems=("optional",), metrics=("usdr",), dataset=f"folder:{songs}", yardsticks=False
    )
    plan = make_plan(suite, Store(tmp_path / "run"))
    assert plan.absent == {"optional": REASON}
    assert not [job for job in plan.jobs if job.label == "optional"]
    Optional.here = True
    plan = make_plan(suite, Store(tmp_path / "run"))
    assert not plan.absent and [job for job in plan.jobs if job.label == "optional"]
    run(songs, tmp_path / "run")
    frame = load(tmp_path / "run").frame
    assert set(frame[frame["system"] == "optional"]["status"]) == {"ok"}


def test_a_change_in_a_folder_that_an_option_names_is_seen(tmp_path: Path) -> None:
    from benchsep.runner.stamps import system_stamp

    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"one")
    spec = f"optional:codec={tmp_path}"
    before = system_stamp(spec, "cpu")
    assert system_stamp(spec, "cpu") == before
    weights.write_bytes(b"other")
    assert system_stamp(spec, "cpu") != before
    assert system_stamp("optional:codec=a\0b", "cpu")


def test_a_value_that_the_signals_do_not_have_is_not_asked_for_again(
    songs: Path, tmp_path: Path
) -> None:
    """``leakage.silence`` of references that are never silent, ``onsets`` of noise."""
    request = {
        "systems": ["mixture"], "dataset": f"folder:{songs}", "metrics": ["leakage", "onsets"],
        "yardsticks": False, "inline": True, "out": tmp_path / "run",
    }  # fmt: skip
    first = benchsep.run(**request).cells()
    assert "undefined" in {status.partition(":")[0] for status in first.status}
    records = {p: p.stat().st_mtime_ns for p in (tmp_path / "run" / "cells").rglob("*.json")}
    benchsep.run(**request)
    assert {p: p.stat().st_mtime_ns for p in records} == records
